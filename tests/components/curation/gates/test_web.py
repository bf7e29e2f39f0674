"""Web rules: verdicts equal datatrove's on real text, a batch equals its texts one by one, any text is borne."""

import re
import sys
from pydoc_data import topics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.curation.gates import web

GROUPS = ("gopher_quality", "fineweb", "gopher_repetition")


def _texts() -> list[str]:
    docs = {getattr(module, "__doc__", None) for module in list(sys.modules.values())}
    docs |= {member.__doc__ for kind in (str, dict, list, int, bytes, re.Pattern) for member in vars(kind).values()}
    return [text for text in [*topics.topics.values(), *sorted(d for d in docs if isinstance(d, str))] if text.strip()]


def _peers():
    pytest.importorskip("datatrove")
    from datatrove.pipeline.filters import FineWebQualityFilter, GopherQualityFilter, GopherRepetitionFilter
    from datatrove.utils.word_tokenizers import WordTokenizer

    class Words(WordTokenizer):
        def word_tokenize(self, text):
            return re.findall(r"\w+|[^\w\s]+", text)

        def sent_tokenize(self, text):
            return [text]

        def span_tokenize(self, text):
            return [(0, len(text))]

    lines = GopherRepetitionFilter(top_n_grams=(), dup_n_grams=(), language=Words())  # no rules on n-grams here
    return GopherQualityFilter(language=Words()), FineWebQualityFilter(language=Words()), lines


@pytest.mark.parametrize("group", GROUPS)
def test_verdicts_equal_datatroves_on_real_text(group):
    peer = _peers()[GROUPS.index(group)]
    from datatrove.data import Document

    texts = _texts()
    ours = web.judge(texts, [rule for rule in web.RULES if rule.name.startswith(group)])
    assert len(texts) > 100
    different = [
        (text[:80], found)
        for text, found in zip(texts, ours, strict=True)
        if (found is None) != (peer.filter(Document(text=text, id="x")) is True)
    ]
    assert different == []


@settings(deadline=None, max_examples=50)
@given(st.lists(st.text(st.characters()) | st.sampled_from(["", "\n", "a\x00b", "\ud800"]), min_size=1, max_size=5))
def test_a_batch_equals_its_texts_one_by_one(texts):
    assert web.judge(texts) == [web.judge([text])[0] for text in texts]


def test_a_rule_holds_at_its_border():
    rules = [rule for rule in web.RULES if rule.name == "gopher_quality.min_doc_words"]
    below, at = web.judge(["word " * 49, "word " * 50], rules)
    assert (below.rule, below.value, at) == ("gopher_quality.min_doc_words", 49, None)


def test_only_empty_lines_end_a_paragraph():
    """A NUL, which normalised text does not hold, ends none."""
    figures = web.figures(["a\x00a\x00a", "a\n\na\n\n\n\na"])
    assert figures["dup_para"].to_list() == [0, pytest.approx(2 / 3)]
