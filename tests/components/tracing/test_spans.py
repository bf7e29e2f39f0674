"""Verbatim spans: against a search through all tokens."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bench.traced_project import Made
from components.tracing.project import Project
from components.tracing.spans import Index, longest_spans, maximal
from components.tracing.words import lines

LETTERS = st.lists(st.integers(0, 3), max_size=40)


def occurs(part: list[int], whole: list[int]) -> bool:
    return any(whole[at : at + len(part)] == part for at in range(len(whole) - len(part) + 1))


@given(LETTERS, LETTERS)
def test_maximal_spans_are_those_of_a_search(text: list[int], corpus: list[int]) -> None:
    every = [(a, b) for a in range(len(text)) for b in range(a + 1, len(text) + 1) if occurs(text[a:b], corpus)]
    longest = [one for one in every if not any(a <= one[0] and one[1] <= b and (a, b) != one for a, b in every)]
    assert list(map(tuple, maximal(text, lambda part: occurs(part, corpus)))) == longest


def test_the_index_finds_every_occurrence(made: Made, project: Project) -> None:
    tokens = project.tokens[made.fingerprints[0]]
    index = Index.open(made.root, tokens)
    stream = np.fromfile(tokens.shards()[0], dtype="<u2").tolist()
    for part in (stream[:1], stream[100:104], stream[-3:], [*stream[5:9], 511]):
        positions = [at for at in range(len(stream)) if stream[at : at + len(part)] == part]
        assert index.positions(part) == positions
        assert index.contains(part) == bool(positions)


def test_a_piece_of_a_document_leads_to_it(made: Made, project: Project) -> None:
    words = made.texts[9].split()
    text = " ".join([*words[5:25], "something", "else"])
    found = longest_spans(project, text, "large")
    span = found["spans"][0]
    assert span["text"].strip() in made.texts[9]
    assert {"id": made.ids[9], "license": span["documents"][0]["license"]}.items() <= span["documents"][0].items()
    assert span["documents"][0]["license"] != "unknown"
    assert found["covered"] >= span["length"]
    assert any(made.ids[9] in line for line in lines(found))


def test_the_index_is_made_once(made: Made, project: Project, monkeypatch) -> None:
    longest_spans(project, made.texts[9], "large")
    monkeypatch.setattr("components.running.kept.atomic_directory", None)  # making it again would call this
    assert longest_spans(project, made.texts[9], "large")["covered"] > 0
