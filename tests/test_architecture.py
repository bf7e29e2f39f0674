"""The house's rules: who imports whom, what dvc.yaml says of a step, how fast a step starts."""

import ast
import importlib
import os
import pkgutil
import resource
import shlex
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from components.curation import work
from components.params import Params

ROOT = Path(__file__).parent.parent
SHARED = {
    "sandbox",
    "endpoint",
    "benchmarks",
    "running",
    "foreign",
    "text",
    "results",
    "tracing",
}  # a package that is not a step: it imports none, and any step may import it
BUILT_ON = {
    "tuning": {"training"}
}  # a step that is another's work with other data: its loop, its resuming, its records
STEPS = sorted({path.parent.name for path in (ROOT / "components").glob("*/__main__.py")} - SHARED)
STAGES = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]
STUDY = {
    f"{path.parent.name}/{name}": stage
    for path in sorted((ROOT / "studies").glob("*/dvc.yaml"))
    for name, stage in YAML(typ="safe").load(path.read_text())["stages"].items()
}
# What they do is talk with a model, so they alone of flows import components.phi.
TALKS = (ROOT / "flows" / "chat.py", ROOT / "flows" / "playground.py")
ORCHESTRATORS = {"prefect", "dvc", "streamlit", "flows", "ui"}


def imports_of(path: Path) -> set[str]:
    """Dotted names that a file imports, also inside its functions."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def python_files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("path", python_files("components"), ids=lambda p: str(p.relative_to(ROOT)))
def test_components_know_no_orchestrator_and_no_other_step(path: Path) -> None:
    names = imports_of(path)
    assert not {name for name in names if name.partition(".")[0] in ORCHESTRATORS}
    parts = path.relative_to(ROOT / "components").parts
    own = {parts[0], "phi"} | BUILT_ON.get(parts[0], set()) if len(parts) > 1 else set()
    if parts[0] == "phi" or parts[0] in SHARED:
        own = {parts[0]}
    others = {
        name.split(".")[1] for name in names if name.startswith("components.") and name.split(".")[1] in {*STEPS, "phi"}
    }
    assert others <= own, f"{path.name} reaches into {others - own}"


@pytest.mark.parametrize("path", python_files("flows") + python_files("ui"), ids=lambda p: str(p.relative_to(ROOT)))
def test_flows_and_ui_import_no_step(path: Path) -> None:
    names = imports_of(path)
    reached = {name.split(".")[1] for name in names if name.startswith("components.")} & {*STEPS, "phi"}
    assert reached == ({"phi"} if path in TALKS else set())
    if path.is_relative_to(ROOT / "flows"):
        assert not {name for name in names if name.partition(".")[0] in {"ui", "streamlit"}}
    else:
        flows = {name for name in names if name.startswith("flows.") and not name.startswith("flows.client")}
        assert not flows, "the panel reads through flows.client"


def commands_of(stage: dict) -> list[str]:
    command = stage["cmd"]
    return shlex.split(command)


def models_of(stage: dict) -> list[str]:
    return stage.get("matrix", {}).get("model", [""])


@pytest.mark.parametrize("name", [*STAGES, *STUDY])
def test_a_stage_declares_what_its_step_reads(name: str) -> None:
    """The sections that a step reads are params of its stage, and every path on its command line is declared."""
    stage = (STAGES | STUDY)[name]
    words = commands_of(stage)
    module = importlib.import_module(
        words[2] if "." in words[2].removeprefix("components.") else words[2] + ".__main__"
    )
    declared = {param.partition(".")[0] for param in stage.get("params", [])}
    declared |= {word.partition("=")[0] for word in words if word.startswith("seed=")}  # set on the command line
    sections = set(module.COMMAND.sections)
    assert callable(module.COMMAND.run) or callable(pkgutil.resolve_name(module.COMMAND.run))
    if "--model" in words and words[2] == "components.training":
        sections = (sections - {"small", "large"}) | {words[words.index("--model") + 1]}
    if "--target" in words:
        sections = (sections - {"small", "large"}) | {words[words.index("--target") + 1]}
    assert declared == sections - {"engine"}
    paths = {word for word in words if word.split("/")[0] in {"data", "models", "reports"}}
    metrics = {
        next(iter(m)) if isinstance(m, dict) else m for key in ("outs", "metrics", "plots") for m in stage.get(key, [])
    }
    known = set(stage["deps"]) | metrics
    assert {path for path in paths if not any(path == k or path.startswith(k + "/") for k in known)} == set()
    folder = "components/" + words[2].split(".")[1]
    code = [dep for dep in stage["deps"] if dep == folder or dep.startswith(folder + "/")]
    assert code, "a change of the step's code must run it again"


def texts_of(folder: str) -> set[str]:
    """The modules of components/text that a step's files import, and those that these import."""
    found: set[str] = set()
    left = python_files(folder)
    while left:
        for name in imports_of(left.pop()):
            path = "/".join(name.split(".")[:3]) + ".py"
            if name.startswith("components.text.") and path not in found and (ROOT / path).is_file():
                found.add(path)
                left.append(ROOT / path)
    return found


@pytest.mark.parametrize("name", [*STAGES, *STUDY])
def test_a_stage_depends_on_the_text_modules_of_its_steps(name: str) -> None:
    """Of the gates only that for textbooks looks for markup."""
    deps = {dep for dep in (STAGES | STUDY)[name]["deps"] if dep.startswith("components/")}
    steps = deps & {f"components/{step}" for step in STEPS if step not in ("study", "validation")}
    if name == "validate_textbooks":
        steps = {"components/validation"}
    assert set().union(*map(texts_of, steps)) <= deps


def test_kept_work_of_curation_depends_on_its_code_and_libraries() -> None:
    """But for threadpoolctl, which limits threads."""
    files = [*python_files("components/curation"), *(ROOT / path for path in texts_of("components/curation"))]
    covered = {path for pattern in work.CODE for path in (ROOT / "components").glob(pattern)}
    assert set(files) | {ROOT / "components" / "benchmarks" / "items.py"} <= covered
    distributions = packages_distributions()
    imported = {name.partition(".")[0] for path in files for name in imports_of(path)}
    used = {library for name in imported for library in distributions.get(name, [])}
    assert used - {"threadpoolctl"} <= set(work.LIBRARIES)


def test_every_stage_has_its_policy() -> None:
    for name, stage in (STAGES | STUDY).items():
        assert {"retries", "timeout_s"} <= stage["meta"].keys(), name


def test_every_section_is_read_by_a_stage() -> None:
    """But for how shards are run, which changes no result, and what is decided or removed after the stages."""
    stages = (STAGES | STUDY).values()
    read = {param.partition(".")[0] for stage in stages for param in stage.get("params", [])}
    assert read == set(Params.model_fields) - {"engine", "promotion", "housekeeping"}


@pytest.mark.parametrize("step", STEPS)
def test_a_step_starts_light(step: str) -> None:
    """Help, and with it every import before the work, costs under 1.5 s of CPU."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-m", f"components.{step}", "--help"]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)  # compiles the bytecode
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.5
    for option in ("--params", "--set", "--summary"):
        assert option in done.stdout


@pytest.mark.parametrize("folder", ["components", "flows", "ui"])
def test_templates_are_rendered_in_a_sandbox(folder: str) -> None:
    """components/foreign/templates.py alone makes a Jinja environment, and it makes a sandboxed one."""
    makers = {"jinja2.Environment", "jinja2.Template", "jinja2.sandbox", "jinja2.environment", "jinja2.nativetypes"}
    found = {path.relative_to(ROOT).as_posix() for path in python_files(folder) if imports_of(path) & makers}
    assert found <= {"components/foreign/templates.py"}


def test_a_library_that_can_run_a_files_code_is_told_not_to() -> None:
    """transformers runs code that a checkpoint brings unless it is told not to; a later default could be another."""
    wrong = []
    for path in [path for folder in ("components", "flows", "ui", "bench") for path in python_files(folder)]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if node.func.attr in {"from_pretrained", "from_config", "pipeline"}:
                given = {word.arg: ast.unparse(word.value) for word in node.keywords}
                if given.get("trust_remote_code") != "False":
                    wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}")
            if node.func.attr in {"load", "read_pickle"} and ast.unparse(node.func.value) in {
                "torch",
                "pickle",
                "joblib",
            }:
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}")
            if node.func.attr == "load" and ast.unparse(node.func.value) == "np":
                given = {word.arg: ast.unparse(word.value) for word in node.keywords}
                if given.get("allow_pickle") != "False":
                    wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert wrong == []
