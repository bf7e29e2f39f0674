"""Web rules: verdicts equal datatrove's on real text, a batch equals its texts one by one, and no text makes a rule fail."""

import gzip
import itertools
import json
import re
import sys
from pathlib import Path
from pydoc_data import topics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.curation.filters import c4, web
from components.curation.filters.fenced import prose_of
from components.curation.text import repair
from components.params.web_rules import WebRulesParams

PARAMS = WebRulesParams()
# As datatrove counts and where it draws the line.
PEER = WebRulesParams(
    definitions="datatrove", c4={"filter_curly_bracket": True}, fineweb={"char_duplicates_ratio": 0.01}
)
PUNCTUATED = WebRulesParams(c4={"filter_no_terminal_punct": True, "filter_curly_bracket": True})
ENGLISH = (
    "The river runs through the valley, and in the evening the children of the village walk home along its bank. They carry "
    "books that they have read to each other. Who would not?\nThe oldest of them tells a story about a ship with a load of "
    "salt, and the others ask how long it takes to cross the sea. She does not know. \nThat is for another evening!\n"
)


def _texts() -> list[str]:
    docs = {getattr(module, "__doc__", None) for module in list(sys.modules.values())}
    docs |= {member.__doc__ for kind in (str, dict, list, int, bytes, re.Pattern) for member in vars(kind).values()}
    texts = [*topics.topics.values(), *sorted(d for d in docs if isinstance(d, str))]
    return [text for text in texts if text.strip() and prose_of(text) == text]  # datatrove knows no fenced parts


def _crawled(folder: Path) -> list[str]:
    paths = sorted((folder / "corpora" / "web").glob("*.jsonl.gz"))
    texts = (
        repair(json.loads(line)["text"], "web")
        for path in paths
        for line in gzip.decompress(path.read_bytes()).splitlines()
    )
    return [text for text in texts if prose_of(text) == text]


def _peer(name: str):
    pytest.importorskip("datatrove")
    import regex
    from datatrove.pipeline import filters
    from datatrove.utils.word_tokenizers import WordTokenizer

    class Words(WordTokenizer):
        """Words and sentences as ours are: those of spaCy, which datatrove takes by default, are other ones."""

        def word_tokenize(self, text):
            return re.findall(r"\w+|[^\w\s]+", text)

        def sent_tokenize(self, text):
            return [text]

        def span_tokenize(self, text):
            borders = [0, *(found.end() - 1 for found in regex.finditer(c4.SENTENCE, text)), len(text)]
            return list(itertools.pairwise(borders))

    options = {"filter_no_terminal_punct": False} if name == "c4" else {}
    names = {
        "repetition": "GopherRepetitionFilter",
        "quality": "GopherQualityFilter",
        "c4": "C4QualityFilter",
        "c4, terminal punctuation": "C4QualityFilter",
        "fineweb": "FineWebQualityFilter",
    }
    return getattr(filters, names[name])(language=Words(), **options)


OURS = {
    "repetition": lambda texts: (
        web.gopher_figures(texts, PEER),
        [rule for rule in web.gopher_rules(PEER) if rule.name.startswith("gopher_repetition")],
    ),
    "quality": lambda texts: (
        web.gopher_figures(texts, PEER),
        [rule for rule in web.gopher_rules(PEER) if rule.name.startswith("gopher_quality")],
    ),
    "c4": lambda texts: (web.c4_figures(texts, PEER), web.c4_rules(PEER)),
    "c4, terminal punctuation": lambda texts: (web.c4_figures(texts, PUNCTUATED), web.c4_rules(PUNCTUATED)),
    "fineweb": lambda texts: (web.fineweb_figures(texts, PEER), web.fineweb_rules(PEER)),
}


def _differences(name: str, texts: list[str]) -> tuple[list, int]:
    """Texts with another verdict, or another text after it; and how many stay."""
    from datatrove.data import Document

    peer, (rows, rules) = _peer(name), OURS[name](texts)
    different, kept = [], 0
    for place, (text, failure) in enumerate(zip(texts, web.failures(rows, rules), strict=True)):
        document = Document(text=text, id="x")
        theirs = peer.filter(document)
        kept += failure is None
        same_text = not name.startswith("c4") or document.text == rows["text"][place].strip()
        if (failure is None) != (theirs is True) or (failure is None and not same_text):
            different.append((text[:80], failure, theirs))
    return different, kept


@pytest.mark.parametrize("name", OURS)
def test_verdicts_equal_datatroves_on_real_text(name):
    texts = _texts()
    assert len(texts) > 100
    different, kept = _differences(name, texts)
    assert different == []
    assert 0 < kept < len(texts)


@pytest.mark.slow
@pytest.mark.parametrize("name", OURS)
def test_verdicts_equal_datatroves_on_crawled_pages(name, shared_data):
    texts = _crawled(shared_data)
    assert len(texts) > 1_000
    different, kept = _differences(name, texts)
    assert different == []
    assert 0 < kept < len(texts)


@settings(deadline=None, max_examples=50)
@given(
    st.lists(
        st.text(st.characters())
        | st.sampled_from(["", "\n", "a\x00b", "\ud800", ENGLISH, ENGLISH * 2, ENGLISH + "{ }"]),
        min_size=1,
        max_size=5,
    )
)
def test_a_batch_equals_its_texts_one_by_one(texts):
    assert web.judge(texts, PARAMS) == [web.judge([text], PARAMS)[0] for text in texts]


@settings(deadline=None, max_examples=50)
@given(
    st.text(st.sampled_from("ab \n.#-{[]1é"), max_size=80) | st.sampled_from([ENGLISH, ENGLISH * 2, ENGLISH + "{ }"])
)
def test_what_is_explained_is_what_is_judged(text):
    """The first rule that fails is one that fails when each is held against the text; a text that stays fails none."""
    (verdict,) = web.judge([text], PARAMS)
    failed = [check.rule for check in web.explain([text], PARAMS)[0] if not check.passed]
    assert (verdict.failure.rule if verdict.failure else None) == (failed[0] if failed else None)


def test_a_page_that_stays_loses_the_lines_that_are_not_prose():
    page = f"Home\n\n{ENGLISH}We use cookies to make this page better for you, and for us.\nPlease enable JavaScript to see it.\n"
    (verdict,) = web.judge([page], PARAMS)
    assert (verdict.failure, verdict.text, verdict.lines_removed) == (None, ENGLISH.replace(" \n", "\n"), 3)


def test_a_rule_holds_at_its_border():
    rules = [rule for rule in web.gopher_rules(PARAMS) if rule.name == "gopher_quality.min_doc_words"]
    below, at = web.failures(web.gopher_figures(["word " * 49, "word " * 50], PARAMS), rules)
    assert (below.rule, below.value, at) == ("gopher_quality.min_doc_words", 49, None)


def test_only_empty_lines_end_a_paragraph():
    """A NUL, which normalised text does not hold, ends none."""
    figures = web.gopher_figures(["a\x00a\x00a", "a\n\na\n\n\n\na"], PARAMS)
    assert figures["dup_para"].to_list() == [0, pytest.approx(2 / 3)]


def test_runs_that_are_not_named_are_not_looked_at():
    params = WebRulesParams(gopher_repetition={"top_n_grams": {}, "dup_n_grams": {7: 0.2}})
    names = [rule.name for rule in web.gopher_rules(params) if "n_grams" in rule.name]
    assert names == ["gopher_repetition.dup_n_grams.7"]
    (verdict,) = web.judge([ENGLISH + "one two three four five six seven " * 9], params)
    assert verdict.failure.rule == names[0]
    assert verdict.failure.value > 0.2


ENDING = "At last the bus came, and all of the children went to bed with their books. They slept.\n"
CODE = "```python\nfor x in range(9):\n    table[0] = {x: x}  # javascript\n\n    go(x)\n```\n"


def test_a_page_keeps_its_fenced_code_as_it_is():
    (verdict,) = web.judge([ENGLISH + CODE + CODE + ENDING], WebRulesParams(c4={"filter_curly_bracket": True}))
    assert (verdict.failure, verdict.lines_removed) == (None, 0)
    assert CODE + CODE in verdict.text
    (verdict,) = web.judge([ENGLISH + ENDING + "So {this} goes.\n"], WebRulesParams(c4={"filter_curly_bracket": True}))
    assert verdict.failure.rule == "c4.filter_curly_bracket"


@pytest.mark.parametrize(
    ("text", "gopher", "datatrove"),
    [
        ("Well, it's (very) late.", 1.0, 5 / 10),
        ("pp. 12, 13, 14", 1 / 4, 1 / 7),
        ("| a | b | - 1", 2 / 3, 2 / 7),
    ],
)
def test_words_with_a_letter_are_counted_as_the_paper_or_as_datatrove(text, gopher, datatrove):
    for words, share in (("papers", gopher), ("datatrove", datatrove)):
        figures = web.gopher_figures([text], WebRulesParams(definitions=words))
        assert figures["alpha_words"].to_list() == [pytest.approx(share)]


WRAPPED = "In this section we look at\nthe river that runs through\nthe valley and ask how much\nwater it holds.\n"
GLOSSARY = "".join(
    f"- **{word}**: a kind of {word} that is found in rivers\n" for word in ("eel", "crab", "snail", "fish")
)


@pytest.mark.parametrize(
    ("text", "papers", "datatrove"),
    [
        (WRAPPED + "| a | 1 |\n| b | 2 |\n", 1.0, 1 / 6),
        (WRAPPED, 1.0, 1 / 4),
        (GLOSSARY, 1.0, 0.0),
        ("Home\nAbout us\nPrice: 7 EUR\n- Depth: 7 m\n", 0.0, 0.0),
    ],
)
def test_wrapped_lines_and_entries_of_glossaries_are_not_lines_without_an_end(text, papers, datatrove):
    for definitions, share in (("papers", papers), ("datatrove", datatrove)):
        figures = web.fineweb_figures([text], WebRulesParams(definitions=definitions))
        assert figures["line_punct"].to_list() == [pytest.approx(share)]
