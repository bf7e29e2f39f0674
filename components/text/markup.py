"""Markup that a chat model leaves around its answer: thoughts, special tokens, channels, roles and control characters.

`strip_markup` removes known markup and names its kinds; `unclean` finds what is still not text, to be refused.
Both take time linear in the text, whatever it contains.
"""

import re
from typing import NamedTuple

from components.text.characters import visible

_NAMES = "think|thinking|thoughts?|reasoning|reflection|scratchpad|seed:think"
_THOUGHT = re.compile(
    rf"(?P<open><(?:{_NAMES})>|<\|channel>thought\b|\[THINK\]|◁think▷|<\|begin_of_thought\|>|<\|START_THINKING\|>)"
    rf"|</(?:{_NAMES})>|<channel\|>|\[/THINK\]|◁/think▷|<\|end_of_thought\|>|<\|END_THINKING\|>",
    re.I,
)
_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)[^<]{0,80}<\|message\|>")
_NAMED = (
    "bos|eos|pad|unk|eod|sop|start_of_turn|end_of_turn|end_of_utterance|/?tool_calls?|extra_id_\\d{1,3}|unused\\d{1,4}"
)
_TOKEN = (
    rf"(?:<\|[A-Za-z][\w\u2581]{{0,40}}\|>|<\|turn>|<turn\|>|<\uff5c[^\uff5c\n]{{1,40}}\uff5c>|</?s>|<(?:{_NAMED})>"
    r"|\[(?:/?INST|gMASK|EOS|TOOL_CALLS)\])"
)
_LEADING = re.compile(rf"\s*{_TOKEN}(?:\s*(?:assistant|model)\b)?(?:\s*:)?")
_BARE_ROLE = re.compile(r"(?:\s*assistant(?::|(?=[ \t]*\n))\s*)+", re.I)
ROUNDS = 4
_END = re.compile(
    rf"{_TOKEN}(?=(?:\s*{_TOKEN}){{0,8}}\s*(?:\Z|(?:(?<=\n)|(?<=>))(?:assistant|model|user|system|human)\b))", re.I
)
_ANSI = re.compile(r"\x1b(?:\[[0-?]{0,40}[ -/]{0,8}[@-~]|\][^\x07\x1b]{0,200}(?:\x07|\x1b\\)|[@-Z\\^_])")
_HINT = re.compile(r"[<\[◁]|\A\s*(?:assistant|analysis)", re.I)  # most texts contain none of these
_NO_TEXT = re.compile(  # control characters, bidirectional overrides, results of a wrong decoding, private use
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufffd\ufffe\uffff\ud800-\udfff\ue000-\uf8ff\ufdd0-\ufdef"
    r"\U000f0000-\U0010ffff]|\u2581(?=[a-z])"  # a blank as SentencePiece writes it
    r"|(?m:^)(?:### ?(?:Human|User|Assistant|Instruction|Response):|(?:USER|ASSISTANT): )"  # a template without tokens
)
_PIECES = r"<\|\w{2,40}\s*\Z|<0x[0-9A-F]{2}>"  # half a token at the end, a byte as a token
UNCLEAN = re.compile(f"{_TOKEN}|(?i:{_THOUGHT.pattern.replace('?P<open>', '?:')})|{_NO_TEXT.pattern}|{_PIECES}")


class Stripped(NamedTuple):
    """A text without markup, and the kinds of markup that were removed."""

    text: str
    removed: tuple[str, ...] = ()


def strip_markup(text: str) -> Stripped:
    """The answer alone.

    >>> strip_markup("<think>Plan it.</think># Tides<|im_end|>")
    Stripped(text='# Tides', removed=('thoughts', 'tokens'))
    """
    removed: dict[str, None] = {}
    for _ in range(ROUNDS):  # removed markup may have hidden more
        before = text
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        for kind, strip in _STRIPS.items() if _HINT.search(text) else ():
            if (other := strip(text)) != text:
                text, removed[kind] = other, None
        seen = visible(_ANSI.sub("", text))
        if len(seen) != len(text):  # else only kinds of spaces have changed
            removed["control characters"] = None
        text = seen
        if text == before:
            break
    return Stripped(text, tuple(removed))


def unclean(text: str) -> str:
    """The first thing in a stripped text that is not text, with its surroundings, in ASCII; empty if there is none."""
    found = (UNCLEAN if _HINT.search(text) else _NO_TEXT).search(text)
    if not found:
        return ""
    around = text[max(0, found.start() - 60) : found.end() + 60]
    return f"{found[0]!a} in {around!a}"


def _final_channel(text: str) -> str:
    """The final channel of a text in channels (gpt-oss), also if the marks were lost: `analysis...assistantfinal...`."""
    channels = list(_CHANNEL.finditer(text))
    if channels:
        final = [channel.end() for channel in channels if channel[1] == "final"]
        return text[final[-1] :] if final else ""
    if text.lstrip().startswith("analysis") and "assistantfinal" in text:
        return text.rpartition("assistantfinal")[2]
    return text


def _without_thoughts(text: str) -> str:
    """The text without thoughts. A thought ends at its closing mark or the text's end; without an opening mark, it began
    with the text."""
    kept: list[str] = []
    place, inside = 0, False
    for mark in _THOUGHT.finditer(text):
        if mark["open"]:
            if not inside:
                kept.append(text[place : mark.start()])
            inside = True
        else:
            kept = kept if inside else []
            inside = False
        place = mark.end()
    return "".join(kept if inside else [*kept, text[place:]]) if place else text


def _without_tokens(text: str) -> str:
    """The text without special tokens before the answer, and without everything from the token that ends it."""
    start = 0
    while leading := _LEADING.match(text, start):
        start = leading.end()
    end = _END.search(text, start)
    return text[start : end.start()].rstrip() if end else text[start:]


def _without_role(text: str) -> str:
    role = _BARE_ROLE.match(text)
    return text[role.end() :] if role else text


_STRIPS = {"channels": _final_channel, "thoughts": _without_thoughts, "tokens": _without_tokens, "role": _without_role}
