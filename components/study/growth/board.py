"""Entries of the growth board: the rules that an entry must keep, each checked from its files, and the table.

An entry is a folder: `entry.json` (who, what, from which commit, and the hash of every file), `params.yaml` and `dvc.lock`
of the study, and `records/` with every training run of the entry's arm and of the two compulsory arms. dvc.lock ties each
record to its command, its parameters, and the hashes of the code, the tokens and the small model that made it.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import BaseModel, ValidationError

from components.errors import StepError
from components.files import write_json
from components.params import Params, check_params, flatten, read_yaml
from components.results.tables import Table
from components.study.growth.analysis import Study, analyse
from components.study.growth.arms import ARMS, CONTINUED, EQUAL_COST, SCRATCH
from components.study.growth.record import Record, best_trial, read_record
from components.study.pages import with_interval
from components.study.statistics import paired, verdict

ENTRY, LOCK, PARAMS = "entry.json", "dvc.lock", "params.yaml"
RECORDS = "reports/study"  # of the study, and below `records` in an entry
PROFILE = "board"
SEEDS, RATES = 5, 3  # at least
COMPULSORY = (SCRATCH, CONTINUED)
CHOSEN = ("study.arms", "study.rates", "study.seeds")  # by the entry, although the profile has values
DATA, CODE = ("data/tokens", "data/exam"), "components/"


@dataclass(frozen=True)
class Entry:
    """The content of entry.json.

    Attributes:
        name: name of the row.
        arm: arm of the growth study.
        by: who submits it.
        note: what it shows, also if that is a failure to confirm another entry.
        commit: git commit of the source.
        data: DVC's hashes of the tokens and the exam; only entries with equal ones are compared.
        files: SHA-256 of every other file, by its path in the folder.
    """

    name: str
    arm: str
    by: str
    note: str
    commit: str
    data: dict[str, str]
    files: dict[str, str]


@dataclass(frozen=True)
class Verified:
    """An entry that follows the rules, with the study of its arm and the compulsory ones."""

    entry: Entry
    params: Params
    study: Study
    code: dict[str, str]  # DVC's hash of each file and folder of code that the stages depend on

    @property
    def losses(self) -> list[float]:
        """The final loss of each seed."""
        return self.study.losses((self.entry.arm, 1.0))


class _File(BaseModel):
    path: str
    md5: str = ""


class _Stage(BaseModel):
    params: dict[str, dict[str, Any]] = {}
    deps: list[_File] = []
    outs: list[_File] = []


class Lock(BaseModel):
    """What the board reads of a dvc.lock."""

    stages: dict[str, _Stage]

    @classmethod
    def read(cls, path: Path) -> "Lock":
        """Read a file.

        Raises:
            StepError: it is not a dvc.lock.
        """
        try:
            return cls.model_validate(read_yaml(path))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise StepError(f"{path} is not a dvc.lock ({where}: {first['msg']}); submit the entry again") from None

    def paths(self, arm: str) -> list[str]:
        """Paths of the records that an entry of an arm needs: its own and those of the compulsory arms."""
        folders = tuple(f"{RECORDS}/{kind}/{name}/" for kind in ("trials", "runs") for name in (arm, *COMPULSORY))
        return sorted(
            path for path in self.outputs if path.startswith(folders) and ".." not in PurePosixPath(path).parts
        )

    @cached_property
    def outputs(self) -> dict[str, tuple[str, str]]:
        """The stage and the hash of each output."""
        return {out.path: (name, out.md5) for name, stage in self.stages.items() for out in stage.outs}

    @cached_property
    def inputs(self) -> dict[str, str]:
        """The hash of each input of any stage."""
        return {item.path: item.md5 for stage in self.stages.values() for item in stage.deps}


def write_entry(folder: Path, entry: Entry) -> None:
    """Write entry.json with the hashes of the files that are already in the folder."""
    files = {path: sha256(folder / path) for path in _files(folder)}
    write_json(folder / ENTRY, asdict(entry) | {"files": files})


def verify(folder: Path, fixed: Mapping[str, Any]) -> Verified:
    """Check an entry against the rules, from its files alone.

    Args:
        fixed: the board's parameters, those of profiles/board.yaml, nested.

    Raises:
        StepError: a rule is broken; the message names each.
    """
    entry = read_entry(folder)
    faults = list(_changed_files(folder, entry))
    if faults:
        raise _refused(folder, faults)
    lock = Lock.read(folder / LOCK)
    params = check_params(read_yaml(folder / PARAMS), str(folder / PARAMS))
    faults += _parameter_faults(params, fixed)
    faults += _lock_faults(folder, entry, lock, params)
    if faults:
        raise _refused(folder, faults)
    trials, runs = (_records(folder, lock, entry.arm, kind) for kind in ("trials", "runs"))
    faults += _protocol_faults(entry, params, trials, runs)
    if faults:
        raise _refused(folder, faults)
    code = {path: md5 for path, md5 in lock.inputs.items() if path.startswith(CODE)}
    return Verified(entry, params, Study.of(trials, runs), code)


def read_entry(folder: Path) -> Entry:
    """The content of a folder's entry.json.

    Raises:
        StepError: it cannot be read, or names an unknown arm.
    """
    path = folder / ENTRY
    try:
        entry = Entry(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise StepError(f"{path} is not an entry of the board ({error}); make it with `make submit`") from error
    texts = (entry.name, entry.arm, entry.by, entry.note, entry.commit)
    maps = (entry.data, entry.files)
    if not all(isinstance(text, str) for text in texts) or not all(isinstance(found, dict) for found in maps):
        raise StepError(f"{path}: expected texts, and objects for `data` and `files`; make it with `make submit`")
    if entry.arm not in ARMS or entry.arm in COMPULSORY:
        known = ", ".join(name for name in ARMS if name not in COMPULSORY)
        raise StepError(f"{path} names arm {entry.arm!r}; expected one of {known}")
    return entry


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _refused(folder: Path, faults: Sequence[str]) -> StepError:
    return StepError(f"{folder} breaks the board's rules:\n" + "\n".join(f"- {fault}" for fault in faults))


def _files(folder: Path) -> list[str]:
    paths = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in paths if path != ENTRY)


def _changed_files(folder: Path, entry: Entry) -> Iterator[str]:
    present = set(_files(folder))
    for path in sorted(present ^ {*entry.files}):
        yield f"{path}: " + ("not listed in entry.json" if path in present else "listed in entry.json, but not there")
    for path in sorted(present & {*entry.files}):
        if (folder / path).is_symlink() or sha256(folder / path) != entry.files[path]:
            yield f"{path}: changed since it was submitted (another SHA-256 than in entry.json)"


def _parameter_faults(params: Params, fixed: Mapping[str, Any]) -> Iterator[str]:
    """Parameters that belong to the board and differ, and too few seeds or learning rates."""
    given = flatten(params)
    for key, value in flatten(fixed).items():
        if key not in CHOSEN and given.get(key) != value:
            yield f"{key} is {given.get(key)!r}; the board has {value!r}"
    if len(params.study.seeds) < SEEDS:
        yield f"study.seeds has {len(params.study.seeds)} seeds; expected at least {SEEDS}"
    if len(params.study.rates) < RATES:
        yield f"study.rates has {len(params.study.rates)} learning rates; expected at least {RATES}"


def _lock_faults(folder: Path, entry: Entry, lock: Lock, params: Params) -> Iterator[str]:
    """Records that dvc.lock does not name with their hash, and stages with other parameters, data or code."""
    wanted, given = lock.paths(entry.arm), flatten(params)
    for path in wanted:
        copy = folder / "records" / PurePosixPath(path).relative_to(RECORDS)
        if not copy.is_file():
            yield f"{path}: dvc.lock names this record, but the entry lacks it"
        elif hashlib.md5(copy.read_bytes()).hexdigest() != lock.outputs[path][1]:
            yield f"{path}: its hash is not that in dvc.lock"
    for name in sorted({lock.outputs[path][0] for path in wanted}):
        stage = lock.stages[name]
        for key, value in flatten(stage.params.get(PARAMS, {})).items():
            if given.get(key) != value:
                yield f"{name}: ran with {key} {value!r}; params.yaml has {given.get(key)!r}"
        for item in stage.deps:
            if item.path in DATA and item.md5 != entry.data.get(item.path):
                yield f"{name}: read {item.path} {item.md5}; entry.json has {entry.data.get(item.path)}"
            if item.path.startswith(CODE) and item.md5 != lock.inputs[item.path]:
                yield f"{name}: ran with other code in {item.path} than other stages"


def _protocol_faults(entry: Entry, params: Params, trials: Sequence[Record], runs: Sequence[Record]) -> Iterator[str]:
    """Training runs that are missing, or were not made as the study makes them."""
    done: dict[tuple[str, float | str, int], Record] = {(r.arm, r.horizon, r.seed): r for r in runs}
    for arm in (entry.arm, *COMPULSORY):
        tried = {r.rate: r for r in trials if r.arm == arm}
        if missing := [rate for rate in params.study.rates if rate not in tried]:
            yield f"{arm}: no trial at {', '.join(f'{rate:g}' for rate in missing)} times the learning rate"
            continue
        best = best_trial(tried.values(), arm)
        horizons: list[float | str] = [1.0, EQUAL_COST] if arm in COMPULSORY else [1.0]
        for horizon in horizons:
            for seed in params.study.seeds:
                record = done.get((arm, horizon, seed))
                if record is None:
                    yield f"{arm}: no training run at horizon {horizon} with seed {seed}"
                elif record.rate != best.rate:
                    yield f"{arm}: seed {seed} at horizon {horizon} has rate {record.rate:g}; the best trial has {best.rate:g}"


def _records(folder: Path, lock: Lock, arm: str, kind: str) -> list[Record]:
    below = f"{RECORDS}/{kind}/"
    paths = [path.removeprefix(below) for path in lock.paths(arm) if path.startswith(below)]
    return [read_record(folder / "records" / kind / path) for path in paths]


def board(entries: Sequence[Verified]) -> list[Table]:
    """The board as tables, one for each set of data, the lowest mean loss first."""
    by_data: dict[str, list[Verified]] = {}
    for verified in entries:
        by_data.setdefault(json.dumps(verified.entry.data, sort_keys=True), []).append(verified)
    return [_table(sorted(group, key=lambda v: sum(v.losses) / len(v.losses))) for group in by_data.values()]


def _table(entries: Sequence[Verified]) -> Table:
    rows = []
    above = [None, *(first for first, _ in pairwise(entries))]
    for before, verified in zip(above, entries, strict=True):
        result = analyse(verified.study)
        arm = next(found for found in result["arms"] if found["arm"] == verified.entry.arm)
        budget = next(found for found in arm["budgets"] if found["horizon"] == 1.0)
        minus = {row["against"]: row["validation_loss"] for row in result["differences"] if row["arm"] == arm["arm"]}
        rows.append(
            [
                verified.entry.name,
                with_interval(budget["validation_loss"], 4),
                "-" if before is None else _compared(verified, before),
                *(with_interval(value, 4, sign=True) for value in minus.values()),
                f"{budget['total_flops']:.3g}",
                f"{arm['learning_rate']:g}" + (" (edge)" if arm["at_the_edge"] else ""),
                with_interval(budget["exam_accuracy"], 3),
                f"{verified.entry.by}, {verified.entry.commit[:10]}",
            ]
        )
    header = ["entry", "loss", "row above", *(f"minus {rival}" for rival in minus)]
    header += ["FLOPs, inclusive", "rate", "exam", "by, commit"]
    data = entries[0].entry.data
    note = (
        "Means over the seeds ± half of the 95% interval (Student's t); differences are paired by seed, and below 0 the entry "
        f"is better. Data: tokens {data['data/tokens'][:10]}, exam {data['data/exam'][:10]}."
    )
    return Table("Edition of " + data["data/tokens"][:10], note, header, rows)


def _compared(verified: Verified, before: Verified) -> str:
    """Whether an entry differs from the one above it, over the seeds that both have."""
    seeds = sorted({*verified.study.seeds} & {*before.study.seeds})
    losses = [[v.study.runs[v.entry.arm, 1.0][seed].loss for seed in seeds] for v in (verified, before)]
    return verdict(paired(*losses), -1)
