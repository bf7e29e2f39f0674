"""Block lists of addresses: whole domains, beginnings of addresses, and words that an address may not contain.

The method is that of FineWeb and RefinedWeb (Penedo et al. 2023, arXiv 2306.01116, appendix G.1). The user names a folder of
lists; the project ships none. A list is a UTF-8 file, one entry per line; empty lines and lines that begin with `#` are skipped.

- `domains.txt`: `example.com` blocks the domain and all below it.
- `prefixes.txt`: `example.com/forum/` blocks addresses that begin with it, with any scheme, with or without `www.`
- `words.txt`: blocks an address with one of them between characters that are neither letters nor digits.
- `soft_words.txt`: the same for addresses with SOFT different ones.
- `subwords.txt`: blocks an address that contains one of them after everything but letters and digits is removed.

Domains and prefixes are compared by 64-bit hashes, so that a list of millions takes 8 bytes per entry.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np

from components.curation.rules import Failure
from components.errors import StepError
from components.files import open_file, read_json, save_array, write_json

SOFT = 2  # different soft words that block an address, as in FineWeb
LONGEST = 10_000  # characters of an address that are examined
_DOMAIN = re.compile(r"[\w.:\[\]-]+")  # or an IP address
_APART = re.compile(r"[\W_]+")
_HASHED, _WORDS = ("domains", "prefixes"), ("words", "soft_words", "subwords")


@dataclass(frozen=True)
class UrlLists:
    """Attributes:
    hashed: uint64, sorted hashes of the domains and of the prefixes.
    lengths: distinct lengths of the prefixes.
    words: the entries of the other lists.
    identity: a hash of all entries.
    """

    hashed: Mapping[str, np.ndarray]
    lengths: list[int]
    words: Mapping[str, frozenset[str]]
    identity: str

    @classmethod
    def build(cls, folder: Path) -> "UrlLists":
        """Read the lists of a folder.

        Raises:
            StepError: the folder has no list, or a list cannot be read or is not UTF-8.
        """
        files = {name: folder / f"{name}.txt" for name in (*_HASHED, *_WORDS)}
        files = {name: path for name, path in files.items() if path.exists()}
        if not files:
            names = ", ".join(f"{name}.txt" for name in (*_HASHED, *_WORDS))
            raise StepError(f"curation.url_lists: {folder} has no list; expected a folder with some of {names}")
        hashed, lengths, words, identity = {}, [], {}, sha256()
        for name in (*_HASHED, *_WORDS):
            entries = sorted(set(_entries(name, files[name]))) if name in files else []
            identity.update(f"{name}\n{chr(10).join(entries)}\n".encode())
            if name in _HASHED:
                hashed[name] = np.unique(np.array([_hash(entry) for entry in entries], dtype=np.uint64))
            else:
                words[name] = frozenset(entries)
            if name == "prefixes":
                lengths = sorted({len(entry) for entry in entries})
        return cls(hashed, lengths, words, identity.hexdigest())

    def save(self, folder: Path) -> None:
        """Write the lists where workers find them."""
        folder.mkdir()
        for name, hashes in self.hashed.items():
            save_array(folder / f"{name}.npy", hashes)
        words = {name: sorted(entries) for name, entries in self.words.items()}
        write_json(folder / "lists.json", {"lengths": self.lengths, "words": words, "identity": self.identity})

    @classmethod
    def load(cls, folder: Path) -> "UrlLists":
        content = read_json(folder / "lists.json", "run the step again", "run the step again")
        hashed = {name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in _HASHED}
        words = {name: frozenset(entries) for name, entries in content["words"].items()}
        return cls(hashed, content["lengths"], words, content["identity"])

    def first_failure(self, address: str) -> Failure | None:
        """The failure of a blocked address; None if no list blocks it."""
        if not address:
            return None
        place = _without_scheme(address)
        host = re.split(r"[/?#]", place, maxsplit=1)[0]
        for domain in _domains(host):
            if self._holds("domains", domain):
                return _blocked("domains", 1, 0, f"the address is on the blocked domain {domain}")
        for length in self.lengths:
            if length <= len(place) and self._holds("prefixes", place[:length]):
                return _blocked("prefixes", 1, 0, f"the address begins with {place[:length]}, which is blocked")
        found = set(_APART.split(place))
        if said := sorted(found & self.words["words"]):
            return _blocked("words", len(said), 0, f"the address contains {', '.join(said)}")
        if len(said := sorted(found & self.words["soft_words"])) >= SOFT:
            return _blocked("soft_words", len(said), SOFT - 1, f"the address contains {', '.join(said)}")
        joined = _APART.sub("", place)
        if said := sorted(word for word in self.words["subwords"] if word in joined):
            return _blocked("subwords", len(said), 0, f"the address contains {', '.join(said)}")
        return None

    def _holds(self, name: str, entry: str) -> bool:
        hashes = self.hashed[name]
        value = np.uint64(_hash(entry))
        place = int(np.searchsorted(hashes, value))
        return place < len(hashes) and hashes[place] == value


def address_of(source: str, metadata: Mapping[str, Any]) -> str:
    """The address of a document: from its row, else its source, if that is an address."""
    said = metadata.get("url")
    if isinstance(said, str) and said:
        return said
    return source if "://" in source else ""


def _entries(name: str, path: Path) -> Iterator[str]:
    try:
        with open_file(path) as file:
            for number, line in enumerate(file, start=1):
                entry = line.decode("utf-8-sig").strip()
                if not entry or entry.startswith("#") or not (normal := _normal(name, entry)):  # which would block all
                    continue
                if name == "domains" and not _DOMAIN.fullmatch(normal):
                    raise StepError(
                        f"curation.url_lists: {path}: line {number}: {entry[:100]!r} is not a domain; expected one such as "
                        "example.com, which blocks all below it too; beginnings of addresses go into prefixes.txt"
                    )
                yield normal
    except (OSError, ValueError) as error:
        raise StepError(
            f"curation.url_lists: {path} cannot be read ({error}); expected a UTF-8 file with one entry per line"
        ) from error


def _normal(name: str, entry: str) -> str:
    if name == "domains":
        return next(_domains(_without_scheme(entry).rstrip("/")), "")
    return _without_scheme(entry) if name == "prefixes" else _APART.sub("", entry.lower())


def _without_scheme(address: str) -> str:
    """An address in lower case from its host on, without scheme, user, port and `www.`, escapes resolved."""
    place = unquote(address[:LONGEST]).lower()
    place = place.partition("://")[2] or place
    host, rest = re.match(r"([^/?#]*)(.*)", place, re.S).groups()  # type: ignore[union-attr]
    host = re.sub(r":\d*$", "", host.rpartition("@")[2]).rstrip(".").removeprefix("www.")
    if not host.isascii():
        with suppress(UnicodeError):  # not a valid host name
            host = host.encode("idna").decode()
    return host + rest


def _domains(host: str) -> Iterator[str]:
    """The host and the domains above it."""
    while host:
        yield host
        host = host.partition(".")[2]


def _blocked(name: str, value: float, threshold: float, detail: str) -> Failure:
    return Failure(f"url_lists.{name}", value, threshold, detail)


def _hash(entry: str) -> int:
    return int.from_bytes(blake2b(entry.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
