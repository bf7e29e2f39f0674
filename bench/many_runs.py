"""Many runs in one folder: bytes on the disk by kind, and the time to read all runs, before and after housekeeping.

    python -m bench.many_runs [--runs 200] [--folder FOLDER] [--json FILE] [--markdown]

Makes a project with one stage that writes the seed into a file, and runs its flow many times with different seeds, so that each
run has its own workspace, experiment, MLflow run and Prefect run. Measures after the first run, after the last, and after
housekeeping with the limits below. Times are of one call of each: `dvc exp show`, the panel's list of the latest 50 runs, and a
cached run in the main folder.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from bench.common import ROOT, Report, Row, cpu_seconds, machine, parser, run
from flows import server, settings
from flows.disk import Meter
from tests.flows import toy

KEPT = 20
PIPELINE = """
stages:
  report:
    cmd: python step.py report reports/report.txt
    deps: [step.py]
    params: [seed]
    outs: [reports/report.txt]
"""
LIMITS = f"""
housekeeping:
  workspaces: {{keep: 10, days: 0}}
  experiments: {{keep: {KEPT}, days: 0}}
  runs: {{keep: {KEPT}, days: 0}}
  cache: {{keep: 0, days: 0}}
"""
KINDS = {
    "DVC's cache": ".dvc/cache",
    "workspaces": "workspaces",
    "git: experiments, sources": ".git",
    "Prefect's database": ".phiforge/prefect",
    "MLflow's database": "mlflow.db",
    "all": ".",
}


def main() -> int:
    options = parser(__doc__)
    options.add_argument("--runs", type=int, default=200, help="number of runs")
    options.add_argument("--at-once", type=int, default=2, help="runs at the same time")
    options.add_argument(
        "--folder", type=Path, help="where the project is made (default: the system's temporary folder)"
    )
    arguments = options.parse_args()
    report = Report("Many runs in one folder", machine() | {"runs": arguments.runs})
    with tempfile.TemporaryDirectory(dir=arguments.folder, prefix="many-runs-") as folder:
        root = make_project(Path(folder) / "project")
        report.measurements = measure(root, arguments.runs, arguments.at_once)
    write(report, report.measurements)
    return report.finish(arguments)


def make_project(root: Path) -> Path:
    """The project, with limits for housekeeping, and this process's environment for it."""
    toy.make_project(root)
    with open(root / "params.yaml", "a", encoding="utf-8") as file:
        file.write(LIMITS)
    (root / "dvc.yaml").write_text(PIPELINE, encoding="utf-8")
    toy.git(root, "commit", "--quiet", "--all", "--message", "one stage")
    for name in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI"):
        os.environ.pop(name, None)
    os.environ |= {settings.HOME: str(root), "TOY_TRACE": str(root / "trace"), "PREFECT_LOGGING_LEVEL": "CRITICAL"}
    settings.configure(root)
    return root


def measure(root: Path, runs: int, at_once: int) -> dict[str, Row]:
    """Do the runs; the figures after the first, after the last, and after housekeeping."""
    embedded = server.connect(root)
    from flows.housekeeping import tidy
    from flows.housekeeping.compact import compact
    from flows.pipeline import pipeline

    embedded.wait()
    pipeline(return_state=True)  # in the main folder, for a cached run to find
    measured = {"one run": sizes(root) | times(root)}
    started = time.monotonic()
    with ThreadPoolExecutor(at_once) as pool:
        started_runs = [
            pool.submit(pipeline, overrides={"seed": number}, return_state=True) for number in range(2, runs + 1)
        ]
        for number, ended in enumerate(as_completed(started_runs), start=2):
            if not ended.result().is_completed():
                raise SystemExit(f"a run ended {ended.result().name}: {ended.result().message}")
            print(f"  run {number}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    measured[f"{runs} runs"] = sizes(root) | times(root)
    tidy(root)
    after = times(root)
    embedded.stop()  # a database in use keeps its size
    compact(root)
    return measured | {"after housekeeping": sizes(root) | after}


def sizes(root: Path) -> Row:
    """Megabytes on the disk, by kind."""
    return {name: Meter().bytes_of([root / path]) / 1e6 for name, path in KINDS.items()}


def times(root: Path) -> Row:
    """Wall and CPU seconds of each call."""
    from flows.client.runs import Runs

    def command(*words: str) -> Callable[[], str]:
        return lambda: run([sys.executable, "-m", *words], root, PYTHONPATH=str(ROOT))

    calls: dict[str, Callable[[], Any]] = {"dvc exp show": command("dvc", "exp", "show")}
    calls |= {"the panel's list": Runs().recent, "a cached run": command("flows.run")}
    return {f"{name}, {clock}": value for name, call in calls.items() for clock, value in timed(call).items()}


def timed(call: Callable[[], Any]) -> dict[str, float]:
    """Seconds that a call takes, and the CPU seconds of this process and of those that it starts."""
    wall, cpu = time.perf_counter(), cpu_seconds()
    call()
    return {"wall s": time.perf_counter() - wall, "CPU s": cpu_seconds() - cpu}


def write(report: Report, measured: dict[str, Row]) -> None:
    for caption, names in (
        ("MB on the disk", KINDS),
        ("Seconds", [name for name in measured["one run"] if name not in KINDS]),
    ):
        report.table(caption, ["", *measured], [[name, *(row[name] for row in measured.values())] for name in names])
    report.note(
        f"Housekeeping kept the newest 10 workspaces and {KEPT} runs and experiments, and the files that these need."
    )


if __name__ == "__main__":
    sys.exit(main())
