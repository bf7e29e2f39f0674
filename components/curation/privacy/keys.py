"""Keys, tokens and passwords: text in the form of a provider's key, a private key's block, a URL's password, a
secret's value.

Forms are those of detect-secrets' plugins and a few newer ones. They are tried only where a key's first characters
occur, which takes a search for a few short strings. A value counts as a secret if it is assigned to a name such as
`api_key` or `password` and looks random: letters and digits, enough entropy, not a placeholder or identifier. Hashes
without such a name stay.
"""

import functools
import importlib
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from components.curation.privacy.spans import Span
from components.foreign.addresses import secret_fields

_SHORTEST = 16  # characters of a signature or token in an address; a shorter one may be any value
_LONGEST = 4_096  # maximum characters of one key
_BLOCK = 16_384  # maximum characters of a private key's block
# First characters, and the plugin of detect-secrets that matches the rest.
_PLUGINS = {
    "AKIA": "aws.AWSKeyDetector",
    "ASIA": "aws.AWSKeyDetector",
    "ghp_": "github_token.GitHubTokenDetector",
    "gho_": "github_token.GitHubTokenDetector",
    "ghs_": "github_token.GitHubTokenDetector",
    "ghu_": "github_token.GitHubTokenDetector",
    "ghr_": "github_token.GitHubTokenDetector",
    "glpat-": "gitlab_token.GitLabTokenDetector",
    "xox": "slack.SlackDetector",
    "https://hooks.slack.com/": "slack.SlackDetector",
    "sk_live_": "stripe.StripeDetector",
    "rk_live_": "stripe.StripeDetector",
    "SG.": "sendgrid.SendGridDetector",
    "eyJ": "jwt.JwtTokenDetector",
    "AccountKey=": "azure_storage_key.AzureStorageKeyDetector",
    "pypi-AgE": "pypi_token.PypiTokenDetector",
}
_YOUNGER = {
    "AIza": r"AIza[0-9A-Za-z_\-]{35}",  # Google
    "hf_": r"hf_[A-Za-z0-9]{34,40}",  # Hugging Face
    "sk-": r"sk-(?:(?:proj|ant|or|svcacct)-)?(?=[A-Za-z_\-]{0,200}[0-9])[A-Za-z0-9_\-]{32,200}",  # OpenAI, Anthropic and others
    "npm_": r"npm_[A-Za-z0-9]{36}",
    "github_pat_": r"github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}",
}
# One search instead of one for each: the text after the underscore of many, and those with an A.
_ALL = (*_PLUGINS, *_YOUNGER)
_TOGETHER = (
    (re.compile("_[A-Za-z0-9]{16}"), [first for first in _ALL if first[-1] == "_"]),
    (re.compile("A(?:KIA|SIA|Iza|ccountKey=)"), [first for first in _ALL if first[0] == "A"]),
)
_FIRST = [first for first in _ALL if first[-1] != "_" and first[0] != "A"]
_PRIVATE = re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_PRIVATE_LINES = re.compile(r"(?:\s{1,2}[A-Za-z0-9+/=]{40,80})+")
_USERINFO = re.compile(r"://[^\s:/@{}<>\"'$%]{0,64}:([^\s:/@{}<>\"'$]{4,128})@")
_NAMES = ("secret", "token", "passw", "api_key", "apikey", "api-key", "access_key", "accesskey", "private_key")
_OTHER_NAMES = [name for name in _NAMES if not name.endswith("key")]
_KEY_NAME = re.compile(f"key(?:{'|'.join(f'(?<={name})' for name in _NAMES if name.endswith('key'))})")
_QUOTED = re.compile(
    r"""(?!\w{5,7}(?:iz|ary))[\w\-]{1,48}["']?\]?\s{0,3}(?::\s{0,2}\w{1,12}\s{0,3}=|:=|=>|==|!=|[=:])\s{0,3}[rbuRBU]{0,2}(["'])([^"'\s\\]{8,256})\1"""
)
_BARE = re.compile(r"[\w\-]{1,48}\s?[=:]\s?([A-Za-z0-9+/_\-=]{20,256})(?![\w(\[@:/]|\.\w)")
_PLACEHOLDER = re.compile(
    r"(?i)example|your|change_?me|placeholder|dummy|sample|redacted|insert|replace|x{4}|\*{3}|\.{3}|0{6}|1234567|abcdef|<|>|[{}$%]|\(|://|^/|^\.|password1|test"
)
_IDENTIFIER = re.compile(r"[A-Za-z]+[0-9]{0,3}(?:[_\-./:][A-Za-z]*[0-9]{0,3})*")
_LEAST_ENTROPY, _LEAST_BARE_ENTROPY = 2.75, 3.5  # bits per character


def keys(text: str, lowered: str) -> Iterator[Span]:
    """Keys, tokens and passwords of a text; `lowered` is the text in lower case."""
    for first in _FIRST:
        if first in text:
            yield from _of_form(text, first)
    for sign, firsts in _TOGETHER:
        if sign.search(text):
            for first in firsts:
                yield from _of_form(text, first)
    if "-----BEGIN " in text:
        yield from _private(text)
    if "://" in text:
        if "@" in text:
            yield from _of_urls(text)
        if "=" in text:
            yield from _of_queries(text)
    if any(name in lowered for name in _OTHER_NAMES) or _KEY_NAME.search(lowered):
        yield from _values(text, lowered)


def _of_form(text: str, first: str) -> Iterator[Span]:
    at = text.find(first)
    while at >= 0:
        end = 0 if _goes_on(text[at - 1 : at] if at else "", "_-./+") else _end(first, text, at)
        if end and not _goes_on(text[end : end + 1], "_") and _is_real(first, text[at:end]):
            yield Span(at + (len(first) if first.endswith("=") else 0), end, "key")
            at = end - 1
        at = text.find(first, at + 1)


def _goes_on(character: str, others: str) -> bool:
    """Whether the character beside a key makes it part of something longer."""
    return character != "" and (character.isalnum() or character in others)


def _is_real(first: str, key: str) -> bool:
    if "EXAMPLE" in key or "xxxx" in key.lower() or len(set(key)) < 8:
        return False
    if first != "eyJ":
        return True
    from detect_secrets.plugins.jwt import JwtTokenDetector

    return JwtTokenDetector.is_formally_valid(key)


def _end(first: str, text: str, at: int) -> int:
    """The end of the longest key that begins here; 0 if none does."""
    matches = [pattern.match(text, at, min(len(text), at + _LONGEST)) for pattern in _forms(first)]
    return max((match.end() for match in matches if match), default=0)


@functools.cache
def _forms(first: str) -> tuple[re.Pattern[str], ...]:
    if first in _YOUNGER:
        return (re.compile(_YOUNGER[first]),)
    if first == "eyJ":  # detect-secrets' own pattern misses the signature: its last part is lazy
        return (re.compile(r"eyJ[A-Za-z0-9_=\-]+\.[A-Za-z0-9_=\-]+(?:\.[A-Za-z0-9_=\-]+)?"),)
    module, _, plugin = _PLUGINS[first].partition(".")
    return tuple(getattr(importlib.import_module(f"detect_secrets.plugins.{module}"), plugin).denylist)


def _private(text: str) -> Iterator[Span]:
    end = 0
    for begin in _PRIVATE.finditer(text):
        if begin.start() < end:
            continue
        closing = text.find("-----END ", begin.end(), begin.end() + _BLOCK)
        if closing >= 0:
            end = text.find("-----", closing + 9, closing + 80)
            end = end + 5 if end >= 0 else closing
        else:
            lines = _PRIVATE_LINES.match(text, begin.end(), begin.end() + _BLOCK)
            end = lines.end() if lines else begin.end()
        if end > begin.end() + 40:
            yield Span(begin.start(), end, "key")


def _of_urls(text: str) -> Iterator[Span]:
    for match in _USERINFO.finditer(text):
        value = match[1]
        if not _PLACEHOLDER.search(value) and not value.isalpha() and not value.isdigit():
            yield Span(match.start(1), match.end(1), "key")


def _of_queries(text: str) -> Iterator[Span]:
    """Signatures and tokens in the queries of addresses."""
    for start, end in secret_fields(text):
        if end - start >= _SHORTEST and _is_secret(unquote(text[start:end]), False, False):
            yield Span(start, end, "key")


def _values(text: str, lowered: str) -> Iterator[Span]:
    end = 0
    for start, name in _named(lowered):
        if start < end:
            continue
        quoted = _QUOTED.match(text, start, start + 400)
        match = quoted or _BARE.match(text, start, start + 400)
        if match is None:
            continue
        group = 2 if quoted else 1
        if _is_secret(match[group], bool(quoted), name == "passw"):
            end = match.end()
            yield Span(match.start(group), match.end(group), "key")


def _named(lowered: str) -> list[tuple[int, str]]:
    """Positions of names of secrets, in order. A search for each is ten times as fast as a pattern that ignores case."""
    found = []
    for name in _NAMES:
        at = lowered.find(name)
        while at >= 0:
            found.append((at, name))
            at = lowered.find(name, at + len(name))
    return sorted(found)


def _is_secret(value: str, quoted: bool, password: bool) -> bool:
    digits = sum(map(str.isdigit, value))
    if not digits or digits == len(value) or not any(map(str.isalpha, value)) or _PLACEHOLDER.search(value):
        return False
    if _IDENTIFIER.fullmatch(value) and not (password and digits >= 2 and value.isalnum()):
        return False
    return _entropy(value) >= (_LEAST_ENTROPY if quoted else _LEAST_BARE_ENTROPY)


def _entropy(value: str) -> float:
    """Bits per character, as detect-secrets computes them."""
    return _measure().calculate_shannon_entropy(value)


@functools.cache
def _measure() -> Any:
    from detect_secrets.plugins.high_entropy_strings import Base64HighEntropyString

    return Base64HighEntropyString()
