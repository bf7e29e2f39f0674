"""The pages without servers: fake clients replace Prefect and MLflow."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
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
from ui import acts, parts, reads, text

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

    def ready(self, flow: str) -> bool:
        return self.listening

    def launch(self, wanted: Launch) -> FlowRun:
        self.launched.append(wanted := replace(wanted, overrides=dict(wanted.overrides)))
        self.all.insert(0, flow_run("new-run", "SCHEDULED", **vars(wanted)))
        return self.all[0]

    def recent(self, limit: int) -> list[FlowRun]:
        return self.all

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

    def progress(self, stage: StageRun) -> dict[str, float] | None:
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

    def ready(self, flow: str) -> bool:
        raise Unavailable(DOWN)

    recent = launch = get = stages = logs = cancel = lambda self, *_, **__: DeadRuns.ready(self, "pipeline")


def record(key: str, params: Mapping[str, Any] = {}, metrics: Mapping[str, float] = {}, **tags: str) -> Record:
    values = {name: str(value) for name, value in params.items()}
    return Record(key, tags.get("stage", key), "FINISHED", NOW, "1", tags, values, dict(metrics))


SAME = {"tokenizer": "t", "documents": "d", "targets": "m", "questions": "q", "protocol": "p"}


class FakeRecords:
    """Two runs that differ in one parameter."""

    address = ""
    changed: Mapping[str, str] = {}  # what the second run was measured on

    def parents(self) -> list[Record]:
        return [record("heron"), record("otter", {"training.beta1": 0.8})]

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

    def curves(self, record: Record) -> list[Curve]:
        if record.stage != "train_small":
            return []
        return [
            Curve("train_small", figure, (0.0, 8192.0), (8.0, 2.9), "tokens") for figure in ("loss", "validation_loss")
        ]


Open = Callable[..., AppTest]


@pytest.fixture
def open_page(monkeypatch: pytest.MonkeyPatch, root) -> Iterator[Open]:
    """Open a page of the panel with given clients and query parameters, logged in as operator or as somebody else."""

    def open_it(page: str, runs: Any = None, records: Any = None, role: str = access.OPERATOR, **query: str) -> AppTest:
        monkeypatch.setattr(type(st.context), "headers", {access.ROLE_HEADER: role} if role else {})
        monkeypatch.setattr(reads, "runs", lambda: runs or FakeRuns())
        monkeypatch.setattr(reads, "records", lambda: records or FakeRecords())
        at = AppTest.from_file(str(root / "ui" / "app.py"), default_timeout=60)
        if page != "launch":
            at.run()  # the pages are known once the first has been shown
            at.query_params.clear()
        for name, value in query.items():
            at.query_params[name] = value
        if page != "launch":
            at.switch_page(f"pages/{page}.py")
        return settle(at.run())

    st.cache_data.clear()
    monkeypatch.chdir(root)
    yield open_it
    st.cache_data.clear()


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
        self.all = [flow_run(HOSTILE, "FAILED", message=f"failed\n# {HOSTILE}", overrides={HOSTILE: HOSTILE})]

    def get(self, flow_run_id: str) -> FlowRun | None:
        return self.all[0]

    def stages(self, flow_run_id: str, order: Mapping[str, str]) -> list[StageRun]:
        return [StageRun(HOSTILE, HOSTILE, "FAILED", HOSTILE, 9.0, 1, "t2")]

    def logs(self, flow_run_id: str, task_run_id: str = "", limit: int = 200) -> list[LogLine]:
        return [LogLine(NOW, 40, HOSTILE, "t2")]

    def ready(self, flow: str) -> bool:
        raise Unavailable(HOSTILE)


class HostileRecords(FakeRecords):
    """The same of what MLflow keeps."""

    def parents(self) -> list[Record]:
        return [replace(record(key, {HOSTILE: HOSTILE + key}), name=HOSTILE) for key in ("heron", "otter")]

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

    def curves(self, record: Record) -> list[Curve]:
        return [Curve(HOSTILE, "validation_loss", (0.0, 8192.0), (8.0, 2.9), "tokens")]

    def document(self, record: Record, path: str) -> dict[str, Any] | None:
        board = standings({HOSTILE: [Measured(HOSTILE, HOSTILE, {"acc": Estimate(0.5, 0.1, 9)}, 0, HOSTILE)]})
        pair = {"of": HOSTILE, "against": HOSTILE, **paired([[1.0, 0.0, 1.0]]).record(), "bits_per_byte": None}
        return {"standings": board, "exam_differences": [pair], "suite_differences": []}


class DeadRecords(FakeRecords):
    def parents(self, *_: object) -> list[Record]:
        raise Unavailable(HOSTILE)

    parent_of = parents


@pytest.mark.parametrize("records", [HostileRecords, DeadRecords])
@pytest.mark.parametrize("page", ["launch", "runs", "compare", "leaderboard"])
def test_text_from_elsewhere_loads_no_picture(open_page: Open, page: str, records: type) -> None:
    query = {"overrides": json.dumps({"training.precision": HOSTILE, "ingestion.sources": HOSTILE})}
    at = open_page(page, HostileRuns(), records(), **(query if page == "launch" else {"run": HOSTILE}))
    texts = rendered(at)
    assert any("evil.example" in text for text in (*texts, html(at)))
    assert not [text for text in texts if LOADED.search(text)]
    assert "<img" not in html(at)


def test_a_link_to_the_launch_page_shows_what_it_asks_for_as_text(open_page: Open) -> None:
    at = open_page("launch", overrides=json.dumps({"training.precision": HOSTILE}))
    assert r"\![x\](http://evil.example/x" in at.error[0].value  # a long value is cut in the middle
    assert "<img" not in at.error[0].value


def test_a_page_renders_no_bare_expression() -> None:
    assert config.get_option("runner.magicEnabled") is False


def test_the_form_shows_the_defaults_of_params_yaml(open_page: Open) -> None:
    at = open_page("launch")
    assert field(at, "number_input", "training.batch_tokens").value == Params().training.batch_tokens
    assert field(at, "selectbox", "training.precision").options == ["auto", "float32", "bfloat16"]
    assert "more than" not in field(at, "number_input", "training.threads").help
    assert "at least 1 and at most 1,024" in field(at, "number_input", "training.threads").help
    assert at.code[0].value == "prefect deployment run pipeline/local"
    assert any("Decay rate of AdamW's first moment" in caption.value for caption in at.caption)


@pytest.mark.parametrize("section", ["general", "ingestion", "tokenization", "small", "large", "reporting"])
def test_every_section_can_be_opened(open_page: Open, section: str) -> None:
    at = open_page("launch")
    settle(at.button_group(key="launch_section").set_value(section).run())
    shown = [
        w.key.partition(":")[2]
        for kind in ("number_input", "selectbox", "text_input", "text_area")
        for w in getattr(at, kind)
        if w.key and ":" in w.key
    ]
    assert shown
    assert all(key.startswith(f"{section}.") or section == "general" for key in shown)


def test_a_change_is_marked_listed_checked_and_undone(open_page: Open) -> None:
    at = open_page("launch")
    settle(field(at, "number_input", "training.beta1").set_value(0.8).run())
    assert at.code[0].value == Launch({"training.beta1": 0.8}).command
    assert any("default 0.9" in caption.value for caption in at.caption)
    assert "<s>0.9</s><b>0.8</b>" in html(at)
    assert not at.error
    settle(at.button(key="undo training.beta1").click().run())
    assert field(at, "number_input", "training.beta1").value == 0.9
    assert at.code[0].value == "prefect deployment run pipeline/local"


def test_a_refused_value_shows_the_runs_own_message_and_no_run_starts(open_page: Open) -> None:
    runs = FakeRuns()
    at = open_page("launch", runs)
    settle(field(at, "number_input", "training.batch_tokens").set_value(8191).run())
    with pytest.raises(StepError) as refused:
        check_params({"training": {"batch_tokens": 8191}})
    assert at.error[0].value == text.plain(str(refused.value))
    assert at.button(key="launch_start").disabled
    settle(field(at, "number_input", "training.beta1").set_value(1.5).run())
    assert "training.beta1 = 1.5" in at.error[0].value
    assert not runs.launched


def test_lists_are_edited_as_yaml(open_page: Open) -> None:
    at = open_page("launch")
    settle(at.button_group(key="launch_section").set_value("ingestion").run())
    area = field(at, "text_area", "ingestion.sources")
    (source,) = Params().ingestion.sources
    assert YAML(typ="safe").load(area.value) == [source.model_dump()]
    assert area.value.startswith("- path: python\n  kind: auto\n  license: PSF-2.0\n")
    settle(area.set_value("- path: {broken").run())
    assert at.error[0].value.startswith("ingestion.sources: not YAML")
    assert at.button(key="launch_start").disabled
    settle(field(at, "text_area", "ingestion.sources").set_value("- path: my/texts").run())
    assert not at.error
    assert at.code[0].value == Launch({"ingestion.sources": [{"path": "my/texts"}]}).command


def test_search_finds_parameters_of_every_section(open_page: Open) -> None:
    at = open_page("launch")
    settle(at.text_input(key="launch_query").set_value("learning rate").run())
    shown = {w.key.partition(":")[2] for w in at.number_input}
    assert {"small.learning_rate", "large.learning_rate", "training.final_lr_fraction"} <= shown


@pytest.mark.parametrize("flow", ["corpus", "growth-study", "growth-law", "data-ablation"])
def test_another_flow_is_launched_by_choice(open_page: Open, flow: str) -> None:
    runs = FakeRuns()
    at = open_page("launch", runs)
    settle(at.selectbox(key="launch_flow").set_value(flow).run())
    assert at.code[0].value == f"prefect deployment run {flow}/local"
    settle(at.button(key="launch_start").click().run())
    assert runs.launched == [Launch({}, "", flow, "", "")]


def test_starting_launches_once_and_opens_the_run(open_page: Open) -> None:
    runs = FakeRuns()
    at = open_page("launch", runs)
    settle(field(at, "number_input", "training.beta1").set_value(0.8).run())
    settle(at.button(key="launch_start").click().run())
    assert runs.launched == [Launch({"training.beta1": 0.8}, "", "pipeline", "", "")]
    assert "new-run" in html(at)
    assert asked(at, "run") == "id-new-run"


def test_text_and_size_are_asked_for_as_make_run_takes_them(open_page: Open) -> None:
    runs = FakeRuns()
    at = open_page("launch", runs, size="1M", text="my notes")
    assert (at.text_input(key="launch_text").value, at.selectbox(key="launch_size").value) == ("my notes", "1M")
    at.selectbox(key="launch_size").set_value("auto").run()
    settle(at.text_input(key="launch_text").set_value("docs, 7").run())
    assert at.code[0].value == "prefect deployment run pipeline/local -p text='docs, 7' -p size=auto"
    settle(at.button(key="launch_start").click().run())
    assert runs.launched == [Launch({}, "", "pipeline", "docs, 7", "auto")]
    assert "text docs, 7, size auto" in html(at)


def test_a_profile_is_the_new_default(open_page: Open) -> None:
    at = open_page("launch")
    before = field(at, "number_input", "training.context_length").value
    settle(at.selectbox(key="launch_profile").set_value("phi-2").run())
    assert field(at, "number_input", "training.context_length").value != before
    assert at.code[0].value == "prefect deployment run pipeline/local -p profile=phi-2"


def test_the_address_restores_the_form(open_page: Open) -> None:
    at = open_page("launch", overrides='{"training.beta1": 0.7, "no.such": 1}', profile="laptop")
    assert field(at, "number_input", "training.beta1").value == 0.7
    assert at.code[0].value == Launch({"training.beta1": 0.7}, "laptop").command


def test_without_a_server_launch_says_what_to_do(open_page: Open) -> None:
    at = open_page("launch", DeadRuns())
    assert at.error[0].value == text.plain(DOWN)
    settle(at.button(key="launch_start").click().run())
    assert {error.value for error in at.error} == {text.plain(DOWN)}


def test_a_run_that_nobody_will_pick_up_is_announced(open_page: Open) -> None:
    at = open_page("launch", FakeRuns(listening=False))
    assert "`make up` starts a worker" in at.warning[0].value


def test_a_broken_params_yaml_is_a_message(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(profile: str | None) -> dict:
        raise StepError("params.yaml: unknown key 'sead'; the nearest known key is 'seed'")

    monkeypatch.setattr(reads, "defaults", refuse)
    assert "unknown key 'sead'" in open_page("launch").error[0].value


def test_runs_shows_the_latest_run_live(open_page: Open) -> None:
    at = open_page("runs")
    page = html(at)
    assert asked(at, "run") == "id-quiet-falcon"
    assert "25%" in page
    assert "loss 2.5" in page
    assert "try 2" in page
    assert page.index('pf-name">ingest<') < page.index('pf-name">curate<') < page.index('pf-name">report<')
    assert "36b891b843da" in page
    assert len(at.get("plotly_chart")) == 1
    assert "a &lt;b&gt;bad&lt;/b&gt; line" in page, "log lines are text, never markup"


def test_another_run_can_be_opened_and_says_why_it_failed(open_page: Open) -> None:
    at = open_page("runs")
    settle(at.button(key="open-id-amber-lynx").click().run())
    assert asked(at, "run") == "id-amber-lynx"
    assert "failed with exit status 1" in at.error[0].value
    assert "error: &lt;curation&gt;: nothing left" in html(at)
    assert "Not run" in html(at)


def test_the_log_can_be_narrowed_to_a_stage(open_page: Open) -> None:
    at = open_page("runs")
    settle(at.selectbox(key="runs_stage").set_value("t2").run())
    assert "curate: 40 documents in" in html(at)
    assert "&lt;b&gt;bad" not in html(at)


def test_launching_again_takes_the_parameters_along(open_page: Open) -> None:
    at = open_page("runs")
    settle(at.button(key="runs_again").click().run())
    assert at.code[0].value == Launch({"seed": 2}).command


@pytest.mark.parametrize("role", ["", access.READER])
def test_only_who_is_known_to_be_the_operator_may_act(
    open_page: Open, monkeypatch: pytest.MonkeyPatch, role: str
) -> None:
    """Streamlit knows no headers of a browser that has left while its page still runs: a reader's may be the one."""
    monkeypatch.setenv(access.AUTH, "operator:known-to-nobody-else")
    runs = FakeRuns()
    at = open_page("launch", runs)
    monkeypatch.setattr(type(st.context), "headers", {access.ROLE_HEADER: role} if role else {})
    at.button(key="launch_start").click().run()  # as a forged message does, though the button is disabled by now
    assert runs.launched == []
    with pytest.raises(StepError, match="not logged in as operator"):
        acts.check()
    at = open_page("runs", runs, role=role)
    assert not [button.key for button in at.button if button.key and button.key.startswith("runs_cancel")]
    assert "known-to-nobody-else" not in html(at)


def test_a_run_can_be_cancelled_while_it_works(open_page: Open) -> None:
    runs = FakeRuns()
    at = open_page("runs", runs)
    settle(at.button(key="runs_cancel_sure").click().run())
    assert runs.cancelled == ["id-quiet-falcon"]
    settle(at.button(key="open-id-amber-lynx").click().run())
    assert "runs_cancel_sure" not in {button.key for button in at.button}


def test_without_a_server_runs_says_what_to_do(open_page: Open) -> None:
    at = open_page("runs", DeadRuns())
    assert [error.value for error in at.error] == [text.plain(DOWN)]


def test_an_unknown_run_is_named(open_page: Open) -> None:
    assert "has no run id-nowhere" in html(open_page("runs", run="id-nowhere"))


def test_compare_shows_only_what_differs(open_page: Open) -> None:
    at = open_page("compare")
    page = html(at)
    assert "training.beta1" in page
    assert "training.beta2" not in page
    assert "1 of 2" in page
    assert "0.700</b> <small>± 0.030 (± 0.071 over 5 clusters)" in page, "the better score is bold, with its errors"
    assert "detects 0.056 from chance, 0.119 from another model" in page
    assert "<b>2.8000</b>" in page, "the lower loss is bold"
    assert len(at.get("plotly_chart")) == 1
    assert asked(at, "runs") == "heron,otter"


@pytest.mark.parametrize(
    ("changed", "said", "loss", "bits", "exam"),
    [
        ({"questions": "other"}, "otter has another set of questions than heron", True, False, False),
        ({"protocol": "other"}, "otter has another protocol", True, False, False),
        ({"questions": ""}, "the set of questions of otter is not recorded", True, False, False),
        ({"tokenizer": "other"}, "otter has another tokenizer than heron", False, True, True),
        ({"documents": "other"}, "otter has another held-out text than heron", False, False, True),
    ],
)
def test_compare_names_no_winner_over_different_exams_texts_or_tokenizers(
    open_page: Open, changed: dict[str, str], said: str, loss: bool, bits: bool, exam: bool
) -> None:
    class Changed(FakeRecords):
        pass

    Changed.changed = changed
    at = open_page("compare", records=Changed())
    page = html(at)
    assert any(said in caption.value for caption in at.caption)
    assert ("<b>2.8000</b>" in page) == loss
    assert ("2.8000" in page) == loss
    assert (page.count("1.2500") == 2) == bits
    assert "<b>1.2500</b>" not in page
    assert ("<b>0.700</b>" in page) == exam
    assert ("0.600" in page) == exam
    assert len(at.get("plotly_chart")) == int(loss)


def test_compare_without_runs_or_without_mlflow(open_page: Open) -> None:
    class Empty(FakeRecords):
        def parents(self) -> list[Record]:
            return []

    class Dead(FakeRecords):
        def parents(self) -> list[Record]:
            raise Unavailable("MLflow at http://127.0.0.1:5000 does not answer.")

    assert "Nothing to compare yet" in html(open_page("compare", records=Empty()))
    assert "MLflow at http://127.0.0.1:5000 does not answer." in open_page("compare", records=Dead()).error[0].value


class Reported(FakeRecords):
    """The same runs, each with the leaderboard that its report left."""

    def questions(self, better: bool) -> str:
        return "questions"

    def stages(self, parent: Record | None, outputs: Any = None) -> dict[str, Record]:
        found = super().stages(parent, outputs)
        return found | ({"report": record(f"{parent.id}3", {}, {}, stage="report")} if parent else {})

    def document(self, record: Record, path: str) -> dict[str, Any] | None:
        assert path == "report/leaderboard.json"
        better = record.id.startswith("otter")
        share = Estimate(0.4 if better else 0.3, 0.01, 100)
        suite = [Measured(name, name, {"acc": share, "acc_norm": share}, 0, data="rows") for name in COMMONSENSE]
        clean = {"exact_match": share}
        suite.append(Measured("gsm8k", "gsm8k", clean, 8, overlap=0.25, clean=clean, data=self.questions(better)))
        bits = Estimate(1.25 if better else 1.5, 0.01, 100)
        suite.append(Measured("mbpp", "mbpp", {"bits_per_byte": bits}, 3, data="rows"))
        pair = {"of": "large", "against": "control", **paired([[1.0] * 8 + [0.0] * 9]).record(), "bits_per_byte": None}
        return {"standings": standings({"large": suite}), "exam_differences": [pair] if better else [{"of": "x"}]}


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
            raise Unavailable("MLflow at http://127.0.0.1:5000 does not answer.")

    at = open_page("leaderboard", records=Dead())
    assert "MLflow at http://127.0.0.1:5000 does not answer." in at.error[0].value
    assert "Llama-2 70B" in html(at)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.6, "1 m 00 s"), (3599.6, "1 h 00 m")]
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert text.duration(seconds) == text


def test_only_web_addresses_become_links() -> None:
    assert parts.link("x", "javascript:alert(1)") == "x"
    assert 'href="http://127.0.0.1/?a=1&amp;b"' in parts.link("x", "http://127.0.0.1/?a=1&b")
