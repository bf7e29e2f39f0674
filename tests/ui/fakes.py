"""A panel without servers: clients that answer from lists, and a page opened with them."""

import itertools
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from components.documents import DOCUMENT, LEDGER
from components.errors import StepError
from components.results.examples import Examples
from components.tracking import WEIGHTS
from flows.client import Curve, FlowRun, Launch, Record, Unavailable, access
from flows.client.exam import Answered, Question
from flows.client.registry import State
from flows.client.schedules import Schedule
from ui import reads

NOW = datetime.now(UTC)
DOWN = "No Prefect server answers at http://127.0.0.1:4200. Start the platform with `make up`."
SAME = {"tokenizer": "t", "documents": "d", "targets": "m", "questions": "q", "protocol": "p"}


def flow_run(name: str, kind: str = "COMPLETED", **changes: Any) -> FlowRun:
    values = {"state": kind.title(), "message": "", "overrides": {}, "profile": None} | changes
    started = NOW - timedelta(minutes=5)
    return FlowRun(
        f"id-{name}".replace(", ", "-").replace(" ", "-"),
        name,
        kind=kind,
        created=started,
        started=started,
        seconds=90.0,
        **values,
    )


def record(key: str, stage: str, of: str = "", metrics: Mapping[str, float] = {}, **tags: str) -> Record:
    given = {"stage": stage, "prefect.flow_run_id": of} | tags
    return Record(key, stage or key, "FINISHED", NOW, "1", given, {}, dict(metrics))


class Lists:
    """Stands for both `flows.client.Runs` and `flows.client.Records`.

    Attributes:
        measured_on: by run, what differs from SAME.
        scores: by run and model, the score of each question of five tasks.
        done: the acts it was asked for.
    """

    address = "http://127.0.0.1:4200"

    def __init__(self, *runs: FlowRun) -> None:
        self.all = list(runs)
        self.losses: dict[str, dict[str, float]] = {}
        self.scores: dict[tuple[str, str], Sequence[float]] = {}
        self.measured_on: dict[str, dict[str, str]] = {}
        self.done: list[tuple[str, Any]] = []

    def ready(self, flow: str = "pipeline") -> bool:
        return True

    def recent(self, limit: int) -> list[FlowRun]:
        return self.all

    def upcoming(self, limit: int) -> list[FlowRun]:
        return []

    def usual_seconds(self) -> dict[str, float]:
        return {}

    def file(self, *_: str) -> str:
        return ""

    def document(self, *_: Any) -> None:
        return None

    def get(self, run_id: str) -> FlowRun | None:
        return next((run for run in self.all if run.id == run_id), None)

    def stages(self, *_: Any) -> Any:
        return [] if isinstance(_[0], str) else {}

    def outputs(self, run_id: str) -> dict[str, dict[str, str]]:
        return {}

    def logs(self, *_: Any) -> list[Any]:
        return []

    def launch(self, wanted: Launch) -> FlowRun:
        self.done.append(("launch", replace(wanted, overrides=dict(wanted.overrides))))
        made = flow_run(wanted.name or "new-run", "SCHEDULED", overrides=dict(wanted.overrides))
        self.all.insert(0, made)
        return made

    def change(self, run: FlowRun) -> None:
        self.done.append(("change", run))
        self.all = [run if one.id == run.id else one for one in self.all]

    def delete(self, which: Any) -> None:
        self.done.append(("delete", which if isinstance(which, str) else which.id))
        self.all = [one for one in self.all if one.id != which]

    def rename(self, record: Record, name: str) -> None:
        self.done.append(("rename", name))

    def parents(self, limit: int = 100) -> list[Record]:
        return [record(f"mlflow-{run.name}", "", run.id) for run in self.all]

    def parent_of(self, run_id: str) -> Record | None:
        return next((one for one in self.parents() if one.tags["prefect.flow_run_id"] == run_id), None)

    def link(self, record: Record) -> str:
        return ""

    def measured(self, limit: int = 1000) -> list[Record]:
        found = []
        for run in self.all:
            on = json.dumps(SAME | self.measured_on.get(run.name, {}))
            for model, loss in self.losses.get(run.name, {}).items():
                figures = {"validation_loss": loss, "bits_per_byte": loss / 2, "flops": 2e9, "seconds": 50.0}
                found.append(record(f"{run.name}-train-{model}", f"train_{model}", run.id, figures, measured_on=on))
            for (name, model), values in self.scores.items():
                if name == run.name:
                    whole = {"value": sum(values) / len(values), "stderr": 0.1, "n": float(len(values))}
                    figures = {f"overall.acc.{key}": value for key, value in whole.items()}
                    found.append(record(f"{name}-exam-{model}", f"benchmark@{model}", run.id, figures, measured_on=on))
        return found

    def examples(self, record: Record, metrics: Collection[str]) -> dict[str, Examples]:
        name, _, model = record.id.partition("-exam-")
        values = self.scores[name, model]
        keys = [(f"task {5 * place // len(values)}", str(place)) for place in range(len(values))]
        return {"acc": {key: (float(value), None) for key, value in zip(keys, values, strict=True)}}

    def curves(self, record: Record, *_: Any) -> list[Curve]:
        loss = record.metrics["validation_loss"]
        x = tuple(1.5e6 * step / 12 for step in range(13))
        return [Curve(record.stage, "validation_loss", x, tuple(loss + 4 * 0.6**step for step in range(13)), "tokens")]


class Dead(Lists):
    def recent(self, limit: int) -> list[FlowRun]:
        raise Unavailable(DOWN)

    def ready(self, flow: str = "pipeline") -> bool:
        raise Unavailable(DOWN)


def history(more: int = 0) -> Lists:
    """Runs as a person has them after some days: seeds, a failure, one with another tokenizer, one under way.

    Args:
        more: baselines with further seeds.
    """
    minutes = itertools.count(20, 95)

    def made(name: str, kind: str = "COMPLETED", **changes: Any) -> FlowRun:
        began = NOW - timedelta(minutes=next(minutes))
        return replace(
            flow_run(name, kind, **changes), created=began, started=began, seconds=60 * 9 + 7 * len(name) ** 1.7
        )

    wide = {"large.model.hidden_size": 192, "training.beta2": 0.98}
    lists = Lists(
        made("quiet-falcon", "RUNNING", overrides={"seed": 4, **wide}),
        made("wider, seed 3", overrides={"seed": 3, **wide}, tags=("wide",)),
        made("wider, seed 2", overrides={"seed": 2, **wide}, tags=("wide",)),
        made("wider", overrides={"seed": 1, **wide}, tags=("wide",), note="Does width carry more than depth?"),
        made("amber-lynx", "FAILED", overrides={"synthesis.chapters": 1200}),
        made("own notes", text="/home/me/notes", size="1M", tags=("mine",)),
        made("baseline, seed 3", overrides={"seed": 3}, tags=("baseline",)),
        made("baseline, seed 2", overrides={"seed": 2}, tags=("baseline",)),
        made("baseline", overrides={"seed": 1}, tags=("baseline",)),
        made("calm-wren", "CANCELLED"),
        *(made(f"baseline, seed {seed}", overrides={"seed": seed}) for seed in range(4, 4 + more)),
    )
    lifts = {"wider": 0.12, "baseline": 0.0, "own notes": 0.4}
    for place, run in enumerate(lists.all):
        lift = next((value for name, value in lifts.items() if run.name.startswith(name)), None)
        if lift is None:
            continue
        noise = place * 7 % 5 / 100
        lists.losses[run.name] = {"large": 2.71 - lift + noise, "small": 3.02 + noise / 2, "control": 2.83 + noise}
        for model, right in (("large", 47 + 90 * lift), ("small", 40), ("control", 44)):
            hard = [question * 37 % 100 for question in range(100)]
            lists.scores[run.name, model] = [float(one + (one * place) % 9 < right) for one in hard]
    lists.measured_on["own notes"] = {"tokenizer": "other", "questions": "other", "documents": "other"}
    return lists


def schedules() -> list[Schedule]:
    """Three schedules, of which one is switched on."""
    about = "Raw text to a benchmarked pair of models. Parameters that differ from params.yaml get their own workspace."
    return [
        Schedule("s1", "d1", "corpus/local", "nightly", False, "The curated corpus alone.", "30 1 * * *"),
        Schedule("s2", "d2", "housekeeping/local", "weekly", False, "Remove leftovers of old runs.", "30 5 * * 0"),
        Schedule("s3", "d3", "pipeline/local", "nightly", True, about, "30 2 * * *", "Europe/Berlin"),
    ]


HOSTILE = "<script>alert(1)</script> **bold** ![x](https://example.org/x.png) \x1b[31m"
CODE = {"in": [12_612, 10_788_498, 3_799_298], "kept": [8_624, 8_477_734, 2_795_392],
        "dropped": {"rules": [1_240, 0, 0], "duplicates": [304, 0, 0], "educational value": [2_444, 0, 0]}}  # fmt: skip
PROSE = {"in": [600, 722_175, 245_918], "kept": [400, 706_463, 240_107],
         "dropped": {"rules": [198, 0, 0], "duplicates": [2, 0, 0], "decontamination": [0, 0, 0]}}  # fmt: skip
REPORT = {
    "flow": {"code": CODE, "prose": PROSE},
    "origins_in_all": 2,
    "documents": {
        "documents_in": 13_212, "documents_kept": 9_024, "keep_fraction": 0.683, "kept_megabytes": 9.2,
        "dropped": {"educational_value": 2_444, "min_chars": 1_330, "near_duplicate": 261, "code.parses": 6},
    },
    "languages": {"kept": ["en"]},
    "licenses": {"CC0-1.0": [3, 300, 2, 200]},
    "values": {"prose": {"counts": [4, 4, 8, 0], "threshold": 2.5}},
    "decontamination": {"documents": 3, "documents_hit": 1, "benchmarks": {"piqa": {"items": 60, "hit": 1}}, "missing": {}},
    "redacted": {"email": 2},
    "samples": {},
}  # fmt: skip


def document(identifier: str, text: str) -> dict[str, Any]:
    values = {
        "id": identifier,
        "text": text,
        "kind": "prose",
        "source": "notes.txt",
        "license": "CC0-1.0",
        "created_by": "text/1",
    }
    return values | {"educational_value": 3.0, "quality": None, "metadata": "{}"}


def made_corpus(folder: Path, origin: str = "notes") -> Path:
    """A main folder with what a run leaves of its data: three raw documents, of which one is dropped, and a textbook."""
    kept = [document("a" * 32, "The owl hunts at night."), document("b" * 32, HOSTILE)]
    gone = document("c" * 32, "too short")
    sets = {"curated": kept, "raw": [*kept, gone], "textbooks": [document("d" * 32, "Chapter one")]}
    for name, rows in sets.items():
        path = folder / "data" / name / "part-00000.parquet"
        path.parent.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(rows, DOCUMENT), path, row_group_size=1)
    dropped = {"id": gone["id"], "step": "curation", "rule": "min_chars", "value": 9.0, "threshold": 80.0}
    ledger = pa.Table.from_pylist([dropped | {"detail": "9 characters", "source": "notes.txt"}], LEDGER)
    (folder / "data" / "ledger").mkdir()
    pq.write_table(ledger, folder / "data" / "ledger" / "curation.parquet")
    for name, content in (
        ("curation/curation.json", REPORT | {"origins": {"python": CODE, origin: PROSE}}),
        ("synthesize.json", {"teacher": {"kind": "openai", "calls": 12}}),
    ):
        (folder / "reports" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "reports" / name).write_text(json.dumps(content))
    return folder


class Versions:
    """Stands for `flows.client.registry.Registry`: three versions, of which the rule chose the second.

    Attributes:
        runs: ids of the runs that registered them.
        more: further versions that were not promoted.
    """

    def __init__(self, *runs: str, more: int = 0) -> None:
        self.runs = runs or ("id-a", "id-b", "id-c")
        self.more = more

    def state(self, name: str) -> State:
        first, better, worse = self.runs
        loss = {"candidate": 1.21, "champion": 1.46, "value": -0.25, "low": -0.3, "high": -0.2, "n": 96}
        safety = {"passed": True, "reason": "ToxiGen -0.002 (-0.011 to +0.007), at most +0.020"}
        made = [
            decision(
                "1", "", first, True, "there was no champion, and every required check passed", {"safety": safety}
            ),
            decision(
                "2", "1", better, True, "better than the champion with 95% confidence", {"safety": safety}, loss=loss
            ),
            decision(
                "3", "2", worse, False, "the loss is not below the champion's with 95% confidence", {"safety": safety}
            ),
        ]
        made += [decision(str(4 + place), "2", worse, False, "as above", {}) for place in range(self.more)]
        tags = {
            one["version"]: {f"decision.{place}": json.dumps(one), WEIGHTS: one["version"] * 64}
            for place, one in enumerate(made)
        }
        return State("2", tags)


def decision(
    version: str, champion: str, run: str, promoted: bool, reason: str, checks: Mapping[str, Any], **more: Any
) -> dict[str, Any]:
    at = (NOW - timedelta(days=3) + timedelta(hours=int(version))).isoformat()
    made = {"at": at, "by": "rule", "action": "promote", "version": version, "champion": champion, "flow_run": run}
    return made | {"promoted": promoted, "reason": reason, "checks": checks} | more


Open = Callable[..., AppTest]


def opener(monkeypatch: pytest.MonkeyPatch, root: Any) -> Iterator[Open]:
    """Opens a page with a `Lists` and query parameters, logged in as operator or as somebody else."""

    def forget() -> None:
        st.cache_data.clear()
        for service in (*reads.HEALTH.away,):
            reads.HEALTH.forget(service)

    def open_it(page: str, lists: Lists, role: str = access.OPERATOR, **query: str) -> AppTest:
        forget()
        monkeypatch.setattr(type(st.context), "headers", {access.ROLE_HEADER: role})
        monkeypatch.setattr(reads, "runs", lambda: lists)
        monkeypatch.setattr(reads, "records", lambda: lists)
        monkeypatch.setattr("ui.acts.record", lambda *_: None)
        at = AppTest.from_file(str(root / "ui" / "app.py"), default_timeout=120)
        at.run()  # the pages are known once the first has been shown
        at.query_params.clear()
        for name, value in query.items():
            at.query_params[name] = value
        at.switch_page(f"views/{page}.py")
        return settle(at.run())

    monkeypatch.chdir(root)
    yield open_it
    forget()


def settle(at: AppTest) -> AppTest:
    assert not at.exception, [e.value for e in at.exception]
    return at


def html(at: AppTest) -> str:
    return "\n".join(element.proto.body for element in at.get("html"))


class Talker:
    """Stands for `flows.client.playground.Playground`: says the prompt backwards, word by word, and has read its middle."""

    def __init__(self, refuses: str = "") -> None:
        self.refuses = refuses
        self.asked: list[dict[str, Any]] = []

    def ask(self, do: str, **given: Any) -> Iterator[dict[str, Any]]:
        self.asked.append({"do": do} | given)
        if self.refuses:
            raise StepError(self.refuses)
        if do == "prompts":
            yield {"passages": [{"kind": "prose", "prompt": f"The owl {HOSTILE}", "truth": "", "source": "tales"}]}
        elif do == "about":
            yield {"parameters": 2_500_000, "layers": 2, "heads": 2, "width": 8, "positions": 64, "chats": False}
        elif do == "look":
            off = given["off"]
            likeliest = [["<b>", 0.6], [f"off {len(off['blocks'])} {len(off['heads'])} {off['new']}", 0.3]]
            tokens = given["prompt"].split()
            layer, row = [["<i>", 0.7] for _ in tokens], [1 / len(tokens) for _ in tokens]
            yield {
                "tokens": tokens,
                "lens": [layer] * 3,
                "attention": [row for _ in tokens],
                "next": likeliest,
                "text": f"of {given['model']}",
            }
        elif do == "families":
            yield {"families": {"planets": 0.5 if given["off"]["new"] else 0.9, "plural": 0.7}}
        elif do == "spans":
            document = {"id": "a" * 32, "kind": "prose", "source": HOSTILE, "license": "MIT", "educational_value": 2.5}
            span = {"start": 0, "length": 3, "count": 2, "offset": 0, "text": given["text"][:9], "documents_in_all": 1}
            found = [span | {"documents": [document]}] if given["text"] else []
            yield {"traced": {"spans": found, "tokens": 6, "covered": 3}}
        else:
            text = ""
            for word in reversed(given["prompt"].split()):
                text += f" {word}"
                steps = [{"text": f" {word}", "probability": 0.6, "likeliest": [(f" {word}", 0.6), (" or <b>", 0.3)]}]
                yield {"text": text, "steps": steps}
            yield {"tokens": len(text.split()), "forgotten": 0, "chats": False}

    def one(self, do: str, **given: Any) -> dict[str, Any]:
        return {key: value for event in self.ask(do, **given) for key, value in event.items()}


def questions() -> list[Question]:
    """An exam of three families, with the answers of three models."""
    asked = (
        ("planets", "Which planet is closer to the Sun, Saturn or Venus?", ("Saturn", "Venus"), 1),
        ("floating", "What happens to a nail in water?", ("It floats.", "It sinks."), 1),
        ("plural", f"What is the plural of box? {HOSTILE}", ("boxes", "boxs"), 0),
    )
    found = []
    for number in range(30):
        task, text, choices, right = asked[number % 3]
        sure = {"small": 0.4 + number / 60, "large": 0.55 + number / 90, "control": 0.35 + number / 100}
        answers = {
            name: Answered(right if p > 0.5 else 1 - right, [p, 1 - p] if right == 0 else [1 - p, p])
            for name, p in sure.items()
        }
        found.append(Question(task, f"q{number}", text, choices, right, False, answers))
    return found
