"""The formats that are read, by the endings of file names, and the files that are skipped whatever their endings.

This is the only table: a new format is added here, with a reader in `readers` or a parser in `parsing`.
"""

import re
from dataclasses import dataclass

COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
JOINED = {".tgz": (".tar", ".gz"), ".tbz2": (".tar", ".bz2"), ".txz": (".tar", ".xz"), ".tzst": (".tar", ".zst")}


@dataclass(frozen=True)
class Format:
    """How files of an ending are read."""

    reader: str  # module of `readers`, and function
    kind: str = "prose"  # of their documents, unless the source or the row names another
    parser: str = ""  # module of `parsing`, for formats that are parsed in a separate process
    language: str = ""  # programming language
    from_start: bool = True  # whether it can be read from its start on; else it is not read from a compressed file
    packs: bool = False  # whether the file is far smaller than its text


def _code(language: str) -> Format:
    return Format("plain.read_text", "code", language=language)


TEXT = Format("plain.read_text")
ROWS = Format("json_values.read_jsonl")
TABLE = Format("tables.read_table")
# Not `web`: pages that users name are often technical, and rules for crawled pages would drop most of those.
PAGE = Format("html.read_html")
ARCHIVE = Format("warc.read_warc", "web")
INFO = Format("info.read_info")
MAN = Format("parsed.read_manual", parser="man")  # or plain text: which one, its first line decides
ZIP = Format("archives.read_zip", from_start=False, packs=True)
_LANGUAGES = {
    "Ada": "adb ads", "Assembly": "asm s", "Batch": "bat", "C": "c h", "C#": "cs", "C++": "cc cpp cxx hh hpp hxx",
    "Clojure": "clj cljs", "CMake": "cmake", "CSS": "css scss less", "CUDA": "cu cuh", "Dart": "dart", "Elixir": "ex exs",
    "Emacs Lisp": "el", "Erlang": "erl hrl", "F#": "fs fsx", "Fortran": "f f90 f95 f03 f08 for", "GLSL": "glsl", "Go": "go",
    "Groovy": "groovy gradle", "Haskell": "hs", "Java": "java", "JavaScript": "js cjs jsx mjs", "Julia": "jl",
    "Kotlin": "kt kts", "Lisp": "lisp lsp", "Lua": "lua", "Make": "mk", "Nim": "nim", "Nix": "nix", "OCaml": "ml mli",
    "Objective-C++": "mm", "PHP": "php", "Pascal": "pas", "Perl": "pl pm", "PowerShell": "ps1 psm1",
    "Protocol Buffers": "proto", "Python": "py pyi pyw", "R": "r", "Racket": "rkt", "Ruby": "rb", "Rust": "rs",
    "SQL": "sql", "Scala": "scala", "Scheme": "scm", "Shell": "sh bash fish zsh", "Solidity": "sol", "Svelte": "svelte",
    "Swift": "swift", "Tcl": "tcl", "TypeScript": "ts cts mts tsx", "VHDL": "vhd vhdl", "Verilog": "v sv svh",
    "Vim script": "vim", "Visual Basic": "vb", "Vue": "vue", "Zig": "zig",
}  # fmt: skip
FORMATS = {
    **dict.fromkeys((".txt", ".text", ".md", ".markdown", ".mdx", ".rst", ".adoc", ".asciidoc"), TEXT),
    **{f".{ending}": _code(language) for language, endings in _LANGUAGES.items() for ending in endings.split()},
    **dict.fromkeys((".jsonl", ".ndjson", ".jsonlines"), ROWS),
    ".json": Format("json_values.read_json"),
    **dict.fromkeys((".csv", ".tsv", ".tab"), TABLE),
    ".parquet": Format("rows.read_parquet", from_start=False, packs=True),
    **dict.fromkeys((".html", ".htm", ".xhtml"), PAGE),
    **dict.fromkeys((".warc", ".wet"), ARCHIVE),
    ".arc": Format("arc.read_arc", "web"),
    ".pdf": Format("parsed.read_binary", parser="pdf"),
    ".docx": Format("parsed.read_binary", parser="docx"),
    ".odt": Format("parsed.read_binary", parser="odt"),
    ".epub": Format("parsed.read_binary", parser="epub"),
    ".ipynb": Format("parsed.read_decoded", parser="notebook"),
    **dict.fromkeys((".tex", ".latex", ".ltx"), Format("parsed.read_decoded", parser="tex")),
    ".org": Format("parsed.read_decoded", parser="org"),
    ".pod": Format("parsed.read_decoded", parser="pod"),
    **dict.fromkeys((".srt", ".vtt"), Format("parsed.read_decoded", parser="subtitles")),
    **dict.fromkeys((".man", ".mdoc", ".roff"), MAN),
    ".eml": Format("mail.read_message"),
    ".mbox": Format("mail.read_mailbox"),
    ".xml": Format("markup.read_xml", parser="xml_text"),
    ".zip": ZIP,
    ".tar": Format("archives.read_tar"),
}
NAMES = {  # of files without an ending, or with one of _VARIANT
    **dict.fromkeys(
        ("readme", "changelog", "changes", "news", "history", "todo", "contributing", "install", "faq"), TEXT
    ),
    **dict.fromkeys(("metadata", "pkg-info"), TEXT),  # of Python's packages, with their descriptions
    **dict.fromkeys(("makefile", "gnumakefile"), _code("Make")),
    "dockerfile": _code("Dockerfile"),
}
EXPECTED = (
    "text (txt, md, rst, tex, org, pod, man pages, Info), source code, pages (html), documents (pdf, docx, odt, epub, ipynb), "
    "rows (jsonl, ndjson, json, csv, tsv, parquet), mail (eml, mbox), subtitles (srt, vtt), xml and wiki dumps, web archives "
    "(warc, wet, arc), or zip and tar of these; all but parquet and zip also as gz, bz2, xz or zst"
)
# A section of the manual, perhaps with the name of its collection: `.1`, `.3p`, `.3pm`, `.7ssl`.
_MANUAL = re.compile(r"\.[1-9](?:am|gcc|p|perl|pm|posix|ssl|tcl|x)?")
_INFO = re.compile(r"\.info(?:-\d{1,3})?")  # long ones are split
# The endings of README.Debian, NEWS.Debian, README.source, README.1st, README.de and changelog.Debian.amd64.
_MACHINE = r"amd64|x86_64|i[3-6]86|arm64|aarch64|armel|armhf|ppc64(?:el|le)?|riscv64|s390x|mips64el|loong64"
_VARIANT = re.compile(
    rf"(?:\.(?:debian|source|first|1st|git|dist|unix|linux|bsd|macos|osx|win(?:32|64|dows)|{_MACHINE}|[a-z]{{2}}))+"
)
# A version or a machine instead of an ending: `MPL-2.0`, `notes-1.10`, `limits.amd64`.
_NO_ENDING = re.compile(rf"\.(?:\d+|{_MACHINE})")
_BEGINS_PAGE = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml\b[^>]*>\s*|<!--.*?-->\s*)*<(?:!doctype\s+html|html)\b", re.I | re.S
)
# The start of a script without an ending: `#!/bin/sh -e`, `#!/usr/bin/env -S python3 -u`.
_RUN_BY = re.compile(rb"#![ \t]*(?:\S*/)?(?:env[ \t]+(?:(?:-\S*|\w+=\S*)[ \t]+)*(?:\S*/)?)?([A-Za-z_+-]+)")
START_BYTES = 4_096  # of a file whose name tells no format
_INTERPRETERS = {
    "Awk": "awk gawk mawk nawk", "JavaScript": "node nodejs", "Julia": "julia", "Lua": "lua luajit", "Make": "make",
    "PHP": "php", "Perl": "perl", "Python": "pypy python", "R": "Rscript", "Ruby": "ruby", "Scheme": "guile",
    "Shell": "ash bash dash fish ksh sh zsh", "Tcl": "expect tclsh wish",
}  # fmt: skip
INTERPRETERS = {program: language for language, programs in _INTERPRETERS.items() for program in programs.split()}

TOOL_FOLDERS = {"__pycache__": "compiled Python", "node_modules": "installed packages", "__MACOSX": "notes of macOS"}
TOOL_MARKS = {"pyvenv.cfg": "virtual environment", "conda-meta": "virtual environment", "CACHEDIR.TAG": "cache"}


def suffixes(name: str) -> tuple[str, str]:
    """The endings of a file name for its format and its compression, in lower case; either may be empty."""
    stem = base_name(name)
    suffix = _suffix(stem)
    if suffix in JOINED:
        return JOINED[suffix]
    if suffix in COMPRESSED:
        return _suffix(stem.removesuffix(suffix)), suffix
    return suffix, ""


def base_name(name: str) -> str:
    """The last part of a path, in lower case. Done by hand, since PurePosixPath takes ten times as long for many files."""
    return name.lower().rstrip("/").rpartition("/")[2]


def _suffix(name: str) -> str:
    place = name.rfind(".")
    return name[place:] if 0 < place < len(name) - 1 else ""


def format_of(name: str) -> Format | None:
    """The format of a file by its name, or None if no reader takes it."""
    suffix, compression = suffixes(name)
    found = MAN if _MANUAL.fullmatch(suffix) else INFO if _INFO.fullmatch(suffix) else FORMATS.get(suffix)
    if not found:
        stem, dot, variants = base_name(name).removesuffix(compression).partition(".")
        return NAMES.get(stem) if not dot or _VARIANT.fullmatch(dot + variants) else None
    return None if found and compression and not found.from_start else found


def marked_format(start: bytes) -> Format | None:
    """The format of a script or a page by its first bytes, or None if they name neither an interpreter nor HTML."""
    if _BEGINS_PAGE.match(start):
        return PAGE
    found = _RUN_BY.match(start)
    return _code(INTERPRETERS.get(found[1].decode().rstrip("-"), "")) if found else None


def is_open(name: str) -> bool:
    """Whether the first bytes of a file decide its format: its name has no ending, or a version or machine in its place."""
    suffix, _ = suffixes(name)
    return format_of(name) is None and (not suffix or _NO_ENDING.fullmatch(suffix) is not None)


def passed_over(name: str) -> str:
    """Why files of a name are never read, in the plural, or an empty string."""
    if name.startswith("."):
        return "hidden files and folders"
    return f"folders of {TOOL_FOLDERS[name]}" if name in TOOL_FOLDERS else ""


def unread_reason(name: str) -> str:
    """Why a file is not read that no reader takes, by its name."""
    suffix, compression = suffixes(name)
    ending = suffix + compression
    return (
        f"files that end in {ending}, which no reader takes" if ending else "files without an ending and without text"
    )
