"""Who may ask the served model, and for what."""

from typing import Any

import pytest

from components.phi.serve import RequestFilter

FINE = {"host": "127.0.0.1:8000"}


def scope(path: str = "/v1/completions", kind: str = "http", **headers: str) -> dict[str, Any]:
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    return {"type": kind, "path": path, "headers": encoded}


@pytest.mark.parametrize(
    "headers",
    [
        FINE,
        {"host": "localhost:8000"},
        FINE | {"origin": "http://127.0.0.1:8000"},
        FINE | {"authorization": "Bearer any"},
    ],
)
def test_this_machine_may_ask(headers: dict[str, str]) -> None:
    assert RequestFilter(None, 8000).refusal(scope(**headers)) is None


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (scope(), 403),  # no Host at all
        (scope(host="evil.example"), 403),
        (scope(host="evil.example:8000"), 403),
        (scope(host="127.0.0.1:9000"), 403),
        (scope(host="127.0.0.1:8000.evil.example"), 403),
        (scope(**FINE, origin="http://evil.example"), 403),
        (scope(**FINE, origin="null"), 403),
        (scope(**FINE, origin="https://127.0.0.1:8000"), 403),
        (scope("/load_model", **FINE), 404),
        (scope("/reset", **FINE), 404),
        (scope("/v1/models", **FINE), 404),  # it tells what lies in the person's cache of the Hugging Face hub
        (scope("/v1/completions/../../load_model", **FINE), 404),
        (scope("/docs", **FINE), 404),
        (scope(kind="websocket", **FINE), 404),
    ],
)
def test_others_may_not(asked: dict[str, Any], status: int) -> None:
    assert RequestFilter(None, 8000).refusal(asked)[0] == status


@pytest.mark.parametrize(
    ("given", "status"), [("Bearer right", None), ("Bearer wrong", 401), ("right", None), ("", 401)]
)
def test_a_key_is_asked_for_where_there_is_one(given: str, status: int | None) -> None:
    refused = RequestFilter(None, 8000, "right").refusal(scope(**FINE, authorization=given))
    assert (refused and refused[0]) == status
