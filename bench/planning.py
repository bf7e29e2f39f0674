"""How far `phiforge plan` is from what runs took: after one run, the predictions for other settings, then those runs.

    python -m bench.planning FOLDER [--seed-run] [--only NAME ...]
    python -m bench.planning FOLDER --fit [--more FILE ...]

FOLDER gets a copy of this project with small settings, whose default run calibrates the plan. Each setting of SETTINGS is then
planned (`phiforge plan --json`) and run (`phiforge run`); the errors are those of the sum over all stages that ran, and of the
largest process. Predicted are CPU seconds, which other programs on the machine change little, and the wall-clock seconds of a
machine at rest that follow from them; measured are the CPU seconds of each stage's processes. What was predicted before a run is
kept in FOLDER, so a second call prints it again. Targets: 30% in time, 15% in memory, and 3 CPU seconds for the plan itself.

`--fit` prints components/planning/reference.yaml anew from the measurements of FOLDER and further files in that form: each rate is
that of the best non-negative combination of a stage's amounts, by relative error.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bench.common import ROOT, Report, Row, machine, parser
from components.planning.costs import kind_of, probe, reference

TIME, MEMORY, DRY = 0.30, 0.15, 3.0
MODEL = {"hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 2}
LARGE = {"hidden_size": 80, "intermediate_size": 320, "num_hidden_layers": 4, "num_attention_heads": 2}
DEFAULT: dict[str, Any] = {
    "validation.min_tokens": 1000,
    "synthesis.chapters": 60,
    "synthesis.exercises": 1500,
    "synthesis.exam_examples": 15,
    "tokenization.vocab_size": 1024,
    "training.context_length": 128,
    "training.batch_tokens": 1024,
    "training.micro_batch_tokens": 1024,
    "training.threads": 1,
    "training.validations": 3,
    "training.validation_tokens": 8192,
    **{f"small.model.{key}": value for key, value in MODEL.items()},
    "small.tokens": 80_000,
    **{f"large.model.{key}": value for key, value in LARGE.items()},
    "large.tokens": 40_000,
    "transfer.proof_tokens": 1024,
    "promotion.max_overlap": 1.0,
    "promotion.max_loss_over_control": 5.0,
    "ingestion.sources": [{"path": "texts", "license": "Apache-2.0"}],
}
SETTINGS: dict[str, dict[str, Any]] = {
    "wider models, twice the tokens": {
        "small.model.hidden_size": 96,
        "small.model.intermediate_size": 384,
        "large.model.hidden_size": 120,
        "large.model.intermediate_size": 480,
        "small.tokens": 160_000,
        "large.tokens": 80_000,
    },
    "a tenth of the text, four times the exercises": {
        "ingestion.sources": [{"path": "texts/docs", "license": "Apache-2.0"}],
        "synthesis.exercises": 6000,
        "synthesis.chapters": 240,
        "synthesis.exam_examples": 40,
    },
    "deeper models, longer context": {
        "small.model.num_hidden_layers": 4,
        "large.model.num_hidden_layers": 8,
        "training.context_length": 256,
        "training.batch_tokens": 2048,
        "training.micro_batch_tokens": 2048,
    },
}


def main() -> int:
    options = parser(__doc__, threads=1)
    options.add_argument("folder", type=Path, help="where the project and the predictions are kept")
    options.add_argument(
        "--only", nargs="+", choices=list(SETTINGS), default=list(SETTINGS), help="settings to measure"
    )
    options.add_argument("--fit", action="store_true", help="print reference.yaml from what FOLDER and --more measured")
    options.add_argument("--more", type=Path, nargs="*", default=[], help="further files in the form of stages.jsonl")
    arguments = options.parse_args()
    project = arguments.folder / "project"
    if arguments.fit:
        lines = [line for path in [project / ".phiforge" / "stages.jsonl", *arguments.more] for line in _lines(path)]
        print(fitted([json.loads(line) for line in lines]))
        return 0
    if not project.is_dir():
        make_project(project)
        phiforge(project, "run")
    report = Report("The plan against the run", machine(1))
    rows = [measure(project, arguments.folder, name) for name in arguments.only]
    report.table("After one default run", list(rows[0]), [[*row.values()] for row in rows])
    report.target("largest error of the time", max(abs(row["time error"]) for row in rows), TIME, at_least=False)
    report.target("largest error of the memory", max(abs(row["memory error"]) for row in rows), MEMORY, at_least=False)
    report.target("CPU seconds of a plan", max(row["plan CPU s"] for row in rows), DRY, at_least=False)
    report.measurements = rows
    return report.finish(arguments)


def make_project(folder: Path) -> None:
    """A copy of this project with DEFAULT as its parameters and its own code and prose as text."""
    from flows.workspace import write_params

    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if not name.startswith(("tests/", "dvc.lock")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    left_out = shutil.ignore_patterns("__pycache__", "*.json")
    shutil.copytree(folder / "components", folder / "texts" / "code", ignore=left_out)
    shutil.copytree(folder / "docs", folder / "texts" / "docs")
    write_params(folder / "params.yaml", {}, DEFAULT)
    identity = ["-c", "user.name=bench", "-c", "user.email=bench@example.org"]
    for words in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-qm", "start"]):
        subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)


def phiforge(project: Path, *words: str) -> tuple[str, float]:
    """The output of a command of the project, and its CPU seconds."""
    left_out = ("PHIFORGE_HOME", "PREFECT_API_URL", "PREFECT_HOME", "MLFLOW_TRACKING_URI", "DVC_STAGE", "PYTHONPATH")
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    before = _cpu()
    command = [sys.executable, "-m", "flows.command", *words]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stdout[-2000:] + done.stderr[-2000:])
    return done.stdout, _cpu() - before


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(project: Path, folder: Path, name: str) -> Row:
    """Plan a setting after the default run alone, run it, and compare."""
    kept = folder / f"{name.replace(' ', '-')}.json"
    if not kept.is_file():
        words = [word for key, value in SETTINGS[name].items() for word in ("--set", f"{key}={json.dumps(value)}")]
        log = project / ".phiforge" / "stages.jsonl"
        first = folder / "default.jsonl"
        if not first.is_file():
            shutil.copyfile(log, first)
        shutil.copyfile(first, log)  # other settings must not help
        text, cpu = phiforge(project, "plan", "--json", *words)
        phiforge(project, "run", *words)
        ran = _lines(log)[len(_lines(first)) :]
        kept.write_text(json.dumps({"plan": json.loads(text), "cpu": cpu, "ran": [json.loads(line) for line in ran]}))
    found = json.loads(kept.read_text())
    planned = {stage["name"]: stage["cost"] for stage in found["plan"]["stages"] if stage["cost"]}
    measured = {stage["stage"]: stage for stage in found["ran"] if stage["stage"] in planned}
    seconds = [sum(one[stage]["cpu_seconds"] for stage in measured) for one in (planned, measured)]
    memory = [max(one[stage]["peak_bytes"] for stage in measured) / 1e6 for one in (planned, measured)]
    return {
        "setting": name,
        "stages": f"{len(measured)} of {len(planned)}",
        "planned CPU s": round(seconds[0], 1),
        "CPU s": round(seconds[1], 1),
        "time error": round(seconds[0] / seconds[1] - 1, 3),
        "planned MB": round(memory[0]),
        "MB": round(memory[1]),
        "memory error": round(memory[0] / memory[1] - 1, 3),
        "plan CPU s": round(found["cpu"], 2),
    }


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def fitted(records: list[dict[str, Any]]) -> str:
    """reference.yaml from measurements; a kind's amounts are those that the present file lists."""
    lines = [f"core_flops: {probe():.3g}", "kinds:"]
    for kind, rates in reference()[0].items():
        own = [record for record in records if record["work"] and kind_of(record["stage"]) == kind]
        lines.append(f"  {kind}:")
        for name, fact, amounts in (
            ("cpu", "cpu_seconds", rates.cpu),
            ("memory", "peak_bytes", rates.memory),
            ("disk", "bytes", rates.disk),
        ):
            found = _solve(own, fact, amounts) if own else amounts
            lines.append(f"    {name}: {{{', '.join(f'{key}: {value:.4g}' for key, value in found.items())}}}")
        lines.append(f"    parallel: {rates.parallel}")
    return "\n".join(lines)


def _solve(records: Iterable[Mapping[str, Any]], fact: str, amounts: Mapping[str, float]) -> dict[str, float]:
    """Non-negative rates of the amounts with the least relative errors."""
    import numpy as np
    from scipy.optimize import nnls

    rows = [record for record in records if record[fact] > 0]
    matrix = np.array([[record["work"].get(name, 0.0) / record[fact] for name in amounts] for record in rows])
    scale = matrix.max(axis=0, initial=1e-12)
    found, _ = nnls(matrix / scale, np.ones(len(rows)))
    return dict(zip(amounts, (found / scale).tolist(), strict=True))


if __name__ == "__main__":
    sys.exit(main())
