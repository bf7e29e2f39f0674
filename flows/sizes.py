"""`--size`: model sizes and budgets that fit the user's text and this machine, laid under what the user has set.

What params.yaml itself says is what `dvc repro` and a run without options do alike; so sizes follow the text by themselves only
where the run names its text (`--set ingestion.sources=...`), and else where `--size` asks for it.
"""

import glob
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from components.errors import StepError
from components.params import PARAMS_FILE, Params, flatten, load_params
from components.params.sizing import plan

UNKNOWN_BYTES = 10_000_000  # taken for a source whose size nobody knows before it is read


def sized(
    root: Path, overrides: Mapping[str, Any], profile: str | None, size: str | None, say: Callable[[str], None]
) -> dict[str, Any]:
    """The overrides with the sizes that follow from text and machine; what params.yaml, the profile or an override sets stays.

    Args:
        size: as `--size`; None means auto where an override names text of the user's and there is no profile, and else leaves
            everything as it is.

    Raises:
        StepError: the parameters or the size are refused.
    """
    params = load_params(root / PARAMS_FILE, overrides, profile)
    names_text = params.ingestion.names_own_text and any(_overlap("ingestion.sources", key) for key in overrides)
    if size is None and (profile or not names_text):
        return dict(overrides)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    found = plan(text_bytes(root, params), cores, size or "auto")
    say(found.note())
    given, default = flatten(load_params(root / PARAMS_FILE, {}, profile)), flatten(Params())
    return {
        key: value
        for key, value in found.overlay.items()
        if given[key] == default[key] and not any(_overlap(key, other) for other in overrides)
    } | dict(overrides)


def sources_of(text: str, start: Path) -> list[dict[str, str]]:
    """The sources that `--text` names: folders, files, patterns such as notes/*.md, and addresses.

    Several are separated by commas or blanks; a path that is there is taken whole, whatever its name holds.

    Args:
        start: folder at which relative paths start.

    Raises:
        StepError: a path or a pattern leads to nothing.
    """

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


def text_bytes(root: Path, params: Params) -> int:
    """Bytes of the sources as they lie there, about; a limit or a format is not looked at."""
    return sum(_size(root / Path(source.path).expanduser()) for source in params.ingestion.sources)


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    if not path.is_dir():  # an address, or Python's library
        return UNKNOWN_BYTES
    sizes = []
    for folder, subfolders, names in os.walk(path):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        files = [Path(folder, name) for name in names if not name.startswith(".")]
        sizes += [file.stat().st_size for file in files if file.is_file()]
    return sum(sizes)


def _overlap(key: str, other: str) -> bool:
    """Whether one of two dotted keys lies within the other."""
    return f"{key}.".startswith(f"{other}.") or f"{other}.".startswith(f"{key}.")
