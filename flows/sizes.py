"""`--size`: model sizes and budgets that fit the user's text and this machine, laid under what the user has set.

What params.yaml itself says is what `dvc repro` and a run without options do alike; so sizes follow the text by themselves only
where the run names its text (`--set ingestion.sources=...`), and else where `--size` asks for it.
"""

import glob
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.errors import StepError
from components.params import PARAMS_FILE, Params, flatten, load_params
from components.params.sizing import plan

UNKNOWN_BYTES = 10_000_000  # taken for a source whose size nobody knows before it is read


@dataclass(frozen=True)
class Asked:
    """What a run was asked for, on the command line or by the parameters of its flow.

    Attributes:
        overrides: dotted keys of params.yaml to values.
        profile: name of an overlay in profiles/.
        text: as `--text`.
        size: as `--size`.
    """

    overrides: Mapping[str, Any]
    profile: str | None = None
    text: str | None = None
    size: str | None = None


def sized(
    root: Path, overrides: Mapping[str, Any], profile: str | None, size: str | None, text_bytes: int
) -> dict[str, Any]:
    """The overrides with the sizes that follow from text and machine; what params.yaml, the profile or an override sets stays.

    Args:
        size: as `--size`; None means auto where an override names text of the user's and there is no profile, and else leaves
            everything as it is.
        text_bytes: of the text in the sources, UTF-8.

    Raises:
        StepError: the parameters or the size are refused.
    """
    params = load_params(root / PARAMS_FILE, overrides, profile)
    names_text = params.ingestion.names_own_text and any(_overlap("ingestion.sources", key) for key in overrides)
    if size is None and (profile or not names_text):
        return dict(overrides)
    overlay = plan(text_bytes, cores(), size or "auto").overlay
    given, default = flatten(load_params(root / PARAMS_FILE, {}, profile)), flatten(Params())
    return {
        key: value
        for key, value in overlay.items()
        if given[key] == default[key] and not any(_overlap(key, other) for other in overrides)
    } | dict(overrides)


def cores() -> int:
    """Of this machine, as far as this process may use them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def sources_of(text: str, start: Path) -> list[dict[str, str]]:
    """The sources that `--text` names: folders, files, patterns such as notes/*.md, and addresses.

    Several are separated by commas or blanks; a path that is there is taken whole, whatever its name holds.

    Args:
        start: folder at which relative paths start.

    Raises:
        StepError: a path or a pattern leads to nothing, or is not UTF-8.
    """
    if any("\ud800" <= char <= "\udfff" for char in text):  # how Python keeps bytes that are not UTF-8
        raise StepError(f"text: the path {text!a} is not UTF-8; rename it, or name the folder above it")

    def place(path: str) -> Path:
        return start / os.path.expanduser(path)

    def is_there(path: str) -> bool:
        return bool(path) and os.path.exists(place(path))

    paths: list[str] = []
    for word in [text] if is_there(text) else re.split(r"[,\s]+", text.strip(", \n\t")):
        if "://" in word:
            paths.append(word)
            continue
        pattern = os.path.expanduser(word)
        found = [word] if is_there(word) else sorted(glob.glob(pattern, root_dir=start, recursive=True))
        if not found:
            raise StepError(f"text: there is no file or folder {word!r} in {start}; correct the path")
        paths += [str(place(path).resolve()) for path in found]
    return [{"path": path} for path in dict.fromkeys(paths)]


def _overlap(key: str, other: str) -> bool:
    """Whether one of two dotted keys lies within the other."""
    return f"{key}.".startswith(f"{other}.") or f"{other}.".startswith(f"{key}.")
