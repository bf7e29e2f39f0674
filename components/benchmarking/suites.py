"""Loads suites by name: their tasks, data, prompts, worked examples and metrics.

A suite is a YAML file in `components/benchmarks/definitions`, or the user's own. Each task names its data files and its
data set on the hub. It also names a definition of lm-eval, whose prompt, stop strings, filters and metrics are used
unchanged, or it states its own. components.synthesis writes `exam` instead. `Entry` describes the entry of a task.
"""

import difflib
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from components.benchmarking.data import PREPARATIONS, hash_rows, sample
from components.benchmarking.definitions import check_changes, read_definition
from components.benchmarking.exam import ALL, REWORDED, TaskData, in_part, load_exam
from components.benchmarks import FOLDER, inherited, known_suites
from components.benchmarks.data import Place, Rows
from components.errors import StepError, is_panic, shortened
from components.foreign import yaml_text
from components.foreign.confined import inside

EXAM = "exam"
BITS = "bits_per_byte"
LETTERS = "ABCDEFGHIJ"
Count = Annotated[int, Field(ge=0)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Hub(_Strict):
    path: str = Field(pattern=r"^\w[\w.-]*(/\w[\w.-]*)?$")  # only a name, since the library also accepts paths
    name: str | None = None


class ShotsFrom(_Strict):
    """Worked examples from a separate file, in its order."""

    file: str
    where: dict[str, str] = {}
    field: str = ""  # field of the row that contains the example


class Sample(_Strict):
    above: Count
    rows: Count
    seed: int


class Entry(_Strict):
    """One benchmark of a suite. `{part}` in a text stands for the part's name, `{part words}` for it with blanks.

    Attributes:
        category: group that it is averaged with.
        kind: lm_eval (scored as its definition says), code (programs that the sandbox runs), squad (SQuAD 2.0's own metric),
            olmes (the two forms of OLMES) or safety (SafeNLP's score).
        definition: a file in lm-eval's folder of tasks.
        files: files in the data folder, by split; the first split is the one that is scored.
        hub: data set on the hub; the definition's own if it names one.
        where: the rows of the files to use, as values by field.
        shots: number of worked examples; `shots_from` is their file if they are not in the definition or a split.
        headline: the metric that averages use. With bits_per_byte, nothing is generated, and of OLMES's two forms only the
            cloze form is scored, since letters would be at chance.
        average: how a benchmark of several parts is averaged: over tasks, or over all examples.
        cluster: field of a row that questions share if they depend on one another, such as their passage; the parts of a
            benchmark are clusters without it.
        config: changes to the definition; `local` has those that the files need and the hub's data set does not.
        question, choices, gold: for olmes, a template and two expressions over a row; `cloze` changes that form.
    """

    category: str
    kind: Literal["lm_eval", "code", "squad", "olmes", "safety"] = "lm_eval"
    definition: str = ""
    files: dict[str, str] = Field(min_length=1)
    hub: Hub | None = None
    get: str = ""
    note: str = ""
    where: dict[str, str] = {}
    prepare: Literal["", "boolq", "hellaswag", "answerable"] = ""
    shots: Count = 0
    shots_from: ShotsFrom | None = None
    sample: Sample | None = None
    form: str = ""
    headline: str
    average: Literal["tasks", "examples"] = "tasks"
    cluster: str = ""
    parts: list[str] = []
    config: dict[str, Any] = {}
    local: dict[str, Any] = {}
    question: str = ""
    choices: str = ""
    gold: str = ""
    before_choices: str = ""
    cloze: dict[str, Any] = {}


@dataclass(frozen=True)
class Task:
    """One task, ready to be scored.

    Attributes:
        name, benchmark, category: names; a benchmark may have several tasks, as MMLU has subjects.
        kind, shots, form, headline: see Entry.
        config: lm-eval's task configuration, without its data.
        splits: rows by split; `asked` is the split that is scored.
        chance, majority: accuracies of baselines that are known beforehand.
        sha256: hex SHA-256 of the rows.
        cluster: field of a row that names its cluster; empty if the questions are independent.
        is_cluster: whether the task is one of a sample of tasks, such as a family of the exam or a subject.
    """

    name: str
    benchmark: str
    category: str
    kind: str
    headline: str
    splits: dict[str, Rows]
    asked: str
    sha256: str
    shots: int = 0
    form: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    chance: float | None = None
    majority: float | None = None
    cluster: str = ""
    is_cluster: bool = False

    @property
    def rows(self) -> Rows:
        return self.splits[self.asked]


class MissingData(StepError):
    """The data of a task is not on this machine, which is the user's choice and not a failure."""


@dataclass(frozen=True)
class Suite:
    """The tasks of a suite, and why others cannot run.

    Attributes:
        average: how each benchmark of several tasks is averaged: over `tasks` or `examples`, or the `best` of its forms,
            each the mean over its tasks.
        failed: the reasons, by benchmark or task.
        absent: the names in `failed` whose data is missing.
        prompt: the exam's template.
        reworded: the exam's wordings and compositions that training never contains. Their scores are reported
            separately and do not enter the exam's.
    """

    name: str
    tasks: tuple[Task, ...]
    average: dict[str, str]
    failed: dict[str, str]
    prompt: str | None = None
    reworded: "Suite | None" = None
    absent: tuple[str, ...] = ()


def known() -> list[str]:
    """Names of the suites that come with the project."""
    return sorted([EXAM, *known_suites()])


def plan(name: str, place: Place, part: str = ALL) -> Suite:
    """The tasks of a suite with all their data.

    Args:
        name: name of a suite, or path of a YAML file such as those in `components/benchmarks/definitions`.
        part: of the exam; other suites are asked as a whole.

    Raises:
        StepError: the suite is unknown, the file is not a suite, or no task can run.
    """
    if name == EXAM:
        reworded = inside(place.folder, REWORDED, "the exam") if place.folder else None
        return _exam(place.folder, part, _exam(reworded, part) if reworded and reworded.is_dir() else None)
    entries, failed = _entries(_definition_of(name))
    tasks: list[Task] = []
    absent: list[str] = []
    for benchmark, entry in entries.items():
        for part in entry.parts or [""]:
            try:
                tasks += _tasks(benchmark, entry, part, place)
            except BaseException as error:  # noqa: BLE001 - see reason_of
                failed[benchmark] = reason_of(error)
                if isinstance(error, MissingData):
                    absent.append(benchmark)
                break
    if not tasks:
        raise StepError(f"suite {name!r}: no task can be run: {join_reasons(failed)}")
    average = {b: "best" if e.kind == "olmes" and e.headline != BITS else e.average for b, e in entries.items()}
    whole = tuple(task for task in tasks if task.benchmark not in failed)
    return Suite(Path(name).stem, whole, average, failed, absent=tuple(absent))


def _exam(folder: Path | None, part: str, reworded: Suite | None = None) -> Suite:
    wrong: dict[str, str] = {}
    exam = in_part(load_exam(folder, wrong), part)
    tasks = tuple(_from_exam(data) for data in exam)
    return Suite(EXAM, tasks, {task.name: "tasks" for task in tasks}, wrong, exam[0].prompt, reworded)


def reason_of(error: BaseException) -> str:
    """The reason why one task cannot be scored, for any error of a foreign definition, so that the others continue.

    Raises:
        BaseException: the error itself, if the user or the system ends the run.
    """
    if isinstance(error, StepError):
        return str(error)
    if not isinstance(error, Exception | SystemExit) and not is_panic(error):
        raise error
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    said = shortened(str(error).replace(f"{Path.cwd()}/", ""))  # outputs do not contain local paths
    return f"{type(error).__name__}: {said}{place}"


def join_reasons(failed: Mapping[str, str]) -> str:
    """The first few reasons in one sentence; the others are mostly the same."""
    first = [f"{name}: {reason}" for name, reason in list(failed.items())[:3]]
    return "; ".join([*first, *([f"and {len(failed) - 3} more"] if len(failed) > 3 else [])])


def _definition_of(name: str) -> Path:
    given = Path(name)
    if given.suffix in (".yaml", ".yml"):
        if not given.is_file():
            raise StepError(f"suite {name!r}: there is no such file; known suites: {', '.join(known())}")
        return given
    if name not in known():
        nearest = difflib.get_close_matches(name, known(), n=1)
        hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
        raise StepError(f"suite {name!r} is unknown; known suites: {', '.join(known())}{hint}")
    return FOLDER / f"{name}.yaml"


def _entries(path: Path) -> tuple[dict[str, Entry], dict[str, str]]:
    """A suite's entries, and the faults of malformed ones."""
    try:
        content = yaml_text.read(path)
    except (OSError, ValueError) as error:
        raise StepError(
            f"{path.name} cannot be read as YAML ({' '.join(str(error).split())}); correct the file that --suite names"
        ) from error
    if not isinstance(content, dict) or not isinstance(content.get("tasks"), dict) or not content["tasks"]:
        raise StepError(f"{path.name} has no `tasks`; expected an object of tasks by name, as in definitions/phi2.yaml")
    entries, failed = {}, {}
    for name, values in content["tasks"].items():
        try:
            entries[name] = Entry.model_validate(inherited(name, values))
        except ValueError as error:
            said = _first(error) if isinstance(error, ValidationError) else str(error)
            failed[name] = f"{path.name}: task {name!r}: {said}"
    return entries, failed


def _first(error: ValidationError) -> str:
    """The fault of the first wrong field, with the nearest known name."""
    found = error.errors()[0]
    place = ".".join(str(part) for part in found["loc"])
    if found["type"] == "extra_forbidden":
        nearest = difflib.get_close_matches(place, list(Entry.model_fields), n=1)
        return f"the field {place!r} is unknown" + (f"; did you mean {nearest[0]!r}?" if nearest else "")
    given = "" if found["type"] == "missing" else f" is {str(found['input'])[:80]!r}"
    return f"`{place}`{given}: {found['msg'].lower()}"


def _from_exam(data: TaskData) -> Task:
    config = {
        "output_type": "multiple_choice",
        "doc_to_text": data.prompt,
        "doc_to_choice": "choices",  # a column's name gives the column's list as it is
        "doc_to_target": "answer",
        "target_delimiter": data.delimiter,
        "metric_list": mean_metrics("acc", "acc_norm"),
        "metadata": {"version": 1},
    }
    rows = [dict(row) for row in data.rows]
    return Task(
        data.name,
        data.name,
        data.category,
        "lm_eval",
        "acc",
        {"test": rows},
        "test",
        chance=data.chance,
        majority=data.majority,
        config=config,
        sha256=data.sha256,
        is_cluster=True,
    )


def mean_metrics(*metrics: str) -> list[dict[str, Any]]:
    """lm-eval's `metric_list` of metrics that are averaged over examples."""
    return [{"metric": metric, "aggregation": "mean", "higher_is_better": True} for metric in metrics]


def _tasks(benchmark: str, entry: Entry, part: str, place: Place) -> list[Task]:
    """The task of one part, or the tasks of its two forms."""
    entry = _of_part(entry, part) if part else entry
    name = f"{benchmark}_{part}" if part else benchmark
    for changes in (entry.config, entry.local, entry.cloze):
        check_changes(changes, f"task {name!r}")
    config = read_definition(entry.definition, programs=entry.kind == "code") if entry.definition else {}
    splits, local = _splits(entry, config, place)
    config |= entry.config | (entry.local if local else {})
    config["num_fewshot"] = entry.shots
    asked = next(iter(entry.files))
    if entry.sample:
        splits[asked] = sample(splits[asked], entry.sample.above, entry.sample.rows, entry.sample.seed)
    examples = _examples(entry, place)
    if examples is not None:
        config["fewshot_config"] = {"sampler": "first_n", "samples": examples}
    forms = _forms(entry, name) if entry.kind == "olmes" else [(name, entry.form, entry.headline, {})]
    sha256 = hash_rows(splits | ({"shots": examples} if examples else {}))
    return [
        Task(
            own,
            benchmark,
            entry.category,
            entry.kind,
            headline,
            splits,
            asked,
            sha256,
            entry.shots,
            form,
            config | changes,
            cluster=entry.cluster,
            is_cluster=bool(part) and not entry.cluster,
        )
        for own, form, headline, changes in forms
    ]


def _of_part(entry: Entry, part: str) -> Entry:
    def filled(value: Any) -> Any:
        if isinstance(value, str):
            return value.replace("{part}", part).replace("{part words}", part.replace("_", " "))
        if isinstance(value, dict):
            return {k: filled(v) for k, v in value.items()}
        return [filled(v) for v in value] if isinstance(value, list) else value

    return Entry.model_validate(filled(entry.model_dump()))


def _splits(entry: Entry, config: dict[str, Any], place: Place) -> tuple[dict[str, Rows], bool]:
    """Rows by split, and whether they came from files.

    Raises:
        StepError: a split is neither in the folder nor on the hub.
    """
    hub = config.pop("hub", None) or (entry.hub.model_dump() if entry.hub else {"path": "", "name": None})
    change = PREPARATIONS.get(entry.prepare, lambda row: row)
    splits, local = {}, True
    for split, file in entry.files.items():
        rows = place.file(file, entry.where)
        if rows is None:
            try:
                rows, local = place.from_hub(hub["path"], hub["name"], split), False
            except StepError as error:
                raise StepError(f"{error}; or put {file} into the data folder (--data-dir)") from error
        if not rows:
            raise MissingData(f"the data is missing: {_remedy(entry, file, hub['path'])}")
        try:
            splits[split] = [row for given in rows if (row := change(dict(given))) is not None]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise StepError(
                f"{file}: a row cannot be read as {entry.prepare}: {type(error).__name__} {error}; correct it in the data folder (--data-dir)"
            ) from error
    return splits, local


def _remedy(entry: Entry, file: str, path: str) -> str:
    put = f"put {file} into the data folder (--data-dir or benchmarking.data_dir)"
    if entry.get:
        return f"{put}: {entry.get}"
    return f"{put}, or set benchmarking.hub=true to load {path} from the Hugging Face hub (hf download --repo-type dataset {path})"


def _examples(entry: Entry, place: Place) -> Rows | None:
    """Worked examples from their own file."""
    given = entry.shots_from
    if given is None or not entry.shots:
        return None
    rows = place.file(given.file, given.where)
    if rows is None:
        raise MissingData(
            f"the worked examples are missing: put {given.file} into the data folder (--data-dir or benchmarking.data_dir)"
        )
    if len(rows) < entry.shots:
        raise StepError(
            f"{given.file} has {len(rows)} worked examples with {given.where}; expected at least {entry.shots}; put the whole file into the data folder (--data-dir)"
        )
    change = PREPARATIONS.get(entry.prepare, lambda row: row)
    try:
        return [
            row for each in rows[: entry.shots] if (row := change(dict(each[given.field] if given.field else each)))
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StepError(
            f"{given.file}: a worked example cannot be read: {type(error).__name__} {error}; correct it in the data folder (--data-dir)"
        ) from error


def _forms(entry: Entry, name: str) -> list[tuple[str, str, str, dict[str, Any]]]:
    """OLMES's two forms of a task: (name, form, headline, configuration)."""
    both: Mapping[str, Any] = {"output_type": "multiple_choice", "doc_to_target": f"{{{{{entry.gold}}}}}"}
    cloze = {"doc_to_text": f"{entry.question}\nAnswer:", "doc_to_choice": f"{{{{{entry.choices}}}}}"} | entry.cloze
    lettered = f"{{% for c in {entry.choices} %}} {{{{'{LETTERS}'[loop.index0]}}}}. {{{{c}}}}\n{{% endfor %}}"
    letters = {
        "doc_to_text": f"{entry.question}\n{entry.before_choices}{lettered}Answer:",
        "doc_to_choice": f"{{{{'{LETTERS}'[:({entry.choices})|length]|list}}}}",
    }
    metrics = mean_metrics("acc", "acc_norm") if "doc_to_target" not in cloze else mean_metrics("acc")
    if entry.headline == BITS:
        return [(name, "cloze", BITS, {**both, **cloze, "metric_list": metrics})]
    return [
        (f"{name}_cloze", "cloze", entry.headline, {**both, **cloze, "metric_list": metrics}),
        (f"{name}_letters", "letters", "acc", {**both, **letters, "metric_list": mean_metrics("acc")}),
    ]
