"""Perl's documentation (perlpod): headings, lists and paragraphs as Markdown, indented examples fenced; code is left out."""

import re
from typing import Any

_COMMAND = re.compile(r"=([A-Za-z]\w*)[ \t]*(.*)", re.DOTALL)
# Innermost codes first; of those with several brackets, the content may have brackets of its own.
_WIDE = re.compile(r"([A-Z])(<{2,})\s+(.{0,1000}?)\s+>{2,}", re.DOTALL)
_NARROW = re.compile(r"([A-Z])<([^<>]*)>")
_HIDDEN = str.maketrans("<>", "\ue000\ue001")  # brackets of the text itself, until all codes are read
_SHOWN = str.maketrans("\ue000\ue001", "<>")
_CHARACTERS = {"lt": "<", "gt": ">", "verbar": "|", "sol": "/"}


def parse(text: str) -> dict[str, Any]:
    parts: list[str] = []
    examples: list[str] = []
    is_pod, skipped, title = False, "", ""

    def end_example() -> None:
        if examples:
            parts.append("```\n" + "\n\n".join(examples) + "\n```")
            examples.clear()

    for block in re.split(r"\n[ \t]*\n+", text.replace("\r\n", "\n").strip("\n")):
        found = _COMMAND.match(block)
        if found and found[1] != "cut" and not skipped:
            is_pod = True
        if is_pod and not found and not skipped and block[:1].isspace():
            examples.append(block.strip("\n"))
            continue
        end_example()
        if not found:
            if is_pod and not skipped:
                bullet = f"{parts.pop()} " if parts[-1:] == ["-"] else ""
                parts.append(bullet + _words(block))
            continue
        command, rest = found[1], found[2]
        if skipped:
            skipped = "" if command == "end" and rest.strip() == skipped else skipped
        elif command == "cut":
            is_pod = False
        elif command == "begin":
            skipped = rest.split()[0] if rest.split() else ":"
        elif command.startswith("head"):
            level = min(6, int(command[4:])) if command[4:].isdecimal() else 1
            parts.append(f"{'#' * max(1, level)} {_words(rest)}")
            title = title or (parts[-1].lstrip("# ") if len(parts) == 1 and not _is_name(rest) else "")
        elif command == "item":
            mark = re.match(r"(?:\*|\d+\.?)?\s*", rest)
            parts.append(f"- {_words(rest[mark.end() :] if mark else rest)}".rstrip())
    end_example()
    return {"text": "\n\n".join(part for part in parts if part not in ("", "-")), "title": title}


def _is_name(heading: str) -> bool:
    """Whether a heading is the usual first one of a manual, which names nothing."""
    return heading.strip().upper() == "NAME"


def _words(text: str) -> str:
    """A paragraph as one line, with its formatting codes as Markdown or left out."""
    text = _WIDE.sub(lambda code: _shown(code[1], _plain(code[3]).translate(_HIDDEN)), text)
    return " ".join(_plain(text).translate(_SHOWN).split())


def _plain(text: str) -> str:
    while (shorter := _NARROW.sub(lambda code: _shown(code[1], code[2]), text)) != text:
        text = shorter
    return text


def _shown(code: str, content: str) -> str:
    if code in "XZ":  # entries of an index, and nothing
        return ""
    if code == "E":
        return _character(content).translate(_HIDDEN)
    if code == "L":
        label, bar, target = content.partition("|")
        return label if bar else target or label.strip("/").replace("/", ", ")
    return f"`{content}`" if code == "C" else content


def _character(name: str) -> str:
    from html import unescape

    if name.isdecimal() and int(name) < 0x110000:
        return chr(int(name))
    return _CHARACTERS.get(name) or unescape(f"&{name};")
