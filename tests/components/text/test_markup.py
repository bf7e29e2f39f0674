"""What a chat model leaves around its answer is removed; what is not known is refused, in time that grows with the text."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.text.markup import strip_markup, unclean

TEXT = "# Tides\n\nWater rises where a < b, and [x] falls: `i[0] <| f`. It is twelve o'clock."
MARKS = [
    "<think>",
    "</think>",
    "<|im_end|>",
    "</s>",
    "<s>",
    "<|channel|>final<|message|>",
    "assistant\n",
    "\x1b[0m",
    "\x00",
]


@pytest.mark.parametrize(
    ("text", "removed"),
    [
        (TEXT, ()),
        (f"<think>Plan.</think>\n\n{TEXT}", ("thoughts",)),
        (f"Plan.</think>{TEXT}", ("thoughts",)),
        (f"{TEXT}<think>Good?", ("thoughts",)),
        (f"<think>a <think> b</think> c</think>{TEXT}", ("thoughts",)),
        (f"{TEXT}</s><s>[INST] more", ()),
        (f"{TEXT}<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nMore!", ("tokens",)),
        (f"analysisPlan.assistantfinal{TEXT}", ("channels",)),
        (f"Assistant: {TEXT}", ("role",)),
        (TEXT.replace(" ", " \x1b[1m\u200b\u202e", 1), ("control characters",)),
        (TEXT.replace("\n", "\r\n"), ()),
    ],
)
def test_known_markup_goes_and_is_named(text, removed):
    stripped = strip_markup(text)
    assert stripped.removed == removed
    assert (stripped.text.strip() == TEXT) is not bool(unclean(stripped.text))


@pytest.mark.parametrize(
    "text",
    [
        *("a <unk> b", "a\n### Human: b", "a\n\nUSER: b", "it\u2581is", "a <0x0A> b", "a\ufdd0", "a\U000f0000"),
        "a <|reserved_1|> b",
        "the token `<|endoftext|>` ends it",
        "a \ufffd b",
        "a \x93 b",
        "a \ue000 b",
    ],
)
def test_what_is_not_text_is_found(text):
    stripped = strip_markup(text)
    assert stripped.text == text  # not cut: what follows may be part of it
    assert unclean(text)
    assert unclean(text).isascii()


@given(st.lists(st.sampled_from([*MARKS, "word ", "\n"]), max_size=8).map("".join))
def test_what_is_left_has_no_mark_or_is_refused(text):
    left = strip_markup(text).text
    assert unclean(left) or not any(mark in left for mark in MARKS if mark != "assistant\n")


@pytest.mark.parametrize(
    "part",
    ["<think>", "</think>", "<s>", "<|", "<|channel|>", "\x1b[", "assistant", "assistant\n", "[/INST] ", "\n", "<s> "],
)
def test_hostile_text_takes_no_long(part):
    started = time.process_time()
    unclean(strip_markup(part * 100_000 + "x").text)
    assert time.process_time() - started < 3
