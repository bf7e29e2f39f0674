"""Text from elsewhere stays text in Markdown: it becomes no HTML, no link, no picture."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from components.phi.card import model_card
from components.phi.model import PhiConfig
from components.results.tables import Table, escape_markdown, markdown_table
from components.study.ablation import text as ablation
from components.study.growth import text as growth
from components.study.pages import Text

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=http://evil.example/x.png>",
    "![x](http://evil.example/x.png)",
    "[x](javascript:alert(1))",
    "![x][1] [1]: http://evil.example/x.png",
    "<http://evil.example>",
    "a | b",
    "`code` *strong* _it_ **b** __c__",
    "two\n\n# lines\n<script>",
    "&lt;script&gt;",
    "back\\![x](http://evil.example)",
    ":red[![x](http://evil.example)]",
    "$x$",
]
CONFIG = PhiConfig(64, 16, 64, 2, 2, 32)
PARSER = MarkdownIt("commonmark").enable("table")


def marks(source: str) -> set[str]:
    """What a text in Markdown becomes beside paragraphs and text."""

    def walk(tokens: list[Token]) -> Iterator[str]:
        for token in tokens:
            yield token.type
            yield from walk(token.children or [])

    return set(walk(PARSER.parse(source))) - {"paragraph_open", "paragraph_close", "inline", "text"}


DANGEROUS = {"html_block", "html_inline", "image", "link_open"}


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_shown_as_it_is(text: str) -> None:
    assert not marks(f"- {escape_markdown(text)}") & DANGEROUS
    assert not marks(f"x {escape_markdown(text)}")
    (inline,) = (token for token in PARSER.parse(f"x {escape_markdown(text)}") if token.type == "inline")
    assert "".join(child.content for child in inline.children) == "x " + text.replace("\n", " ").rstrip()


@given(st.text(alphabet="<>![]()&;#|`*_~$\\:/ ax1\n", max_size=40))
def test_no_text_becomes_more_than_text(text: str) -> None:
    assert not marks(f"x {escape_markdown(text)} y")


@given(st.lists(st.text(alphabet="<>![]()&|`*_\\ a\n", max_size=12), min_size=1, max_size=3))
def test_a_cell_stays_a_cell(cells: list[str]) -> None:
    rows = [["row", *cells]]
    tokens = PARSER.parse(markdown_table(["x"] * (len(cells) + 1), rows))
    assert sum(token.type == "td_open" for token in tokens) == len(cells) + 1


@pytest.mark.parametrize("text", ["a_b", "0.5 *", "< 0.001", "[+0.1, +0.3]", "R&D", "50 %", "phi-2 (2.7 B)", "a [1]"])
def test_ordinary_text_is_written_as_it_is(text: str) -> None:
    assert escape_markdown(text) == text


@pytest.mark.parametrize("text", HOSTILE)
def test_the_card_of_an_exported_model(text: str) -> None:
    lineage = {
        "step": "transfer",
        "operator": text,
        "initial": {"lineage": {"step": "training", "steps": 1}},
        "by_kind": {text: {"documents": 1, "tokens": 2}},
    }
    card = model_card(CONFIG, lineage | {"tokens_read_by_kind": {text: 3}}, None, "float32", text)
    assert not marks(card.split("---\n", 2)[2]) & (DANGEROUS - {"link_open"})
    assert text not in card.split("---\n", 2)[2] or text == "a | b"


@pytest.mark.parametrize("text", HOSTILE)
def test_pages_of_studies(text: str) -> None:
    table = Table(text, "", [text, text], [[text, text]])
    assert not marks(Text("Study", "", [], [table], "", "").markdown()) & DANGEROUS
    interval = {"mean": 1.0, "low": None, "high": None, "verdict": "better"}
    differences = [{"arm": text, "against": text, "loss_verdict": "better", "loss": interval, "exam": interval}]
    arms = [{"arm": text, "exam": interval}]
    multiplier = {
        "arm": text,
        "against": text,
        "cost": "tokens",
        "factor": 2.0,
        "low": None,
        "high": None,
        "bound": "",
        "n": 1,
    }
    result = {"arms": arms, "differences": differences, "multipliers": [multiplier], "diverged": [text]}
    result["baselines"] = {"": {"chance": 2.0}}
    for said in (growth.sentences(result), ablation.sentences(result)):
        assert not marks("\n\n".join(said)) & DANGEROUS
