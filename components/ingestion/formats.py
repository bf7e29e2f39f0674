"""What is read: the formats by the endings of file names, and what is skipped whatever its ending.

This is the one table: a format is added here, with a reader in `readers` or a parser in `parsing`.
"""

import re
from dataclasses import dataclass

COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
JOINED = {".tgz": (".tar", ".gz"), ".tbz2": (".tar", ".bz2"), ".txz": (".tar", ".xz"), ".tzst": (".tar", ".zst")}


@dataclass(frozen=True)
class Format:
    """How files of an ending are read."""

    reader: str  # module of `readers`, and function
    kind: str = "prose"  # of their documents, where neither the source nor the row says
    parser: str = ""  # module of `parsing`, for those that are parsed in a process of their own
    language: str = ""  # that a program is written in
    from_start: bool = True  # whether it can be read from its start on; else it is not read from another compression
    packs: bool = False  # whether the file is far smaller than its text


def _code(language: str) -> Format:
    return Format("plain.read_text", "code", language=language)


TEXT = Format("plain.read_text")
ROWS = Format("json_values.read_jsonl")
TABLE = Format("tables.read_table")
PAGE = Format("html.read_html")  # chosen by a person: the rules for crawled pages would drop most technical ones
ARCHIVE = Format("warc.read_warc", "web")
INFO = Format("info.read_info")
MAN = Format("parsed.read_decoded", parser="man")
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
    **dict.fromkeys((".srt", ".vtt"), Format("parsed.read_decoded", parser="subtitles")),
    **dict.fromkeys((".man", ".mdoc", ".roff"), MAN),
    ".eml": Format("mail.read_message"),
    ".mbox": Format("mail.read_mailbox"),
    ".xml": Format("markup.read_xml", parser="xml_text"),
    ".zip": ZIP,
    ".tar": Format("archives.read_tar"),
}
NAMES = {  # of files without an ending, or with one that says whose they are
    **dict.fromkeys(
        ("readme", "changelog", "changes", "news", "history", "todo", "contributing", "install", "faq"), TEXT
    ),
    **dict.fromkeys(("metadata", "pkg-info"), TEXT),  # of Python's packages, with their descriptions
    **dict.fromkeys(("makefile", "gnumakefile"), _code("Make")),
    "dockerfile": _code("Dockerfile"),
}
EXPECTED = (
    "text (txt, md, rst, tex, org, man pages, Info), source code, pages (html), documents (pdf, docx, odt, epub, ipynb), rows "
    "(jsonl, ndjson, json, csv, tsv, parquet), mail (eml, mbox), subtitles (srt, vtt), xml and wiki dumps, web archives "
    "(warc, wet, arc), or zip and tar of these; all but parquet and zip also as gz, bz2, xz or zst"
)
# A section of the manual, and perhaps what it is of: `.1`, `.3p`, `.3pm`, `.7ssl`.
_MANUAL = re.compile(r"\.[1-9](?:am|gcc|p|perl|pm|posix|ssl|tcl|x)?")
_INFO = re.compile(r"\.info(?:-\d{1,3})?")  # a long one is in parts
# Of README.Debian, NEWS.Debian, README.source, README.1st and README.de.
_OF_WHOM = re.compile(r"\.(?:debian|source|first|1st|git|dist|unix|linux|bsd|macos|osx|win(?:32|64|dows)|[a-z]{2})")
# What a script without an ending begins with: `#!/bin/sh -e`, `#!/usr/bin/env -S python3 -u`.
_RUN_BY = re.compile(rb"#![ \t]*(?:\S*/)?(?:env[ \t]+(?:(?:-\S*|\w+=\S*)[ \t]+)*(?:\S*/)?)?([A-Za-z_+-]+)")
SHEBANG_BYTES = 256  # of the first line, after which Linux cuts it off too
_INTERPRETERS = {
    "Awk": "awk gawk mawk nawk", "JavaScript": "node nodejs", "Julia": "julia", "Lua": "lua luajit", "Make": "make",
    "PHP": "php", "Perl": "perl", "Python": "pypy python", "R": "Rscript", "Ruby": "ruby", "Scheme": "guile",
    "Shell": "ash bash dash fish ksh sh zsh", "Tcl": "expect tclsh wish",
}  # fmt: skip
INTERPRETERS = {program: language for language, programs in _INTERPRETERS.items() for program in programs.split()}

TOOL_FOLDERS = {"__pycache__": "compiled Python", "node_modules": "installed packages", "__MACOSX": "notes of macOS"}
TOOL_MARKS = {"pyvenv.cfg": "virtual environment", "conda-meta": "virtual environment", "CACHEDIR.TAG": "cache"}


def suffixes(name: str) -> tuple[str, str]:
    """The endings of a file name for its format and its compression, in lower case, each perhaps empty."""
    stem = base_name(name)
    suffix = _suffix(stem)
    if suffix in JOINED:
        return JOINED[suffix]
    if suffix in COMPRESSED:
        return _suffix(stem.removesuffix(suffix)), suffix
    return suffix, ""


def base_name(name: str) -> str:
    """The last part of a path, in lower case; by hand, since a PurePosixPath costs ten times as much for each of many files."""
    return name.lower().rstrip("/").rpartition("/")[2]


def _suffix(name: str) -> str:
    place = name.rfind(".")
    return name[place:] if 0 < place < len(name) - 1 else ""


def format_of(name: str) -> Format | None:
    """The format of a file by its name, or None where no reader takes it."""
    suffix, compression = suffixes(name)
    if not suffix:
        return NAMES.get(base_name(name).removesuffix(compression))
    found = MAN if _MANUAL.fullmatch(suffix) else INFO if _INFO.fullmatch(suffix) else FORMATS.get(suffix)
    if not found and _OF_WHOM.fullmatch(suffix):
        return NAMES.get(base_name(name).removesuffix(compression).removesuffix(suffix))
    return None if found and compression and not found.from_start else found


def script_format(start: bytes) -> Format | None:
    """The format of a file by its first bytes, if they say what runs it."""
    found = _RUN_BY.match(start)
    return _code(INTERPRETERS.get(found[1].decode().rstrip("-"), "")) if found else None


def passed_over(name: str) -> str:
    """Why what has a name is not read whatever it holds, in the plural, or an empty string."""
    if name.startswith("."):
        return "hidden files and folders"
    return f"folders of {TOOL_FOLDERS[name]}" if name in TOOL_FOLDERS else ""


def unread_reason(name: str) -> str:
    """Why a file of a name is not read: no reader takes its ending."""
    suffix, compression = suffixes(name)
    ending = suffix + compression
    return f"files that end in {ending}, which no reader takes" if ending else "files without an ending"
