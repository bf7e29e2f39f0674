"""Org files: headlines as Markdown, blocks of code fenced, links as their text; properties and settings are left out."""

import re
from typing import Any

HEADLINE = re.compile(
    r"^(\*+)\s+(?:(?:TODO|DONE|NEXT|WAITING|CANCELLED)\s+)?(?:\[#[A-Z]\]\s+)?(.*?)(?:\s+:[\w@#%:]+:)?\s*$"
)
BLOCK = re.compile(r"^\s*#\+(begin|end)_(\w+)\s*(\S*)", re.IGNORECASE)
TITLE = re.compile(r"^#\+title:\s*(.*)$", re.IGNORECASE)
SETTING = re.compile(r"^\s*(?:#\+\w+(?:\[[^\]]*\])?:.*|#(?: .*)?|(?:CLOSED|DEADLINE|SCHEDULED):.*)$")
DRAWER, DRAWER_END = re.compile(r"^\s*:[\w-]+:\s*$"), re.compile(r"^\s*:end:\s*$", re.IGNORECASE)
LINK = re.compile(r"\[\[([^\]\[]*)\](?:\[([^\]\[]*)\])?\]")
FENCED = ("src", "example", "export")


def parse(text: str) -> dict[str, Any]:
    lines: list[str] = []
    title, fence, in_drawer = "", "", False
    for line in text.splitlines():
        block = BLOCK.match(line)
        if fence:
            if block and block[1].lower() == "end" and block[2].lower() == fence:
                fence, line = "", "```"
            lines.append(line)
        elif in_drawer:
            in_drawer = not DRAWER_END.match(line)
        elif block:
            if block[1].lower() == "begin" and block[2].lower() in FENCED:
                fence = block[2].lower()
                lines.append(f"```{block[3] if fence == 'src' else ''}")
        elif found := TITLE.match(line):
            title = title or found[1].strip()
        elif DRAWER.match(line):
            in_drawer = True
        elif not SETTING.match(line):
            lines.append(_line(line))
    return {"text": "\n".join(lines).strip("\n"), "title": title}


def _line(line: str) -> str:
    line = LINK.sub(lambda link: link[2] or link[1], line)
    headline = HEADLINE.match(line)
    return f"{'#' * min(6, len(headline[1]))} {headline[2]}" if headline else line
