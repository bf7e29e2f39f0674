"""The text of a run that a person is about to start: its contents, the sizes that follow from it, and uploaded files."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from components.errors import StepError
from components.files import atomic_directory
from components.params import PARAMS_FILE, load_params
from components.running.contents import Contents
from flows.client.runs import Launch
from flows.preview import survey, with_least_parts
from flows.settings import state_folder
from flows.sizes import UNKNOWN_BYTES, Asked, sized, sources_of

UPLOADS = "uploads"
_UNSAFE = re.compile(r"[^\w.,+@ ()-]")


class Looked(NamedTuple):
    """The contents of a run's text, the bytes of it, and the run's parameters with the sizes that follow."""

    contents: Contents
    bytes: int
    overrides: dict[str, Any]


def contents(root: Path, wanted: Launch) -> Contents:
    """Read a sample of a run's text, in a separate process and at most for some seconds, as the run will do.

    Raises:
        StepError: the text or a parameter is refused.
    """
    asked = _asked(root, wanted)
    params = load_params(root / PARAMS_FILE, asked.overrides, asked.profile)
    if not params.ingestion.names_own_text:
        return Contents(elsewhere=["python"])
    return survey(root, with_least_parts(root, asked, params))


def look(root: Path, wanted: Launch, found: Contents) -> Looked:
    """The sizes that follow from a text; raises as `contents` does."""
    asked = _asked(root, wanted)
    size = found.total.text_bytes + UNKNOWN_BYTES * len(found.elsewhere)
    return Looked(found, size, sized(root, asked.overrides, asked.profile, asked.size, size))


def _asked(root: Path, wanted: Launch) -> Asked:
    named = {"ingestion.sources": sources_of(wanted.text, root)} if wanted.text else {}
    return Asked({**wanted.overrides, **named}, wanted.profile or None, size=wanted.size or None)


def store(root: Path, files: Sequence[tuple[str, bytes]]) -> Path:
    """Keep uploaded files in the project's state; the same files are kept once.

    Args:
        files: names, of which only the last part counts, and contents.

    Raises:
        StepError: a file has no usable name.
    """
    digest = hashlib.sha256()
    named: dict[str, bytes] = {}
    for given, content in files:
        name = _UNSAFE.sub("_", re.split(r"[/\\]", given)[-1]).lstrip(".")
        if not name:
            raise StepError(f"{given!r} has no usable name; expected a name such as notes.txt; rename it")
        while name in named:
            name = f"again-{name}"
        named[name] = content
        digest.update(f"{name} {len(content)} ".encode() + content)
    folder = state_folder(root) / UPLOADS / digest.hexdigest()[:16]
    if not folder.exists():
        with atomic_directory(folder, replace=False) as partial:
            for name, content in named.items():
                (partial / name).write_bytes(content)
    return folder


def launched(root: Path, wanted: Launch, seeds: int) -> list[Launch]:
    """The runs of several seeds, from the wanted one on, with names that tell them apart."""
    if seeds == 1:
        return [wanted]
    first = load_params(root / PARAMS_FILE, wanted.overrides, wanted.profile or None).seed
    return [
        replace(
            wanted,
            overrides={**wanted.overrides, "seed": seed},
            name=f"{wanted.name}, seed {seed}" if wanted.name else "",
        )
        for seed in range(first, first + seeds)
    ]
