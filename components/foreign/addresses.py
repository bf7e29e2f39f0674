"""Addresses without their secrets.

A secret in an address is a user's name and password (`https://user:password@host`), a token instead of them, or a field
of the query with a signature or key (`X-Amz-Signature`, `sig`, `access_token`). Parameters with secrets are refused, because
dvc.lock, MLflow and Prefect store every parameter. Addresses from data, the environment or a library's error are shown and
written only after `without_secrets`.
"""

import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

HIDDEN = "…"  # replaces a token outside an address
_LEVELS = 3  # maximum nesting of addresses in the queries of others; a hostile one has thousands of levels
_AFTER_SCHEME = re.compile(r"://(?:(?!://)[^\s\"<>])+")  # up to the next address, which may be in the query of another
# `user:password@`, also with a slash in the password; the digits of a port are not a password.
_PASSWORD = re.compile(r"(?!\[)[^/?#@:]*:(?!\d*(?:[/?#]|$))[^@]*@(?:[^/?#]*@)?")
_USER = re.compile(r"[^/?#]*@")
_FIELD = re.compile(r"(?P<mark>[?&;#])(?P<name>[^?&;#=]*)=(?P<value>[^&;#]*)")
_NAME = re.compile(
    r".*(?:api_?key|access_?key(?:_?id)?|access_?id|secret(?:_?key)?|private_?key|key_?pair_?id|passw(?:or)?d|passphrase|pwd"
    r"|authorization|cookie|credentials?|signature|(?:access|auth|id|refresh|security|session|bearer|api|hf|private)_?token)"
    r"|token|jwt|auth|key|sig"
)
# Tokens with known first characters, and the value of an Authorization header.
_TOKEN = re.compile(
    r"\b(?:gh[opsur]_[A-Za-z0-9]{16,}|github_pat_\w{16,}|hf_[A-Za-z0-9]{16,}|sk-(?=[\w-]{0,200}\d)[\w-]{16,}"
    r"|glpat-[\w-]{16,}|npm_[A-Za-z0-9]{16,}|xox[abeoprs]-[\w-]{10,}|AKIA[A-Z0-9]{16}|ASIA[A-Z0-9]{16}|AIza[\w-]{30,}"
    r"|eyJ[\w-]{8,500}\.[\w-]{8,}(?:\.[\w-]+)?)"
    r"|(?<=Bearer )[\w.~+/-]{16,}=*|(?<=Basic )[A-Za-z0-9+/]{16,}=+"
)


def without_secrets(text: str) -> str:
    """A text without known tokens and without the user information and secret fields of its addresses.

    Text without secrets is returned unchanged.
    """
    return _TOKEN.sub(HIDDEN, _public_addresses(text, _LEVELS))


def all_without_secrets(value: Any) -> Any:
    """A value of JSON with `without_secrets` applied to every string in it."""
    if isinstance(value, str):
        return without_secrets(value)
    if isinstance(value, Mapping):
        return {all_without_secrets(key): all_without_secrets(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [all_without_secrets(part) for part in value]
    return value


def refuse_secrets(value: Any, remedy: str = "give it in the environment") -> None:
    """Refuse a parameter with a secret, in an address or under a name such as `Authorization`.

    Raises:
        ValueError: there is a secret; the message does not quote it.
    """
    if isinstance(value, str) and without_secrets(value) != value:
        raise ValueError(
            "contains a password, token or signature, which would be written to dvc.lock, MLflow and Prefect; expected "
            f"none: take it out and {remedy}"
        )
    if isinstance(value, Mapping):
        for name, part in value.items():
            if part and isinstance(part, str) and is_secret_name(str(name)):
                raise ValueError(
                    f"contains a value under {name}, which would be written to dvc.lock, MLflow and Prefect; expected no "
                    f"secret: take it out and {remedy}"
                )
            refuse_secrets(part, remedy)
    if isinstance(value, list | tuple):
        for part in value:
            refuse_secrets(part, remedy)


def is_secret_name(name: str) -> bool:
    """Whether a field of a query or request with this name is a secret."""
    return _NAME.fullmatch(unquote(name).lower().replace("-", "_")) is not None


def secret_fields(text: str) -> Iterator[tuple[int, int]]:
    """The positions of the values of secret fields in the addresses of a text."""
    for address in _AFTER_SCHEME.finditer(text):
        for field in _FIELD.finditer(text, address.start(), address.end()):
            if field["value"] and is_secret_name(field["name"]):
                yield field.span("value")


def is_web(address: str) -> bool:
    """Whether an address begins with http or https."""
    return urlsplit(address).scheme.lower() in ("http", "https")


def local_path(address: str) -> Path | None:
    """The local path of a `file:` address or a plain path; None for other addresses."""
    parts = urlsplit(address)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    return None if parts.scheme else Path(address)


def _public_addresses(text: str, levels: int) -> str:
    return _AFTER_SCHEME.sub(partial(_public, levels), text) if "://" in text else text


def _public(levels: int, match: re.Match[str]) -> str:
    """The rest of an address after the scheme, without secrets. Punctuation at its end belongs to the sentence."""
    whole = match[0].removeprefix("://")
    rest = whole.rstrip("'),.:;]}")
    end = whole[len(rest) :]
    if (user := _PASSWORD.match(rest)) or ((user := _USER.match(rest)) and _is_secret_user(match, user[0])):
        rest = rest[user.end() :]
    kept = _FIELD.sub(partial(_public_field, levels), rest)
    if kept != rest:  # the first remaining field takes the mark of a removed one
        kept = re.sub(r"([?#])[&;]+", r"\1", kept)
        kept = re.sub(r"[?#](?=#|$)", "", kept)
    return f"://{kept}{end}"


def _is_secret_user(match: re.Match[str], user: str) -> bool:
    """Whether a user without a password is a secret: in a web address always, else (`abfs://container@account`) a token."""
    scheme = match.string[max(0, match.start() - 5) : match.start()].lower()
    return scheme.endswith(("http", "https")) or _TOKEN.search(user) is not None


def _public_field(levels: int, field: re.Match[str]) -> str:
    """A field of a query, or only its separator if it is a secret or contains an address with one."""
    value = unquote(field["value"])
    nested = levels and _public_addresses(value, levels - 1) != value
    if nested or is_secret_name(field["name"]):
        return field["mark"] if field["mark"] in "?#" else ""
    return field[0]
