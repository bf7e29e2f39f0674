"""`--size`: model sizes and budgets for the user's text and this machine, except for parameters that the user has set.

`dvc repro` and a run without options both follow params.yaml, so sizes depend on the text only if the run names its text
(`--set ingestion.sources=...`) or has `--size`.
"""

import glob
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from components.errors import StepError
from components.foreign.confined import leads_out
from components.params import PARAMS_FILE, Params, flatten, load_params
from components.params.sizing import plan

UNKNOWN_BYTES = 10_000_000  # assumed size of a source that is unknown before it is read


@dataclass(frozen=True)
class Asked:
    """The request for a run, from the command line or the parameters of its flow.

    Attributes:
        overrides: dotted keys of params.yaml to values.
        profile: name of an overlay in profiles/.
        texts: folders, files, patterns and addresses, in the form of `--text`.
        size: in the form of `--size`.
    """

    overrides: Mapping[str, Any]
    profile: str | None = None
    texts: tuple[str, ...] = ()
    size: str | None = None


OWN_TEXT = {"curation.education.max_drop.prose": 0.0}  # all parts of a book or of personal notes are wanted


def sized(
    root: Path, overrides: Mapping[str, Any], profile: str | None, size: str | None, text_bytes: int
) -> dict[str, Any]:
    """The overrides with sizes for text and machine, and OWN_TEXT for the user's text, except for parameters that are set in
    params.yaml, the profile or an override.

    Args:
        size: in the form of `--size`; None means auto if an override names the user's text and there is no profile, and
            otherwise no change.
        text_bytes: UTF-8 bytes of the text in the sources.

    Raises:
        StepError: the parameters or the size are refused.
    """
    params = load_params(root / PARAMS_FILE, overrides, profile)
    names_text = params.ingestion.names_own_text and any(_overlap("ingestion.sources", key) for key in overrides)
    if size is None and (profile or not names_text):
        return dict(overrides)
    overlay = plan(text_bytes, cores(), size or "auto").overlay | (OWN_TEXT if names_text else {})
    given, default = flatten(load_params(root / PARAMS_FILE, {}, profile)), flatten(Params())
    return {
        key: value
        for key, value in overlay.items()
        if given[key] == default[key] and not any(_overlap(key, other) for other in overrides)
    } | dict(overrides)


def cores() -> int:
    """The number of cores for this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def sources_of(text: str, start: Path) -> list[dict[str, str]]:
    """The sources in `--text`: folders, files, patterns such as notes/*.md, and addresses.

    Several sources are separated by commas or spaces, but an existing path may have such characters too. A path may be a
    link to any place; the matches of a pattern must be in the pattern's folder, because other people may have put links
    there.

    Args:
        start: folder for relative paths.

    Raises:
        StepError: a path does not exist, a pattern has no match or matches a link that leads out, or the text is not
            UTF-8.
    """
    if any("\ud800" <= char <= "\udfff" for char in text):  # Python's form of bytes that are not UTF-8
        raise StepError(f"text: the path {text!a} is not UTF-8; rename it, or name the folder above it")

    def place(path: str | Path) -> Path:
        return start / os.path.expanduser(path)

    def exists(path: str) -> bool:
        return bool(path) and os.path.exists(place(path))

    paths: list[str] = []
    for word in [text] if exists(text) else re.split(r"[,\s]+", text.strip(", \n\t")):
        if "://" in word:
            paths.append(word)
            continue
        found = [place(word)] if exists(word) else _matching(Path(word), place)
        if not found:
            raise StepError(
                f"text: {word!r} was not found in {start}; expected a file, a folder, a pattern or an address; correct the path"
            )
        paths += [str(path.resolve()) for path in found]
    return [{"path": path} for path in dict.fromkeys(paths)]


def _matching(pattern: Path, place: Callable[[Path], Path]) -> list[Path]:
    """The matches of a pattern in the folder before its first wildcard, without hidden files. `**` does not follow links,
    which may lead in a circle.

    Args:
        place: resolves a relative path.

    Raises:
        StepError: a match is a link that leads out of that folder.
    """
    plain = list(takewhile(lambda part: not glob.has_magic(part), pattern.parts))
    folder, wanted = place(Path(*plain)), pattern.parts[len(plain) :]
    try:
        found = sorted(folder.glob(str(Path(*wanted)))) if wanted else []
    except (OSError, ValueError):  # a name that is too long, or contains `**`
        return []
    found = [path for path in found if not any(_is_hidden(part, wanted) for part in path.relative_to(folder).parts)]
    for path in found:
        if leads_out(path, folder):
            raise StepError(
                f"text: {str(path)!r} is a link that leads out of {folder}; expected text in that folder; name the link "
                "itself if you trust it, or remove it"
            )
    return found


def _is_hidden(name: str, wanted: Sequence[str]) -> bool:
    return name.startswith(".") and not any(part.startswith(".") for part in wanted)


def _overlap(key: str, other: str) -> bool:
    """Whether one of two dotted keys is within the other."""
    return f"{key}.".startswith(f"{other}.") or f"{other}.".startswith(f"{key}.")
