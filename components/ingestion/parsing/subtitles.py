"""Subtitles, SubRip and WebVTT: the spoken text line by line, without numbers, times and style marks."""

import re
from typing import Any

from components.ingestion.parsing import Refusal

TIMES = re.compile(r"^\s*(?:\d+:)?\d{1,2}:\d{2}[,.]\d{1,3}\s*-->")
TAG = re.compile(r"<[^<>\n]{0,200}>|\{\\[^{}\n]{0,200}\}")
ENTITIES = {"&amp;": "&", "&lt;": "<", "&gt;": ">", "&nbsp;": " ", "&lrm;": "", "&rlm;": ""}


def parse(text: str) -> dict[str, Any]:
    lines: list[str] = []
    cues, in_cue = 0, False
    for line in text.splitlines():
        if TIMES.match(line):
            cues, in_cue = cues + 1, True
        elif not line.strip():
            in_cue = False
        elif in_cue:  # else a number, a name, a note or the head of the file
            said = _plain(line)
            if said and said not in lines[-2:]:  # subtitles that roll up show each line again
                lines.append(said)
    if not cues:
        raise Refusal("has no subtitle times (00:00:01,000 --> 00:00:02,000)")
    return {"text": "\n".join(lines), "cues": cues}


def _plain(line: str) -> str:
    line = TAG.sub("", line)
    for entity, char in ENTITIES.items():
        line = line.replace(entity, char)
    return " ".join(line.split())
