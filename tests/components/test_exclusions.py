"""The rules that leave documents out: their form, and which documents they name."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from components import exclusions
from components.documents import KINDS
from components.exclusions import Exclusion, excluded, item_of, parse, rules_of
from components.params import IngestionParams

ID = "0123456789abcdef" * 2


def row(**fields: object) -> dict[str, object]:
    plain = {"id": "f" * 32, "source": "notes/a.md", "license": "MIT", "kind": "prose", "metadata": {}}
    return plain | fields


@pytest.mark.parametrize(
    ("rule", "fields", "named"),
    [
        (f"document={ID}", {"id": ID}, True),
        (f"document={ID}", {}, False),
        (f"document={ID}", {"metadata": {"part_of": {"document": ID, "number": 2}}}, True),
        (f"document={ID}", {"metadata": json.dumps({"raw_id": ID})}, True),
        (f"document={ID}", {"metadata": {"part_of": "the source's own field"}}, False),
        ("source=notes/a.md", {}, True),
        ("source=notes", {}, True),
        ("source=notes/", {}, True),
        ("source=notes/a", {}, False),  # neither the file nor a folder
        ("source=note", {}, False),
        ("source=rows.jsonl", {"source": "rows.jsonl:7"}, True),
        ("source=https://example.org", {"source": "https://example.org/x"}, True),
        ("source=https://example.org", {"source": "https://example.organic/x"}, False),
        ("source=python:json", {"source": "python:json.decoder.JSONDecoder"}, True),
        ("source=python:json", {"source": "python:jsonx"}, False),
        ("license=mit", {}, True),
        ("license=MIT", {"license": "MIT-0"}, False),
        ("kind=prose", {}, True),
        ("kind=code", {}, False),
        ("family=planets", {"kind": "exercise"}, False),  # a part of a document, which is not left out as a whole
    ],
)
def test_a_rule_names_these_documents_and_no_others(rule: str, fields: dict[str, object], named: bool) -> None:
    assert excluded([parse(rule)], row(**fields)) is named


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("notes", "names no documents; expected document=..., source=..."),
        ("source=", "names no documents"),
        ("document=12ab", "expected document= with an id of 32 hex digits"),
        ("kind=poem", "expected kind= with one of web, prose, code, textbook, exercise"),
        ("family=Planets!", "expected family= with the name of a family"),
    ],
)
def test_a_rule_of_another_form_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse(text)


@given(
    st.lists(
        st.builds(Exclusion, st.sampled_from(["source", "license"]), st.text(min_size=1, max_size=12)),
        min_size=1,
        max_size=3,
    )
)
def test_an_item_can_be_read_back_and_stands_in_a_file_name(rules: list[Exclusion]) -> None:
    try:
        item = item_of(rules)
    except ValueError:
        assert sum(len(str(rule).encode()) for rule in rules) * 3 > exclusions.MOST
        return
    assert rules_of(item) == sorted(set(rules))
    assert set(item) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-~%=+")


def test_kinds_are_those_of_documents() -> None:
    assert exclusions.KINDS.split("|") == list(KINDS)


def test_the_parameter_takes_only_what_ingestion_can_tell() -> None:
    assert IngestionParams(exclude=["license=MIT"]).exclusions == (Exclusion("license", "MIT"),)
    with pytest.raises(ValidationError, match=r"names no documents; expected document=\.\.\., source=\.\.\., license="):
        IngestionParams(exclude=["family=planets"])
