"""Every reference solution of HumanEval and MBPP passes: the sandbox takes nothing away that an honest program needs."""

import ast
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.errors import StepError
from components.sandbox import Job, Sandbox

DATA = Path(__file__).parents[4] / "shared" / "data" / "benchmarks"


def rows(name: str) -> list[dict[str, Any]]:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"the benchmark's data is not at {path}")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def defined(code: str) -> tuple[str, ...]:
    return tuple(n.name for n in ast.parse(code).body if isinstance(n, ast.FunctionDef | ast.ClassDef))


def humaneval() -> list[Job]:
    return [
        Job(r["prompt"] + r["canonical_solution"], f"{r['test']}\ncheck({r['entry_point']})", names=(r["entry_point"],))
        for r in rows("humaneval/test.jsonl.gz")
    ]


def mbpp() -> list[Job]:
    return [
        Job(
            r["code"],
            "\n".join([r["test_setup_code"], *r["test_list"], *r["challenge_test_list"]]),
            names=defined(r["code"]),
        )
        for r in rows("mbpp/all.jsonl.gz")
    ]


def sanitized() -> list[Job]:
    return [
        Job(r["code"], "\n".join([*r["test_imports"], *r["test_list"]]), names=defined(r["code"]))
        for r in rows("mbpp/sanitized.jsonl.gz")
    ]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    try:
        with Sandbox() as made:
            yield made
    except StepError as error:
        pytest.skip(f"no isolation on this machine: {error}")


@pytest.mark.parametrize(
    ("jobs", "count"),
    [(humaneval, 164), pytest.param(mbpp, 974, marks=pytest.mark.slow), pytest.param(sanitized, 427, marks=pytest.mark.slow)],
    ids=["humaneval", "mbpp", "mbpp-sanitized"],
)  # fmt: skip
def test_all_pass(sandbox: Sandbox, jobs: Any, count: int) -> None:
    asked = jobs()
    failed = {i: v for i, v in enumerate(sandbox.run_many(asked, workers=2)) if not v.passed}
    assert len(asked) == count
    assert failed == {}


def test_no_other_solution_passes_in_its_place(sandbox: Sandbox) -> None:
    """The neighbour's solution under the asked name: a test that passes whatever it is given would show here."""
    tasks = rows("humaneval/test.jsonl.gz")
    jobs = [
        Job(
            f"{b['prompt']}{b['canonical_solution']}\n{a['entry_point']} = {b['entry_point']}",
            f"{a['test']}\ncheck({a['entry_point']})",
            names=(a["entry_point"],),
        )
        for a, b in zip(tasks, tasks[1:] + tasks[:1], strict=True)
    ]
    assert sum(v.passed for v in sandbox.run_many(jobs, workers=2)) == 0
