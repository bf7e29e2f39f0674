"""CPU seconds around the work: a cached run, a stage that does nothing, the four gates of the data.

    make run && python -m bench.processes [--rounds 3]

Every figure counts user and system time of a command and all its children; the median of the rounds counts. The cached run and
the gates need the results of `make run` in this folder, and do not change it. The stage that does nothing runs as in a flow,
under DVC and with notes for MLflow, in a temporary project; all its time is overhead.
"""

import os
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.common import ROOT, Report, in_turn, machine, parser, run

GATES = ("raw", "curated", "textbooks", "tokens")
STEP = """
from components.running.cli import Argument, Command, main

def run(inputs, outputs, params, tracker):
    outputs["output"].mkdir()
    (outputs["output"] / "nothing.txt").write_text("nothing")
    return {"documents": 0}

main(Command("nothing", "Do nothing.", run, outputs=(Argument("output", "a folder", holds="nothing.txt"),)))
"""
STAGE = """
stages:
  nothing:
    cmd: python nothing.py --output data --summary nothing.json
    deps: [nothing.py]
    outs: [data, nothing.json]
"""


def main() -> int:
    arguments = parser(__doc__, rounds=3).parse_args()
    report = Report("Around the work", machine())
    with tempfile.TemporaryDirectory() as folder:
        stage = light_stage(Path(folder) / "project", arguments.rounds)
        gates = {
            asset: gate(asset, Path(folder), arguments.rounds) for asset in GATES if (ROOT / "data" / asset).is_dir()
        }
    ran = (ROOT / "dvc.lock").is_file()
    cached = median([sys.executable, "-m", "flows.run"], ROOT, {}, arguments.rounds) if ran else None
    together = sum(gates.values()) if len(gates) == len(GATES) else None
    rows = [["cached run", cached], ["stage that does nothing", stage], *([f"gate: {k}", v] for k, v in gates.items())]
    report.table("CPU seconds", ["", "s"], rows)
    report.target("cached run, CPU s", cached, 4.0, at_least=False)
    report.target("executed stage over its work, CPU s", stage, 1.5, at_least=False)
    report.target("the four gates, CPU s", together, 8.0, at_least=False)
    report.measurements = {"cached": cached, "stage": stage, "gates": gates}
    return report.finish(arguments)


def light_stage(project: Path, rounds: int) -> float:
    """CPU seconds of `dvc repro` of a stage whose step does nothing."""
    project.mkdir()
    (project / "nothing.py").write_text(STEP, encoding="utf-8")
    (project / "dvc.yaml").write_text(STAGE, encoding="utf-8")
    (project / "params.yaml").write_text("seed: 1\n", encoding="utf-8")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    environment = {"PATH": path, "PYTHONPATH": str(ROOT), "SHELL": "/bin/bash"}
    environment |= {"PHIFORGE_NOTES": str(project / "notes.json")}
    for command in (["git", "init", "-q"], ["dvc", "init", "-q"]):
        run(command, project, **environment)
    return median(["dvc", "repro", "--force", "--single-item", "nothing"], project, environment, rounds)


def gate(asset: str, folder: Path, rounds: int) -> float:
    """CPU seconds of the gate of one asset."""
    command = [sys.executable, "-m", "components.validation", "--asset", asset, "--input", f"data/{asset}"]
    return median([*command, "--output", str(folder / asset)], ROOT, {}, rounds)


def median(command: Sequence[str], folder: Path, environment: Mapping[str, str], rounds: int) -> float:
    """CPU seconds of a command and its children."""
    seconds, _ = in_turn({"command": lambda: run(command, folder, **environment)}, rounds)
    return statistics.median(seconds["command"])


if __name__ == "__main__":
    sys.exit(main())
