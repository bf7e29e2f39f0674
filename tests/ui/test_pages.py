"""The pages without servers: fake clients replace Prefect and MLflow."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from ruamel.yaml import YAML
from streamlit import config
from streamlit.testing.v1 import AppTest

from components.errors import StepError
from components.params import Params, check_params
from components.results.published import Measured, standings
from components.results.statistics import Estimate, paired
from flows.client import Curve, FlowRun, Launch, LogLine, Record, StageRun, Unavailable, access
from flows.client import acts as journal
from flows.client.registry import State
from ui import acts, parts, reads
from ui import text as shown

DOWN = "No Prefect server answers at http://127.0.0.1:4200. Start the platform with `make up`."
NOW = datetime.now(UTC)


def flow_run(name: str, kind: str = "COMPLETED", **changes: Any) -> FlowRun:
    values = {"state": kind.title(), "message": "", "overrides": {}, "profile": None} | changes
    started = NOW - timedelta(minutes=5)
    return FlowRun(f"id-{name}", name, kind=kind, created=started, started=started, seconds=61.0, **values)


class FakeRuns:
    """Answers as flows.client.Runs does, and notes what it was asked to do."""

    address = "http://127.0.0.1:4200"

    def __init__(self, listening: bool = True) -> None:
        self.listening = listening
        self.launched: list[Launch] = []
        self.cancelled: list[str] = []
        self.all = [
            flow_run("quiet-falcon", "RUNNING", overrides={"seed": 2}),
            flow_run("amber-lynx", "FAILED", message="stage curate: failed with exit status 1"),
        ]

    def ready(self, flow: str = "pipeline") -> bool:
        return self.listening

    def launch(self, wanted: Launch) -> FlowRun:
        self.launched.append(wanted := replace(wanted, overrides=dict(wanted.overrides)))
        self.all.insert(0, flow_run("new-run", "SCHEDULED", **{k: v for k, v in vars(wanted).items() if k != "name"}))
        return self.all[0]

    def recent(self, limit: int) -> list[FlowRun]:
        return self.all

    def upcoming(self, limit: int) -> list[FlowRun]:
        return [flow_run("nightly", "SCHEDULED", expected=NOW + timedelta(hours=7))]

    def get(self, flow_run_id: str) -> FlowRun | None:
        return next((run for run in self.all if run.id == flow_run_id), None)

    def stages(self, flow_run_id: str, order: Mapping[str, str]) -> list[StageRun]:
        known = {
            "ingest": StageRun("ingest", "Cached", "COMPLETED", "nothing changed", 0.2, 1, "t1"),
            "curate": StageRun("curate", "Completed", "COMPLETED", "", 9.0, 2, "t2"),
            "train_small": StageRun("train_small", "Running", "RUNNING", "", 30.0, 1, "t3"),
        }
        if flow_run_id == "id-amber-lynx":
            known["curate"] = StageRun("curate", "Failed", "FAILED", "error: <curation>: nothing left", 9.0, 1, "t2")
        return [known.get(name, StageRun(name)) for name in order]

    def progress(self, task_run_id: str) -> dict[str, float] | None:
        return {"done": 30.0, "total": 120.0, "loss": 2.5, "tokens_per_second": 21_000.0}

    def logs(self, flow_run_id: str, task_run_id: str = "", limit: int = 200) -> list[LogLine]:
        lines = [LogLine(NOW, 20, "curate: 40 documents in", "t2"), LogLine(NOW, 40, "a <b>bad</b> line", "t3")]
        return [line for line in lines if task_run_id in ("", line.task_run_id)]

    def outputs(self, flow_run_id: str) -> dict[str, dict[str, str]]:
        return {}

    def cancel(self, flow_run_id: str) -> None:
        self.cancelled.append(flow_run_id)


class DeadRuns(FakeRuns):
    """No server: every question fails."""

    def ready(self, flow: str = "pipeline") -> bool:
        raise Unavailable(DOWN)

    recent = upcoming = launch = get = stages = logs = cancel = lambda self, *_, **__: DeadRuns.ready(self, "pipeline")


def record(key: str, params: Mapping[str, Any] = {}, metrics: Mapping[str, float] = {}, **tags: str) -> Record:
    values = {name: str(value) for name, value in params.items()}
    return Record(key, tags.get("stage", key), "FINISHED", NOW, "1", tags, values, dict(metrics))


SAME = {"tokenizer": "t", "documents": "d", "targets": "m", "questions": "q", "protocol": "p"}


class FakeRecords:
    """Two runs that differ in one parameter."""

    address = ""
    changed: Mapping[str, str] = {}  # what the second run was measured on

    def usual_seconds(self) -> dict[str, float]:
        return {"train_small": 120.0, "report": 9.0}

    def parents(self, limit: int = 100) -> list[Record]:
        return [record("heron"), record("otter", {"training.beta1": 0.8})]

    def measured(self, limit: int) -> list[Record]:
        return []

    def parent_of(self, flow_run_id: str) -> Record | None:
        return record("heron", workspace="36b891b843da")

    def link(self, record: Record) -> str:
        return ""

    def stages(self, parent: Record | None, outputs: Any = None) -> dict[str, Record]:
        if parent is None:
            return {}
        beta = 0.8 if parent.id == "otter" else 0.9
        figures = {"categories.logic.acc": {"value": beta - 0.2, "stderr": 0.03, "n": 200.0, "chance_stderr": 0.02}}
        figures["categories.logic.acc"] |= {"clusters": 5.0, "clustered_stderr": 0.071}
        metrics = {f"{stem}.{name}": value for stem, of in figures.items() for name, value in of.items()}
        return {
            "train_small": record(
                f"{parent.id}1",
                {"training.beta1": beta, "training.beta2": 0.95},
                {"validation_loss": 2.9 - (beta == 0.8) / 10, "bits_per_byte": 1.25},
                stage="train_small",
                measured_on=json.dumps(SAME | (self.changed if parent.id == "otter" else {})),
            ),
            "benchmark@small": record(
                f"{parent.id}2",
                {},
                metrics,
                stage="benchmark@small",
                measured_on=json.dumps(SAME | (self.changed if parent.id == "otter" else {})),
            ),
        }

    def document(self, record: Record, path: str) -> dict[str, Any] | None:
        return None

    def curves(self, record: Record, figures: tuple[str, ...]) -> list[Curve]:
        if record.stage != "train_small":
            return []
        return [
            Curve("train_small", figure, (0.0, 8192.0), (8.0, 2.9), "tokens") for figure in ("loss", "validation_loss")
        ]


class FakeRegistry:
    """Two versions, of which the rule chose the second."""

    decided: Mapping[str, Any] = {"promoted": True, "version": "2", "champion": "1", "flow_run": "id-patient-heron"}

    def state(self, name: str) -> State:
        by_rule = {"at": NOW.isoformat(), "by": "rule", "action": "promote", "reason": "its loss is lower"}
        by_rule |= {"loss": {"value": -0.25, "low": -0.3, "high": -0.2}} | self.decided
        return State("2", {"1": {}, "2": {"decision.1": json.dumps(by_rule)}})


Open = Callable[..., AppTest]


@pytest.fixture
def open_page(monkeypatch: pytest.MonkeyPatch, root: Path, tmp_path: Path) -> Iterator[Open]:
    """Open a page of the panel with given clients and query parameters, logged in as operator or as somebody else."""

    def open_it(
        page: str, server: Any = None, records: Any = None, role: str = access.OPERATOR, **query: str
    ) -> AppTest:
        forget()
        monkeypatch.setattr(type(st.context), "headers", {access.ROLE_HEADER: role} if role else {})
        monkeypatch.setattr(reads, "runs", lambda: server or FakeRuns())
        monkeypatch.setattr(reads, "records", lambda: records or FakeRecords())
        monkeypatch.setattr(reads, "registry", FakeRegistry)
        at = AppTest.from_file(str(root / "ui" / "app.py"), default_timeout=60)
        at.run()  # the pages are known once the first has been shown
        settle(at)
        at.query_params.clear()
        for name, value in query.items():
            at.query_params[name] = value
        at.switch_page(f"views/{page}.py")
        return settle(at.run())

    def forget() -> None:
        st.cache_data.clear()
        for service in (*reads.HEALTH.away,):
            reads.HEALTH.forget(service)

    monkeypatch.chdir(root)
    monkeypatch.setattr(journal, "state_folder", lambda _: tmp_path)
    yield open_it
    forget()


def settle(at: AppTest) -> AppTest:
    assert not at.exception, [e.value for e in at.exception]
    return at


def asked(at: AppTest, name: str) -> str:
    """A parameter of the page's address; AppTest gives it as a list where the page was switched."""
    value = at.query_params[name]
    return value if isinstance(value, str) else value[0]


def html(at: AppTest) -> str:
    return "\n".join(element.proto.body for element in at.get("html"))


def field(at: AppTest, kind: str, key: str) -> Any:
    """The widget of a parameter; its key begins with the form's count."""
    return next(w for w in getattr(at, kind) if w.key and w.key.partition(":")[2] == key)


HOSTILE = "![x](http://evil.example/x.png) <img src=http://evil.example/y.png>"
LOADED = re.compile(r"(?<!\\)!\[[^\]]*\]\(|<img")


def rendered(at: AppTest) -> list[str]:
    """Every text of a page that Streamlit takes for Markdown: bodies, labels, tooltips, and options of buttons."""
    found = []
    for element in at.main:
        given = element.proto
        if element.type == "html":
            continue
        for name in ("body", "label", "help"):
            text = getattr(given, name, "")
            found.append(text if isinstance(text, str) else "")
        found += [option.content for option in getattr(given, "options", ()) if hasattr(option, "content")]
    return found


class HostileRuns(FakeRuns):
    """Names and messages as somebody else's program may write them."""

    def __init__(self) -> None:
        super().__init__()
        self.all = [
            flow_run(HOSTILE, "FAILED", message=f"failed\n# {HOSTILE}", overrides={HOSTILE: HOSTILE}),
            flow_run(f"{HOSTILE} done", overrides={HOSTILE: HOSTILE}, tags=(HOSTILE,), note=HOSTILE),
        ]

    def get(self, flow_run_id: str) -> FlowRun | None:
        return self.all[0]

    def stages(self, flow_run_id: str, order: Mapping[str, str]) -> list[StageRun]:
        return [StageRun(HOSTILE, HOSTILE, "FAILED", HOSTILE, 9.0, 1, "t2")]

    def logs(self, flow_run_id: str, task_run_id: str = "", limit: int = 200) -> list[LogLine]:
        return [LogLine(NOW, 40, HOSTILE, "t2")]

    def ready(self, flow: str = "pipeline") -> bool:
        raise Unavailable(HOSTILE)


class HostileRecords(FakeRecords):
    """The same of what MLflow keeps."""

    def parents(self, limit: int = 100) -> list[Record]:
        return [replace(record(key, {HOSTILE: HOSTILE + key}), name=HOSTILE) for key in ("heron", "otter")]

    def measured(self, limit: int) -> list[Record]:
        found = self.stages(self.parents()[0])
        own = {"prefect.flow_run_id": f"id-{HOSTILE} done"}
        return [replace(one, tags=one.tags | own | {"stage": stage}) for stage, one in found.items()]

    def stages(self, parent: Record | None, outputs: Any = None) -> dict[str, Record]:
        found = super().stages(parent) if parent else {}
        scored = found.pop("benchmark@small", None)
        return (
            {
                HOSTILE: replace(found["train_small"], tags={"stage": HOSTILE}),
                f"benchmark@{HOSTILE}": scored,
                "report": record(f"{parent.id}3", stage="report"),
            }
            if scored
            else {}
        )

    def curves(self, record: Record, figures: tuple[str, ...]) -> list[Curve]:
        return [Curve(HOSTILE, "validation_loss", (0.0, 8192.0), (8.0, 2.9), "tokens")]

    def document(self, record: Record, path: str) -> dict[str, Any] | None:
        board = standings({HOSTILE: [Measured(HOSTILE, HOSTILE, {"acc": Estimate(0.5, 0.1, 9)}, 0, HOSTILE)]})
        pair = {"of": HOSTILE, "against": HOSTILE, **paired([[1.0, 0.0, 1.0]]).record(), "bits_per_byte": None}
        return {"standings": board, "exam_differences": [pair], "suite_differences": []}


class DeadRecords(FakeRecords):
    def parents(self, *_: object) -> list[Record]:
        raise Unavailable(HOSTILE, "MLflow")

    parent_of = usual_seconds = measured = parents


@pytest.mark.parametrize("records", [HostileRecords, DeadRecords])
@pytest.mark.parametrize("page", ["home", "new_run", "runs", "run", "compare", "leaderboard"])
def test_text_from_elsewhere_loads_no_picture(open_page: Open, page: str, records: type) -> None:
    query = {"overrides": json.dumps({"training.precision": HOSTILE, "ingestion.sources": HOSTILE})}
    at = open_page(page, HostileRuns(), records(), **(query if page == "new_run" else {"run": HOSTILE}))
    texts = rendered(at)
    assert any("evil.example" in text for text in (*texts, html(at), *(table.value.to_csv() for table in at.dataframe)))
    assert not [text for text in texts if LOADED.search(text)]
    assert "<img" not in html(at)


def test_a_link_to_the_launch_page_shows_what_it_asks_for_as_text(open_page: Open) -> None:
    at = open_page("new_run", overrides=json.dumps({"training.precision": HOSTILE}))
    assert r"\![x\](http://evil.example/x" in at.warning[0].value  # a long value is cut in the middle
    assert "<img" not in at.warning[0].value


def test_a_page_renders_no_bare_expression() -> None:
    assert config.get_option("runner.magicEnabled") is False


def test_the_form_shows_the_defaults_of_params_yaml(open_page: Open) -> None:
    at = open_page("new_run")
    assert field(at, "number_input", "training.batch_tokens").value == Params().training.batch_tokens
    assert field(at, "selectbox", "training.precision").options == ["auto", "float32", "bfloat16"]
    assert "more than" not in field(at, "number_input", "training.threads").help
    assert "at least 1 and at most 1,024" in field(at, "number_input", "training.threads").help
    assert at.code[0].value == Launch().command
    assert any("Decay rate of AdamW's first moment" in caption.value for caption in at.caption)


ESSENTIAL = {
    "small.tokens",
    "large.tokens",
    "small.learning_rate",
    "large.learning_rate",
    "training.batch_tokens",
    "seed",
}
ESSENTIAL |= {"training.context_length", "tokenization.vocab_size", "synthesis.exercises", "transfer.operator"}


@pytest.mark.parametrize("section", ["general", "ingestion", "tokenization", "small", "large", "reporting"])
def test_every_section_can_be_opened(open_page: Open, section: str) -> None:
    at = open_page("new_run")
    settle(at.button_group(key="launch_section").set_value(section).run())
    shown = [
        w.key.partition(":")[2]
        for kind in ("number_input", "selectbox", "text_input", "text_area")
        for w in getattr(at, kind)
        if w.key and ":" in w.key
    ]
    assert len(shown) > len(ESSENTIAL)
    assert all(key.startswith(f"{section}.") or section == "general" for key in shown if key not in ESSENTIAL)


def test_a_change_is_marked_listed_checked_and_undone(open_page: Open) -> None:
    at = open_page("new_run")
    settle(field(at, "number_input", "training.beta1").set_value(0.8).run())
    assert at.code[0].value == Launch({"training.beta1": 0.8}).command
    assert any("default 0.9" in caption.value for caption in at.caption)
    assert "<s>0.9</s><b>0.8</b>" in html(at)
    assert not at.error
    settle(at.button(key="undo training.beta1").click().run())
    assert field(at, "number_input", "training.beta1").value == 0.9
    assert at.code[0].value == Launch().command


def test_a_refused_value_shows_the_runs_own_message_and_no_run_starts(open_page: Open) -> None:
    runs = FakeRuns()
    at = open_page("new_run", runs)
    settle(field(at, "number_input", "training.batch_tokens").set_value(8191).run())
    with pytest.raises(StepError) as refused:
        check_params({"training": {"batch_tokens": 8191}})
    assert at.error[0].value == shown.plain(str(refused.value))
    assert at.button(key="launch_start").disabled
    settle(field(at, "number_input", "training.beta1").set_value(1.5).run())
    assert "training.beta1 = 1.5" in at.error[0].value
    assert not runs.launched


def test_lists_are_edited_as_yaml(open_page: Open) -> None:
    at = open_page("new_run")
    settle(at.button_group(key="launch_section").set_value("ingestion").run())
    area = field(at, "text_area", "ingestion.sources")
    (source,) = Params().ingestion.sources
    assert YAML(typ="safe").load(area.value) == [source.model_dump()]
    assert area.value.startswith("- path: python\n  kind: auto\n  license: PSF-2.0\n")
    settle(area.set_value("- path: {broken").run())
    assert at.error[0].value.startswith("ingestion.sources: not YAML")
    assert at.button(key="launch_start").disabled
    settle(field(at, "text_area", "ingestion.sources").set_value("- path: docs").run())
    assert not at.error
    assert at.code[0].value == Launch({"ingestion.sources": [{"path": "docs"}]}).command


def test_search_finds_parameters_of_every_section(open_page: Open) -> None:
    at = open_page("new_run")
    settle(at.text_input(key="launch_query").set_value("learning rate").run())
    shown = {w.key.partition(":")[2] for w in at.number_input}
    assert {"small.learning_rate", "large.learning_rate", "training.final_lr_fraction"} <= shown


@pytest.mark.parametrize("flow", ["corpus", "growth-study", "growth-law", "data-ablation"])
def test_another_flow_is_launched_by_choice(open_page: Open, flow: str) -> None:
    runs = FakeRuns()
    at = open_page("new_run", runs)
    settle(at.selectbox(key="widget_flow").set_value(flow).run())
    assert at.code[0].value == Launch(flow=flow).command
    settle(at.button(key="launch_start").click().run())
    assert runs.launched == [Launch({}, "", flow, "", "")]


def test_starting_launches_once_records_it_and_opens_the_run(open_page: Open) -> None:
    runs = FakeRuns()
    at = open_page("new_run", runs)
    settle(field(at, "number_input", "training.beta1").set_value(0.8).run())
    settle(at.button(key="launch_start").click().run())
    assert runs.launched == [Launch({"training.beta1": 0.8}, "", "pipeline", "", "")]
    assert "new-run" in html(at)
    assert asked(at, "run") == "id-new-run"
    (act,) = journal.latest(Path())
    assert (act.by, act.what, act.of, act.text) == ("operator", "launch", "id-new-run", "new-run")
    assert abs((act.time - datetime.now(UTC)).total_seconds()) < 120


def test_a_profile_is_the_new_default(open_page: Open) -> None:
    at = open_page("new_run")
    before = field(at, "number_input", "training.context_length").value
    settle(at.selectbox(key="widget_profile").set_value("phi-2").run())
    assert field(at, "number_input", "training.context_length").value != before
    assert at.code[0].value == Launch(profile="phi-2").command


def test_the_address_restores_the_form(open_page: Open) -> None:
    at = open_page("new_run", overrides='{"training.beta1": 0.7, "no.such": 1}', profile="laptop")
    assert field(at, "number_input", "training.beta1").value == 0.7
    assert at.code[0].value == Launch({"training.beta1": 0.7}, "laptop").command


@pytest.mark.parametrize("page", ["home", "new_run", "runs", "run"])
def test_without_a_server_every_page_says_once_what_is_away_and_what_to_do(open_page: Open, page: str) -> None:
    at = open_page(page, DeadRuns(), run="id-quiet-falcon")
    assert html(at).count(DOWN) == 1
    assert re.search(r"Prefect is away since \d\d:\d\d:\d\d, for \d", html(at))
    if page == "new_run":
        assert not at.button(key="launch_start").disabled
        settle(at.button(key="launch_start").click().run())
        assert DOWN in html(at)


def test_a_service_that_answers_again_is_shown_again(open_page: Open) -> None:
    at = open_page("runs", DeadRuns())
    assert "cannot be shown now" in html(at)
    reads.HEALTH.forget("Prefect")  # as the probe in the background does
    reads.runs().__class__ = FakeRuns
    settle(at.run())
    assert "is away" not in html(at)
    assert "quiet-falcon" in list(at.dataframe[0].value["name"])


def test_a_run_that_nobody_will_pick_up_is_announced(open_page: Open) -> None:
    at = open_page("new_run", FakeRuns(listening=False))
    assert "`make up` starts a worker" in at.warning[0].value


def test_a_broken_params_yaml_is_a_message(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(profile: str | None) -> dict:
        raise StepError("params.yaml: unknown key 'sead'; the nearest known key is 'seed'")

    monkeypatch.setattr(reads, "defaults", refuse)
    assert "unknown key 'sead'" in open_page("new_run").error[0].value


def test_a_run_is_shown_live(open_page: Open) -> None:
    at = open_page("run", run="id-quiet-falcon")
    page = html(at)
    assert "25%" in page
    assert "loss 2.5" in page
    assert "try 2" in page
    assert page.index('pf-name">ingest<') < page.index('pf-name">curate<') < page.index('pf-name">report<')
    assert "train_small: Running (30 s)" in page, "the graph has the states too"
    assert "36b891b843da" in page
    assert len(at.get("plotly_chart")) == 1
    assert "a &lt;b&gt;bad&lt;/b&gt; line" in page, "log lines are text, never markup"


def test_training_and_validation_loss_are_never_in_one_chart(open_page: Open) -> None:
    at = open_page("run", run="id-quiet-falcon")
    for figure, note in (("validation_loss", "the one to compare"), ("loss", "Do not compare")):
        settle(at.segmented_control(key="run_figure").set_value(figure).run())
        (curve,) = json.loads(at.get("plotly_chart")[0].proto.spec)["data"]
        assert curve["name"] == "train_small"
        assert any(note in caption.value for caption in at.caption)


def test_a_failed_run_says_why(open_page: Open) -> None:
    at = open_page("run", run="id-amber-lynx")
    assert "failed with exit status 1" in at.error[0].value
    assert "error: &lt;curation&gt;: nothing left" in html(at)
    assert "Not run" in html(at)


def test_a_failed_run_is_tried_again_with_its_parameters(open_page: Open) -> None:
    runs = FakeRuns()
    runs.all[1] = replace(runs.all[1], overrides={"seed": 3}, text="notes", size="1M")
    at = open_page("run", runs, run="id-amber-lynx")
    settle(at.button(key="run_retry").click().run())
    assert runs.launched == [Launch({"seed": 3}, None, "pipeline", "notes", "1M")]
    assert asked(at, "run") == "id-new-run"
    assert "by operator" in html(at)


def test_the_log_can_be_narrowed_to_a_stage(open_page: Open) -> None:
    at = open_page("run", run="id-quiet-falcon")
    settle(at.selectbox(key="run_stage").set_value("t2").run())
    assert "curate: 40 documents in" in html(at)
    assert "&lt;b&gt;bad" not in html(at)


def test_a_run_again_takes_the_parameters_along(open_page: Open) -> None:
    at = open_page("run", run="id-quiet-falcon")
    settle(at.button(key="run_again").click().run())
    assert at.code[0].value == Launch({"seed": 2}).command


class EndedRuns(FakeRuns):
    def __init__(self) -> None:
        super().__init__()
        self.all = [flow_run("patient-heron", overrides={"large.tokens": 10})]


def test_an_ended_run_shows_first_what_it_gave(open_page: Open) -> None:
    at = open_page("run", EndedRuns(), Reported(), run="id-patient-heron")
    page = html(at)
    assert page.index("What your text gave") < page.index("9 of 10 documents were kept") < page.index("The models")
    assert page.index("<td>0.625 <small>± 0.010</small></td>") < page.index("Pipeline · ")
    assert "The new entries of the grown model carry 17% of what it gained in training." in page
    assert 'href="/phiforge-report/heron3/report/index.html"' in page
    assert "Once upon" in page
    compare = next(link for link in at.get("page_link") if link.proto.label == "Compare")
    assert compare.proto.query_string == "runs=id-patient-heron"


@pytest.mark.parametrize(("champion", "offered"), [("1", True), ("2", False)])
def test_a_model_that_is_not_the_champion_can_be_promoted(
    open_page: Open, monkeypatch: pytest.MonkeyPatch, champion: str, offered: bool
) -> None:
    state = FakeRegistry().state("")
    monkeypatch.setattr(FakeRegistry, "state", lambda self, name: replace(state, champion=champion))
    done: list[list[str]] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess:
        if "slow (operator)" in command:
            raise subprocess.TimeoutExpired(command, 120)
        done.append(command)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(acts.subprocess, "run", run)
    at = open_page("run", EndedRuns(), Reported(), run="id-patient-heron")
    assert ("run_promote_sure" in {button.key for button in at.button}) == offered
    if offered:
        settle(at.text_input(key="run_promote_reason").set_value("slow").run())
        settle(at.button(key="run_promote_sure").click().run())
        assert any("took more than 120 s and was stopped" in error.value for error in at.error)
        settle(at.text_input(key="run_promote_reason").set_value("reads better").run())
        settle(at.button(key="run_promote_sure").click().run())
        assert done[0][1:] == ["-m", "flows.champion", "promote", "2", "--reason", "reads better (operator)"]
        assert [(act.what, act.of) for act in journal.latest(Path())] == [("promote", "2")]


def test_home_shows_the_state_of_things(open_page: Open) -> None:
    page = html(open_page("home", records=Reported()))
    assert page.index("Running now") < page.index("quiet-falcon") < page.index("train_small · 2 of 19 stages")
    assert page.index("Last results") < page.index("failed with exit status 1")
    assert "Version 2 <small>of phiforge</small>" in page
    assert "loss -0.250 [-0.300, -0.200]" in page
    assert (NOW + timedelta(hours=7)).astimezone().strftime("%d %b %Y, %H:%M") in page
    assert "waits for runs" in page
    assert re.search(r"free of [\d.]+ [GT]B", page)


def test_home_without_runs_offers_the_first_steps(open_page: Open) -> None:
    runs = FakeRuns()
    runs.all = []
    at = open_page("home", runs)
    example = next(button for button in at.button if button.label == "See the example")
    settle(example.click().run())
    assert at.code[0].value == Launch(text="README.md docs", size="0.3M").command


@pytest.mark.parametrize(
    ("role", "setting"), [("", ""), (access.READER, ""), (access.OPERATOR, "1"), (access.OPERATOR, "yes")]
)
def test_only_the_operator_of_a_panel_that_is_not_read_only_may_act(
    open_page: Open, monkeypatch: pytest.MonkeyPatch, role: str, setting: str
) -> None:
    """Streamlit knows no headers of a browser that has left while its page still runs: a reader's may be the one."""
    monkeypatch.setenv(access.AUTH, "operator:known-to-nobody-else")
    runs = FakeRuns()
    at = open_page("new_run", runs)
    monkeypatch.setattr(type(st.context), "headers", {access.ROLE_HEADER: role} if role else {})
    monkeypatch.setenv(acts.READ_ONLY, setting)
    at.button(key="launch_start").click().run()  # as a forged message does, though the button is disabled by now
    assert runs.launched == []
    for act in (acts.check, lambda: acts.promote("1", "x"), lambda: acts.cancel(runs.all[0])):
        with pytest.raises(StepError, match="read-only" if setting else "not logged in as operator"):
            act()
    assert (runs.cancelled, [*journal.latest(Path())]) == ([], [])
    for run in runs.all:
        at = open_page("run", runs, role=role, run=run.id)
        assert not {button.key for button in at.button} & {"run_cancel_sure", "run_retry", "run_promote_sure"}
        if role != access.OPERATOR:
            assert "known-to-nobody-else" not in html(at)


def test_a_run_can_be_cancelled_while_it_works(open_page: Open) -> None:
    runs = FakeRuns()
    at = open_page("run", runs, run="id-quiet-falcon")
    settle(at.button(key="run_cancel_sure").click().run())
    assert runs.cancelled == ["id-quiet-falcon"]
    assert [(act.what, act.by) for act in journal.latest(Path())] == [("cancel", "operator")]
    at = open_page("run", runs, run="id-amber-lynx")
    assert "run_cancel_sure" not in {button.key for button in at.button}


@pytest.mark.parametrize(
    ("asked_for", "said"),
    [
        ({"training.batch_tokens": "many"}, "training.batch_tokens = 'many': expected an integer"),
        ({"training.batch_tokens": True}, "training.batch_tokens = True: expected an integer"),
        ({"training.beta1": [0.9]}, "training.beta1 = [0.9]: expected a number"),
        ({"training.precision": {"a": 1}}, "training.precision = {'a': 1}: expected one of auto"),
        ({"training.document_mask": "yes"}, "training.document_mask = 'yes': expected true or false"),
        ({"no.such": 1}, "no.such = 1: there is no such parameter"),
        ([1], "overrides = [1]: expected parameters with their values"),
    ],
)
def test_a_link_with_a_wrong_type_says_so_and_leaves_it_out(open_page: Open, asked_for: Any, said: str) -> None:
    at = open_page("new_run", overrides=json.dumps(asked_for), profile="../x", flow="[]", size="9")
    assert f"Left out of this link: {shown.plain(said)}" in at.warning[0].value
    assert at.code[0].value == Launch().command


def test_an_unknown_run_is_named(open_page: Open) -> None:
    assert "has no run id-nowhere" in html(open_page("run", run="id-nowhere"))


class Reported(FakeRecords):
    """The same runs, each with the leaderboard that its report left."""

    def questions(self, better: bool) -> str:
        return "questions"

    def stages(self, parent: Record | None, outputs: Any = None) -> dict[str, Record]:
        found = super().stages(parent, outputs)
        return found | ({"report": record(f"{parent.id}3", {}, {}, stage="report")} if parent else {})

    def document(self, record: Record, path: str) -> dict[str, Any] | None:
        assert path == reads.LEADERBOARD
        better = record.id.startswith("otter")
        share = Estimate(0.4 if better else 0.3, 0.01, 100)
        suite = [Measured(name, name, {"acc": share, "acc_norm": share}, 0, data="rows") for name in COMMONSENSE]
        clean = {"exact_match": share}
        suite.append(Measured("gsm8k", "gsm8k", clean, 8, overlap=0.25, clean=clean, data=self.questions(better)))
        bits = Estimate(1.25 if better else 1.5, 0.01, 100)
        suite.append(Measured("mbpp", "mbpp", {"bits_per_byte": bits}, 3, data="rows"))
        pair = {"of": "large", "against": "control", **paired([[1.0] * 8 + [0.0] * 9]).record(), "bits_per_byte": None}
        board = {"standings": standings({"large": suite}), "exam_differences": [pair] if better else [{"of": "x"}]}
        sample = {"prompt": "Once upon", "truth": " a time", "told": [{"by": "large", "text": " a tile"}]}
        board["text"] = {"sentences": ["9 of 10 documents were kept."], "continuations": [sample]}
        board["models"] = [{"name": "large", "exam_accuracy": 0.625, "exam_stderr": 0.01, "validation_loss": 3.1}]
        return board | {"transfer": {"growth": {"new": {"share": 0.17}}}}


COMMONSENSE = ("piqa", "winogrande", "arc_easy", "arc_challenge", "siqa")


def test_the_leaderboard_shows_our_models_above_the_published_ones(open_page: Open) -> None:
    at = open_page("leaderboard", records=Reported())
    page = html(at)
    table = page[page.index("pf-standings") :]
    order = [table.index(text) for text in ("heron", "otter", "Phi-2 ", "Llama-2 70B")]
    assert order == sorted(order)
    assert table.count(">measured<") == 2
    assert table.count(">published<") == 5
    assert "100 examples; 25.0% of them occur in the training corpus; without those 40.0" in table
    assert "<b>40.0</b></span>" in table or "<b>40.0</b> <small>± 1.0</small>" in table
    assert "61.1" in table
    assert len(at.get("plotly_chart")) == 1
    assert asked(at, "runs") == "heron,otter"
    assert "large minus control" in page
    assert '<span title="p = 0.0078, 17 examples"><b>+0.471</b>' in page, "a difference with a small p-value is bold"


def test_bits_per_byte_are_no_percentage_and_the_lowest_is_bold(open_page: Open) -> None:
    at = open_page("leaderboard", records=Reported())
    page = html(settle(at.segmented_control(key="leaderboard_view").set_value("Coding · bits per byte").run()))
    table = page[page.index("pf-standings") :]
    assert "<b>1.250</b> <small>± 0.010</small>" in table
    assert ">1.500 <small>± 0.010</small>" in table
    figure = json.loads(at.get("plotly_chart")[0].proto.spec)
    assert figure["layout"]["xaxis"]["title"]["text"] == "bits per byte"
    assert [name[:5] for name in figure["layout"]["yaxis"]["categoryarray"]] == ["large", "large"]
    assert figure["data"][0]["x"] == [1.5, 1.25]  # the best at the top


def test_the_leaderboard_names_no_winner_over_different_questions(open_page: Open) -> None:
    class Others(Reported):
        def questions(self, better: bool) -> str:
            return "other questions" if better else "questions"

    same = html(open_page("leaderboard", records=Reported())).partition("pf-standings")[2]
    st.cache_data.clear()
    other = html(open_page("leaderboard", records=Others())).partition("pf-standings")[2]
    assert "other questions" not in same
    assert "GSM8K, other questions (" in other
    assert same.count("<b>40.0</b>") == other.count("<b>40.0</b>") + 1


def test_the_leaderboard_has_a_table_a_group_and_metric(open_page: Open) -> None:
    at = open_page("leaderboard", records=Reported())
    control = at.segmented_control(key="leaderboard_view")
    assert control.options == [
        "Phi-2's table",
        "Commonsense · acc",
        "Commonsense · acc_norm",
        "Coding · bits per byte",
        "all published",
    ]
    page = html(settle(control.set_value("Commonsense · acc").run()))
    assert "75.6" in page, "phi-1.5 on ARC-e, without shots and by accuracy"
    assert "52.9" not in page, "with 25 shots and by accuracy for length"
    page = html(settle(at.segmented_control(key="leaderboard_view").set_value("all published").run()))
    assert "52.9" in page


def test_without_reports_the_leaderboard_shows_what_is_published(open_page: Open) -> None:
    page = html(open_page("leaderboard"))
    assert "No scores yet" in page
    assert "Llama-2 70B" in page

    class Dead(FakeRecords):
        def parents(self) -> list[Record]:
            raise Unavailable("MLflow at http://127.0.0.1:5000 does not answer.", "MLflow")

    at = open_page("leaderboard", records=Dead())
    assert "MLflow at http://127.0.0.1:5000 does not answer." in html(at)
    assert "Llama-2 70B" in html(at)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.6, "1 m 00 s"), (3599.6, "1 h 00 m")]
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert shown.duration(seconds) == text


def test_only_web_addresses_become_links() -> None:
    assert parts.link("x", "javascript:alert(1)") == "x"
    assert 'href="http://127.0.0.1/?a=1&amp;b"' in parts.link("x", "http://127.0.0.1/?a=1&b")
