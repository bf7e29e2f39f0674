"""A project of four stages in a temporary git and DVC repository: the flow's tests need no real step.

inventory (always changed) -> prepare -> train (slow, says its progress) -> report; prepare -> check
"""

import os
import subprocess
import sys
from pathlib import Path

STEP = '''
"""A toy step: copies its inputs to its output, as slowly as params.yaml asks."""
import os, sys, time
from pathlib import Path
from ruamel.yaml import YAML

name, output, *inputs = sys.argv[1:]
params = YAML(typ="safe").load(Path("params.yaml").read_text())
with open(Path(os.environ["TOY_TRACE"]) / f"{name}.starts", "a") as file:
    file.write(f"{os.getpid()}\\n")
flag = Path(os.environ["TOY_TRACE"]) / f"{name}.fail"
if flag.exists():
    for line in range(30):
        print(f"line {line} of {name}", flush=True)
    print(flag.read_text().strip(), file=sys.stderr, flush=True)
    if flag.read_text().startswith("once"):
        flag.unlink()
    sys.exit(1)
if name == "train":
    slow = Path(os.environ["TOY_TRACE"]) / "slow"
    total = int(slow.read_text() or 600) if slow.exists() else 2
    for done in range(1, total + 1):
        time.sleep(0.1)
        print(f"progress done={done} total={total} loss={4 / done:.3f} tokens_s=1000", flush=True)
text = f"{name} seed={params['seed']}\\n" + "".join(Path(path).read_text() for path in inputs)
Path(output).parent.mkdir(parents=True, exist_ok=True)
Path(output).write_text(text)
print(f"{name}: done", flush=True)
'''

PIPELINE = """
stages:
  inventory:
    cmd: python step.py inventory data/inventory.txt
    deps: [step.py]
    outs: [data/inventory.txt]
    always_changed: true
  prepare:
    cmd: python step.py prepare data/prepared.txt data/inventory.txt
    deps: [step.py, data/inventory.txt]
    params: [curation.min_chars]
    outs: [data/prepared.txt]
    meta: {retries: 1, retry_delay_s: 0}
  train:
    cmd: python step.py train models/model.txt data/prepared.txt
    deps: [step.py, data/prepared.txt]
    params: [seed]
    outs: [models/model.txt]
    meta: {retries: 0, timeout_s: 300, limit: device}
  check:
    cmd: python step.py check reports/check.txt data/prepared.txt
    deps: [step.py, data/prepared.txt]
    outs: [reports/check.txt]
  report:
    cmd: python step.py report reports/report.txt models/model.txt reports/check.txt
    deps: [step.py, models/model.txt, reports/check.txt]
    outs: [reports/report.txt]
"""

PARAMS = """# The toy's parameters.
seed: 1 # Seed of everything
curation:
  min_chars: 80 # Drop documents shorter than this many characters
"""


def make_project(root: Path) -> Path:
    """A committed toy project in `root`."""
    root.mkdir(parents=True)
    (root / "step.py").write_text(STEP)
    (root / "dvc.yaml").write_text(PIPELINE)
    (root / "params.yaml").write_text(PARAMS)
    ignored = (
        "/data/\n/models/\n/reports/\n/workspaces/\n/.phiforge/\n/prefect.toml\n/mlflow.db*\n/mlartifacts/\n/trace/\n"
    )
    (root / ".gitignore").write_text(ignored)
    (root / ".dvcignore").write_text("/workspaces\n/.phiforge\n/trace\n")
    (root / "profiles").mkdir()
    (root / "profiles" / "tiny.yaml").write_text("curation:\n  min_chars: 5\n")
    (root / ".dvc").mkdir()
    (root / ".dvc" / "config").write_text("[core]\n    analytics = false\n    autostage = false\n")
    (root / ".dvc" / ".gitignore").write_text("/config.local\n/tmp\n/cache\n")
    (root / "trace").mkdir()
    git(root, "init", "--quiet", "--initial-branch=main")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "toy")
    return root


def git(root: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=Toy", "-c", "user.email=toy@example.invalid"]
    return subprocess.run(["git", *identity, *arguments], cwd=root, check=True, capture_output=True, text=True).stdout


def starts(root: Path, stage: str) -> int:
    """How often the command of a stage was started."""
    file = root / "trace" / f"{stage}.starts"
    return len(file.read_text().split()) if file.exists() else 0


def dvc(root: Path, *arguments: str, status: int = 0) -> str:
    """Run the dvc command in a project; it must end with `status`."""
    environment = os.environ | {"TOY_TRACE": str(root / "trace")}
    environment["PATH"] = str(Path(sys.executable).parent) + os.pathsep + environment["PATH"]
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


FABRICATE = '''
"""Writes the outputs that it is told, with the seed of params.yaml in each: what a stage of the shipped files leaves."""
import json, os, sys
from pathlib import Path
from ruamel.yaml import YAML

if "DVC_STAGE" in os.environ and "TOY_TRACE" in os.environ:
    with open(Path(os.environ["TOY_TRACE"]) / f"{os.environ['DVC_STAGE'].rpartition(':')[2]}.starts", "a") as file:
        file.write(f"{os.getpid()}\\n")
seed = YAML(typ="safe").load(Path("params.yaml").read_text())["seed"]
for name in sys.argv[1:]:
    content = {".json": json.dumps({"seed": seed}), ".csv": "tokens,validation_loss,loss\\n1,2,3\\n"}
    file = Path(name) if Path(name).suffix else Path(name) / "transfer.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content.get(file.suffix, f"{name} {seed}\\n"))
'''
SHIPPED = (".dvcignore", ".gitignore", ".dvc/config", ".dvc/.gitignore", "params.yaml", "dvc.yaml")


def make_shipped(repository: Path, root: Path) -> Path:
    """A committed project with the shipped stages, outputs and settings, whose commands only fabricate their outputs.

    The growth study has fewer trainings.
    """
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.width = 4096
    studies = [str(path.relative_to(repository)) for path in sorted(repository.glob("studies/*/dvc.yaml"))]
    for name in (*SHIPPED, *studies):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes((repository / name).read_bytes())
    (root / "fabricate.py").write_text(FABRICATE)
    for name in ("dvc.yaml", *studies):
        definition = yaml.load(root / name)
        for stage in definition["stages"].values():
            listed = [out for kind in ("outs", "metrics", "plots") for out in stage.get(kind, [])]
            outs = [out if isinstance(out, str) else next(iter(out)) for out in listed]
            stage["cmd"] = " ".join(["python fabricate.py", *outs])
            code = [path for path in stage["deps"] if path.startswith("components/")]
            stage["deps"] = ["fabricate.py", *(path for path in stage["deps"] if path not in code)]
        yaml.dump(definition, root / name)
    params = yaml.load(root / "params.yaml")
    params["study"] |= {"arms": ["scratch", "continued"], "seeds": [1], "rates": [1.0], "horizons": [1.0]}
    yaml.dump(params, root / "params.yaml")
    git(root, "init", "--quiet", "--initial-branch=main")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "shipped")
    return root


def fabricate(root: Path, stages: list) -> None:
    """Leave what a run of these stages of a shipped project would, in three processes rather than two a stage."""
    subprocess.run([sys.executable, "fabricate.py", *(out for s in stages for out in s.outs)], cwd=root, check=True)
    (root / "trace").mkdir(exist_ok=True)
    dvc(root, "commit", "--force", *(stage.address for stage in stages))
