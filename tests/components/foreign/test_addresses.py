"""Addresses are shown and written without what they hold of secrets, and parameters that hold one are refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.documents import Document
from components.errors import StepError
from components.foreign.addresses import all_without_secrets, is_secret_name, local_path, secret_fields, without_secrets
from components.ingestion.readers import Quarantined
from components.params import check_params, load_params
from tests.components.curation.linear import assert_linear

SECRET = "s3cretV4lue"
CASES = {
    f"https://me:{SECRET}@host/a?b=1": "https://host/a?b=1",
    f"https://{SECRET}@host/a": "https://host/a",
    f"https://me:pa/ss{SECRET}@host/a": "https://host/a",
    f"https://me:p@{SECRET}@host/a": "https://host/a",
    f"postgresql+psycopg2://me:{SECRET}@host:5432/db": "postgresql+psycopg2://host:5432/db",
    f"redis://:{SECRET}@host:6379/0": "redis://host:6379/0",
    f"https://host/a?X-Amz-Signature={SECRET}&b=2": "https://host/a?b=2",
    f"https://host/a?b=1&AWSAccessKeyId=AK&Signature={SECRET}#c": "https://host/a?b=1#c",
    f"https://host/a?sv=2022&sig={SECRET}": "https://host/a?sv=2022",
    f"https://host/a?X-Goog-Signature={SECRET}": "https://host/a",
    f"https://host/a?to%6ben={SECRET}": "https://host/a",
    f"https://host/a#access_token={SECRET}": "https://host/a",
    f"https://host/a?api_key={SECRET}": "https://host/a",
    f"https://host/a?key={SECRET}": "https://host/a",
    f"https://host/a?next=https%3A%2F%2Fme%3A{SECRET}%40other&b=1": "https://host/a?b=1",
    f"https://host/a?next=https://me:{SECRET}@other": "https://host/a?next=https://other",
    f"zip://a::https://me:{SECRET}@host/b": "zip://a::https://host/b",
    f"(see https://host/a?token={SECRET}); and": "(see https://host/a); and",
    f"hooks at https://host/ghp_{SECRET}0123456789": "hooks at https://host/…",
    f"Authorization: Bearer {SECRET}0123456789": "Authorization: Bearer …",
}
HARMLESS = (
    "https://medium.com/@me/a?page=2",
    "http://127.0.0.1:8000/@x",
    "http://[::1]:8080/@x",
    "abfs://container@account.dfs.core.windows.net/a",
    "ssh://git@github.com/a/b",
    "hf://owner/name@main",
    "https://host/a?",
    "https://host/a?monkey=1&tokens=2",
    "sk-learn-documentation-pages and Basic Mathematics",
    "s3://bucket/a?versionId=3",
    "me@example.org wrote: 1 < 2 & 3",
)


@pytest.mark.parametrize(("address", "shown"), CASES.items())
def test_an_address_without_its_secret(address: str, shown: str) -> None:
    assert without_secrets(address) == shown


@pytest.mark.parametrize("text", HARMLESS)
def test_what_holds_no_secret_stays_as_it_is(text: str) -> None:
    assert without_secrets(text) == text


@given(st.sampled_from(list(CASES)), st.text(max_size=20), st.text(max_size=20))
def test_no_secret_is_left_whatever_stands_around_it(address: str, before: str, after: str) -> None:
    shown = without_secrets(f"{before} {address} {after}")
    assert SECRET not in shown
    assert without_secrets(shown) == shown


@given(st.text())
def test_any_text_is_taken(text: str) -> None:
    assert without_secrets(without_secrets(text)) == without_secrets(text)


@pytest.mark.parametrize(
    "part",
    ["http://", "a:", "@", "?a=", "&sig=", "%2525253A%2F%2F", "xxx@:", "-eyJ", "-sk-", " Basic ", "api", "://a:"],
)
def test_hostile_addresses_take_linear_time(part: str) -> None:
    assert_linear(lambda size: without_secrets("https://" + part * size), 20_000)


def test_a_value_is_gone_through_to_its_leaves() -> None:
    value = {"a": [f"https://me:{SECRET}@host"], f"https://host/?sig={SECRET}": {"b": (1, None, f"x://u:{SECRET}@h")}}
    assert all_without_secrets(value) == {"a": ["https://host"], "https://host/": {"b": [1, None, "x://h"]}}


def test_names_of_secrets() -> None:
    assert all(map(is_secret_name, ("Authorization", "api-key", "X-API-Key", "password", "access_token", "HF_TOKEN")))
    assert not any(
        map(is_secret_name, ("max_tokens", "prompt_cache_key", "stop_token_ids", "seed", "top_k", "keyword"))
    )


def test_where_secret_fields_stand() -> None:
    text = f"see https://host/a?b=1&sig={SECRET}&c=2"
    assert [text[start:end] for start, end in secret_fields(text)] == [SECRET]


def test_errors_documents_and_quarantine_hold_none() -> None:
    address = f"https://me:{SECRET}@host/a?sig={SECRET}"
    document = Document("text", "web", address, "MIT", "test", metadata={"url": address, "deep": {"links": [address]}})
    assert SECRET not in json.dumps(document.row())
    assert document.source == "https://host/a"
    assert SECRET not in str(StepError(f"{address} cannot be read"))
    assert SECRET not in json.dumps(Quarantined(address, 1, f"{address}: broken").row())


REFUSED: dict[str, Any] = {
    "password of a source": {"ingestion": {"sources": [{"path": f"https://me:{SECRET}@host/a"}]}},
    "token of a source": {"ingestion": {"sources": [{"path": f"https://{SECRET}@host/a"}]}},
    "signature of a source": {"ingestion": {"sources": [{"path": f"https://host/a?X-Amz-Signature={SECRET}"}]}},
    "source that is not a mapping": {"ingestion": {"sources": [f"https://me:{SECRET}@host/a"]}},
    "variable of a source": {"ingestion": {"sources": [{"path": "https://host/a", "url_env": SECRET}]}},
    "source without a path": {"ingestion": {"sources": [{"url_env": SECRET}]}},
    "endpoint of the teacher": {"synthesis": {"teacher": {"base_url": f"https://me:{SECRET}@host/v1"}}},
    "header of the teacher": {"synthesis": {"teacher": {"request": {"extra_headers": {"Authorization": SECRET}}}}},
    "key of the teacher": {"synthesis": {"teacher": {"request": {"api_key": SECRET}}}},
    "key in place of its variable": {"synthesis": {"teacher": {"api_key_env": f"sk-{SECRET}"}}},
    "unknown key": {"synthesis": {"teacher": {"api_key": SECRET}}},
    "endpoint of the annotator": {"curation": {"education": {"endpoint": {"base_url": f"https://me:{SECRET}@host"}}}},
    "Ray cluster": {"engine": {"ray_address": f"ray://me:{SECRET}@host:10001"}},
    "token as a tokenizer": {"tokenization": {"tokenizer": f"hf_{SECRET}0123456789"}},
    "reason of a price": {"synthesis": {"teacher": {"price_source": f"https://host/?token={SECRET}"}}},
}


@pytest.mark.parametrize("values", REFUSED.values(), ids=REFUSED.keys())
def test_a_parameter_that_holds_a_secret_is_refused_unquoted(values: dict[str, Any]) -> None:
    with pytest.raises(StepError) as said:
        check_params(values)
    assert SECRET not in str(said.value)


@pytest.mark.parametrize(
    "name",
    [
        "AWS_SECRET_ACCESS_KEY",
        "MLFLOW_TRACKING_PASSWORD",
        "PREFECT_API_AUTH_STRING",
        "PHIFORGE_AUTH",
        "PHIFORGE_ALERTS",
    ],
)
@pytest.mark.parametrize(
    "values",
    [
        lambda name: {"synthesis": {"teacher": {"api_key_env": name}}},
        lambda name: {"curation": {"education": {"endpoint": {"api_key_env": name}}}},
        lambda name: {"ingestion": {"sources": [{"path": "https://host/a", "url_env": name}]}},
    ],
)
def test_no_endpoint_is_sent_the_secret_of_another_system(values: Any, name: str) -> None:
    with pytest.raises(StepError, match=f"names {name}, which holds a secret of another system"):
        check_params(values(name))


def test_the_refusal_names_the_way_that_there_is() -> None:
    with pytest.raises(StepError, match=r"sources\.0\.path: .* name an environment variable that holds it in url_env"):
        check_params(REFUSED["password of a source"])
    with pytest.raises(StepError, match=r"base_url: .* name an environment variable that holds it in api_key_env"):
        check_params(REFUSED["endpoint of the teacher"])


def test_an_override_and_a_file_that_cannot_be_read_are_not_quoted_with_secrets(tmp_path: Any) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(f"ingestion: [https://me:{SECRET}@host/a", encoding="utf-8")
    with pytest.raises(StepError) as said:
        load_params(path)
    assert SECRET not in str(said.value)
    path.write_text("seed: 1", encoding="utf-8")
    for override in (f"https://me:{SECRET}@host", f"engine.ray_address=[ray://me:{SECRET}@host"):
        with pytest.raises(StepError) as said:
            load_params(path, [override])
        assert SECRET not in str(said.value)


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("file:///my%20folder/100%25", Path("/my folder/100%")),
        ("/my folder/a%20b", Path("/my folder/a%20b")),
        ("mlruns/a", Path("mlruns/a")),
        ("s3://bucket/my%20folder", None),
        ("mlflow-artifacts:/0/a", None),
    ],
)
def test_the_place_of_an_address_on_this_machine(address: str, place: Path | None) -> None:
    assert local_path(address) == place
