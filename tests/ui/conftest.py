"""A small platform for the panel: a private Prefect server and an MLflow file, filled as the pipeline's flow fills them.

The runs are written through the same clients that the flow uses, with states, logs, artifacts and curves of their own
making, so that a whole history is there in a second. Nothing runs, and nothing outside 127.0.0.1 is asked.
"""

import json
import math
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from components.params import Params, flatten
from components.results.published import Measured, standings
from components.results.statistics import Estimate, paired
from components.running.progress import format_progress
from flows.client import pipeline_stages

ROOT = Path(__file__).parents[2]
BATCH = Params().training.batch_tokens
TRAINED = {"train_small": (2_000_000, 2.9), "train_large": (1_500_000, 2.62), "train_control": (1_500_000, 2.81)}
READS = {  # sections of params.yaml by stage, as dvc.yaml has them
    "ingest": ["ingestion"],
    "curate": ["curation"],
    "synthesize": ["seed", "synthesis"],
    "tokenize": ["seed", "tokenization"],
    "train_small": ["seed", "small", "training"],
    "grow": ["seed", "large", "transfer"],
    "train_large": ["seed", "large", "training"],
    "train_control": ["seed", "large", "training"],
    "report": ["reporting"],
}
SECONDS = {"ingest": 14, "curate": 9, "synthesize": 21, "tokenize": 12, "train_small": 96, "train_large": 118}
CATEGORIES = ("arithmetic", "code reading", "common sense", "language", "logic")


@dataclass
class Platform:
    """Addresses of the servers, and the ids of the flow runs by name."""

    api: str
    mlflow: str
    runs: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        return {"PREFECT_API_URL": self.api, "MLFLOW_TRACKING_URI": self.mlflow}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(address: str, process: subprocess.Popen, seconds: float = 300) -> None:
    """Until an address answers with 200; fails when the process ends first."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert process.poll() is None, f"{process.args} ended with {process.returncode}"
        try:
            with urllib.request.urlopen(address, timeout=2) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.2)
    raise TimeoutError(f"{address} did not answer in {seconds} s")


def start(command: list[str], environment: dict[str, str], log: Path) -> subprocess.Popen:
    base = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    with open(log, "wb") as file:
        return subprocess.Popen(
            command, cwd=ROOT, env=base | environment, stdout=file, stderr=file, start_new_session=True
        )


def stop(process: subprocess.Popen) -> None:
    """Gently, so that nothing is left half recorded; then for sure."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def start_prefect(folder: Path, port: int) -> subprocess.Popen:
    environment = {"PREFECT_HOME": str(folder / "prefect"), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    command = [
        sys.executable,
        "-m",
        "prefect",
        "server",
        "start",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--no-ui",
    ]
    server = start(command, environment, folder / "prefect.log")
    try:
        wait_for(f"http://127.0.0.1:{port}/api/health", server)
    except BaseException:
        stop(server)
        raise
    return server


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Servers with a history of runs, shared by all tests that only read."""
    folder = tmp_path_factory.mktemp("platform")
    port = free_port()
    server = start_prefect(folder, port)
    try:
        made = Platform(f"http://127.0.0.1:{port}/api", f"sqlite:///{folder / 'mlflow.db'}")
        fill(made)
        yield made
    finally:
        stop(server)


@pytest.fixture
def connected(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> Platform:
    """This process's environment points to the platform."""
    for name, value in platform.environment.items():
        monkeypatch.setenv(name, value)
    return platform


def fill(platform: Platform) -> None:
    """A history: a whole run, one from its cache, one that changes parameters, one that failed, one under way."""
    from prefect import flow
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.events.worker import EventsWorker
    from prefect.settings import PREFECT_API_URL, temporary_settings

    @flow(name="pipeline")
    def pipeline(overrides: dict[str, Any] = {}, profile: str | None = None) -> None:  # noqa: B006
        """Replaces the real flow."""

    # Some of Prefect's calls look for a server of their own; they must find this one, not start another.
    with temporary_settings({PREFECT_API_URL: platform.api}):
        writer = History(platform, SyncPrefectClient(platform.api))
        flow_id = writer.client.create_flow(pipeline)
        writer.client.create_deployment(
            flow_id, "local", entrypoint="flows/pipeline.py:pipeline", parameter_openapi_schema=SCHEMA
        )
        now = datetime.now(UTC)
        names = list(pipeline_stages(ROOT))
        writer.run(pipeline, "patient-heron", now - timedelta(hours=3), {}, names, [])
        cached = names[: names.index("train_large")]
        changed = {"large.learning_rate": 0.002, "training.weight_decay": 0.2}
        writer.run(pipeline, "bright-otter", now - timedelta(minutes=71), changed, names, cached, better=0.09)
        writer.run(
            pipeline,
            "amber-lynx",
            now - timedelta(minutes=40),
            {"synthesis.chapters": 1200},
            names,
            [],
            fails="synthesize",
        )
        writer.run(pipeline, "calm-wren", now - timedelta(minutes=22), {}, names, names)
        writer.run(
            pipeline,
            "quiet-falcon",
            now - timedelta(minutes=4, seconds=12),
            {"seed": 2, "large.tokens": 3_000_000},
            names,
            names[1:4],
            running="train_large",
        )
        EventsWorker.drain_all()  # its connection is to this server; flows of other tests report to theirs


SCHEMA = {
    "type": "object",
    "properties": {
        "overrides": {"type": "object", "default": {}, "position": 0, "title": "overrides"},
        "profile": {
            "anyOf": [{"type": "string"}, {"type": "null"}],
            "default": None,
            "position": 1,
            "title": "profile",
        },
    },
}


class History:
    """Writes flow runs with their stages, logs, records and curves."""

    def __init__(self, platform: Platform, client: Any) -> None:
        from mlflow import MlflowClient

        self.platform, self.client = platform, client
        self.made: dict[str, str] = {}  # md5 of the latest output of each stage
        self.mlflow = MlflowClient(tracking_uri=platform.mlflow)
        self.experiment = self.mlflow.create_experiment(
            "phiforge", artifact_location=f"{platform.mlflow[10:]}.artifacts"
        )

    def run(
        self,
        flow: Any,
        name: str,
        began: datetime,
        overrides: dict[str, Any],
        names: list[str],
        cached: list[str],
        fails: str = "",
        running: str = "",
        better: float = 0.0,
    ) -> None:
        from prefect.states import Completed, Failed, Running

        given = {"overrides": overrides, "profile": None}
        run = self.client.create_flow_run(flow, parameters=given, name=name, state=Running(timestamp=began))
        self.platform.runs[name] = str(run.id)
        parent = ""
        if cached != names:
            tags = {"pipeline.source": "prefect", "prefect.flow_run_id": str(run.id), "prefect.flow_run_name": name}
            tags |= {"git.commit": "3d21b25c52c508f2b96d579cd176433de5a6fb3e", "git.source": "HEAD"}
            if overrides:
                tags["workspace"] = f"{abs(hash(name)):012x}"[:12]
            parent = self.mlflow.create_run(self.experiment, _ms(began), tags, name).info.run_id
            for key, value in overrides.items():
                self.mlflow.log_param(parent, key, value)
        clock, rows, outcome = began + timedelta(seconds=2), [], "FINISHED"
        for stage in names:
            seconds = 0.3 if stage in cached else SECONDS.get(stage, 5) * random.Random(stage).uniform(0.9, 1.2)
            kind = "failed" if stage == fails else "cached" if stage in cached else "ran"
            if stage == running:
                self.stage(run, stage, clock, (datetime.now(UTC) - clock).total_seconds(), "running", parent, overrides)
                return
            self.stage(run, stage, clock, seconds, kind, parent, overrides, better)
            clock += timedelta(seconds=seconds)
            if kind == "failed":
                outcome = "FAILED"
                break
            md5 = (
                f"{stage}-{'' if kind == 'cached' else name}".encode().hex()[:32] if kind == "ran" else self.made[stage]
            )
            self.made[stage] = md5
            rows.append({"stage": stage, "outcome": kind, "seconds": "", "outputs": f"out/{stage} {md5[:24]}"})
            if parent:
                self.mlflow.set_tag(parent, f"dvc.{stage.replace('@', '/')}", json.dumps({f"out/{stage}": md5}))
        self.finish(run, parent, clock, rows, outcome)
        end = Failed if outcome == "FAILED" else Completed
        text = (
            f"stage {fails}: failed with exit status 1\nerror: synthesis: chapters = 1200: only 900 drafts"
            if fails
            else ""
        )
        self.client.set_flow_run_state(run.id, end(timestamp=clock, message=text), force=True)

    def finish(self, run: Any, parent: str, clock: datetime, rows: list[dict[str, str]], outcome: str) -> None:
        from prefect.client.schemas.actions import ArtifactCreate

        table = ArtifactCreate(key="stages", type="table", data=json.dumps(rows), flow_run_id=run.id)
        self.client.create_artifact(table)
        if parent:
            self.mlflow.set_terminated(parent, outcome, _ms(clock))

    def stage(
        self,
        run: Any,
        stage: str,
        began: datetime,
        seconds: float,
        kind: str,
        parent: str,
        overrides: dict[str, Any],
        better: float = 0.0,
    ) -> None:
        from prefect import task
        from prefect.states import Completed, Failed, Running

        @task
        def work() -> None: ...

        task_run = self.client.create_task_run(work, run.id, stage, name=stage, state=Running(timestamp=began))
        ended = began + timedelta(seconds=seconds)
        self.logs(run, task_run, stage, began, seconds, kind)
        if kind != "cached":
            self.record(run, stage, began, seconds, kind, parent, overrides, better)
        end = {
            "cached": Completed(name="Cached", message="nothing changed", timestamp=ended),
            "ran": Completed(message=f"ran in {seconds:.1f} s", timestamp=ended),
            "failed": Failed(message="error: synthesis: chapters = 1200: only 900 drafts", timestamp=ended),
        }.get(kind)
        if end:
            self.client.set_task_run_state(task_run.id, end, force=True)

    def logs(self, run: Any, task_run: Any, stage: str, began: datetime, seconds: float, kind: str) -> None:
        from prefect.client.schemas.actions import LogCreate

        if kind == "cached":
            return
        total, lines = 366, [f"Running stage '{stage}':", f"> python -m components.{stage.partition('@')[0]}"]
        if stage in TRAINED:
            lines += [f"{stage}: device cpu, bfloat16 activations, 1.02 M parameters"]
            last = int(total * (0.61 if kind == "running" else 1))
            for done in range(total // 12, last + 1, total // 12):
                loss = loss_at(done / total, *TRAINED[stage][1:])
                lines += [format_progress(done, total, loss=loss, tokens_per_s=21_400.0 + done)]
                if done % 3 == 0:
                    lines += [f"validation at step {done}: loss {loss + 0.04:.4f}, {loss / 2.1:.4f} bits per byte"]
        else:
            lines += [f"{stage}: 4,182 documents in, 3,977 kept, 205 in the ledger"]
        if kind == "failed":
            lines += ["error: synthesis: chapters = 1200: only 900 drafts"]
        elif kind == "ran":
            lines += [f"{stage}: done in {seconds:.1f} s"]
        pause = seconds / (len(lines) + 1)
        self.client.create_logs(
            LogCreate(
                name="prefect.task_runs",
                level=40 if line.startswith("error") else 20,
                message=line,
                timestamp=began + timedelta(seconds=pause * place),
                flow_run_id=run.id,
                task_run_id=task_run.id,
            )
            for place, line in enumerate(lines)
        )

    def record(
        self,
        run: Any,
        stage: str,
        began: datetime,
        seconds: float,
        kind: str,
        parent: str,
        overrides: dict[str, Any],
        better: float,
    ) -> None:
        from mlflow.entities import Metric, Param

        tags = {"stage": stage, "mlflow.parentRunId": parent, "prefect.flow_run_id": str(run.id)}
        name = self.client.read_flow_run(run.id).name
        if kind == "ran":
            tags["measured_on"] = json.dumps(
                dict.fromkeys(("tokenizer", "documents", "targets", "questions", "protocol"), "same")
            )
            tags["dvc.outs"] = json.dumps({f"out/{stage}": f"{stage}-{name}".encode().hex()[:32]})
        record = self.mlflow.create_run(self.experiment, _ms(began), tags, stage).info.run_id
        metrics = [Metric("seconds", seconds, _ms(began), 0)] if kind == "ran" else []
        if stage in TRAINED:
            metrics += self.curve(stage, began, seconds, 0.61 if kind == "running" else 1.0, better)
        if stage.startswith("benchmark@"):
            metrics += self.scores(stage, began, better)
        if stage == "report" and kind == "ran":
            self.mlflow.log_text(record, json.dumps(leaderboard(better)), "report/leaderboard.json")
        sections = READS.get(stage, ["benchmarking" if "@" in stage else "validation"])
        values = flatten(Params()) | overrides
        params = [Param(k, str(v)) for k, v in values.items() if k.partition(".")[0] in sections]
        self.mlflow.log_batch(record, metrics, params if kind == "ran" else [])
        if kind != "running":
            self.mlflow.set_terminated(record, "FINISHED" if kind == "ran" else "FAILED", _ms(began))

    def curve(self, stage: str, began: datetime, seconds: float, share: float, better: float) -> list[Any]:
        from mlflow.entities import Metric

        tokens, floor = TRAINED[stage]
        noise, steps, metrics = random.Random(f"{stage}{better}"), 60, []
        for place in range(int(steps * share) + 1):
            at, step = _ms(began) + int(1000 * seconds * place / steps), place * tokens // (steps * BATCH)
            loss = loss_at(place / steps, floor - (better if stage == "train_large" else 0), stage == "train_large")
            metrics += [
                Metric("tokens", step * BATCH, at, step),
                Metric("loss", loss + noise.gauss(0, 0.03), at, step),
                Metric("learning_rate", 0.004 * min(1, place / 4), at, step),
            ]
            if place % 6 == 0:
                metrics += [Metric("validation_loss", loss + 0.05 + noise.gauss(0, 0.006), at, step)]
        return metrics

    def scores(self, stage: str, began: datetime, better: float) -> list[Any]:
        from mlflow.entities import Metric

        model = stage.partition("@")[2]
        lift = {"small": 0.0, "large": 0.12 + better, "control": 0.05}[model]
        metrics = []
        for group, names in (
            ("categories", CATEGORIES),
            ("tasks", [f"{c} {k}" for c in CATEGORIES for k in ("a", "b")]),
        ):
            for name in names:
                n = 200 if group == "categories" else 100
                value = min(0.95, 0.34 + lift + random.Random(name + model).uniform(-0.08, 0.2))
                stem = f"{group}.{name}.acc"
                figures = {"value": value, "stderr": math.sqrt(value * (1 - value) / n), "n": n}
                metrics += [Metric(f"{stem}.{key}", figure, _ms(began), 0) for key, figure in figures.items()]
        return metrics


def leaderboard(better: float) -> dict[str, Any]:
    """What the report leaves: three models on part of Phi-2's suite, and the large one against the others."""
    names = ("piqa", "winogrande", "arc_easy", "arc_challenge", "siqa")
    lift = {"small": 0.0, "large": 0.04 + better / 2, "control": 0.02}
    measured = {
        model: [
            Measured(name, name, {"acc": Estimate(0.3 + more + i / 40, 0.011, 1800)}, 0, data="rows")
            for i, name in enumerate(names)
        ]
        + [
            Measured(
                "exam", "exam", {"acc": Estimate(0.36 + 2 * more, 0.02, 3000)}, 0, "mean of its tasks", data="rows"
            )
        ]
        for model, more in lift.items()
    }
    pairs = [
        {
            "of": "large",
            "against": other,
            **paired([[1.0] * 12 + [0.0] * 150 + [-1.0] * 3]).record(),
            "bits_per_byte": None,
        }
        for other in ("small", "control")
    ]
    return {"standings": standings(measured), "exam_differences": pairs, "suite_differences": []}


def loss_at(share: float, floor: float, warm: bool = False) -> float:
    """A loss curve as training makes it: a power law above its floor; a grown model starts low."""
    return floor + (0.9 if warm else 4.6) * math.exp(-5.5 * share) + 0.25 * (1 - share)


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
