"""Completions become programs as lm-eval makes them, run in the sandbox, and every reference solution passes."""

import json
from types import SimpleNamespace

import pytest

from components.benchmarking import benchmark as step
from components.benchmarking.benchmark import Job, benchmark
from components.benchmarking.data import Place
from components.benchmarking.programs import METRICS, Judge, extract, jobs, reference, with_samples
from components.benchmarking.suites import plan
from components.benchmarking.tasks import build_tasks
from components.errors import StepError
from components.params import BenchmarkingParams
from components.sandbox import Sandbox

HUMANEVAL = {
    "task_id": "HumanEval/0",
    "prompt": 'def double(x):\n    """Twice x."""\n',
    "entry_point": "double",
    "canonical_solution": "    return 2 * x\n",
    "test": "def check(candidate):\n    assert candidate(4) == 8\n    assert candidate('a') == 'aa'\n",
}
MBPP = {
    "task_id": 11,
    "text": "Write a function that sums a list.",
    "code": "def sum(xs):\r\n    total = START\r\n    for x in xs:\r\n        total += x\r\n    return total",
    "test_setup_code": "START = 0",
    "test_list": ["assert sum([1, 2]) == 3", "assert sum([]) == 0", "assert sum([5]) == 5"],
    "challenge_test_list": [],
}
PARAMS = BenchmarkingParams(threads=1, gold_bits=False)  # the models here write, and can rate nothing


@pytest.fixture(scope="module")
def sandbox():
    try:
        with Sandbox() as made:
            yield made
    except StepError as error:
        pytest.skip(f"no isolation on this machine: {error}")


def write(folder, name, rows):
    path = folder / name / "test.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def test_reference_solutions_pass_and_others_do_not(sandbox):
    judge = Judge(sandbox)
    assert judge(HUMANEVAL, [reference(HUMANEVAL)]) == dict.fromkeys(METRICS, 1.0)
    assert judge(HUMANEVAL, ["    return x"]) == dict.fromkeys(METRICS, 0.0)
    assert judge(HUMANEVAL, [""]) == dict.fromkeys(METRICS, 0.0)
    assert [verdict.passed for verdict in judge.verdicts] == [True, False, False]


def test_names_of_builtins_are_the_program_s_and_the_setup_runs(sandbox):
    plain = {**MBPP, "code": MBPP["code"].replace("START", "0"), "test_setup_code": ""}
    assert Judge(sandbox)(plain, [reference(plain)])["pass@1"] == 1.0
    wrong = plain["code"].replace("total += x", "pass")
    assert Judge(sandbox)(plain, [wrong])["pass@1"] == 0.0


@pytest.mark.parametrize(
    ("completion", "passes"),
    [
        ("    return 2 * x\n\nThis doubles it.", (0.0, 1.0)),
        ("Sure! Here it is:\n```python\ndef double(x):\n    return x + x\n```\nIt adds.", (0.0, 1.0)),
        ("    return 2 * x\n", (1.0, 1.0)),
        ("    import sys\n    sys.exit(0)\n", (0.0, 0.0)),
    ],
)
def test_what_is_extracted_stands_beside_what_the_harness_takes(sandbox, completion, passes):
    assert tuple(Judge(sandbox)(HUMANEVAL, [completion]).values()) == passes


def test_extraction_keeps_the_prompt_and_takes_the_block_that_defines_the_name():
    prompt = HUMANEVAL["prompt"]
    assert extract("    return 2 * x\n", prompt, "double") == prompt + "    return 2 * x\n"
    two = "```\nprint(1)\n```\nthen\n```py\ndef double(x):\n    return 2 * x\n```"
    assert extract(two, prompt, "double") == "def double(x):\n    return 2 * x"
    assert extract("((((", "", "") == "(((("


STOPS = ["\nclass", "\ndef", "\n#", "\nif", "\nprint"]
HELPED = {
    "task_id": "HumanEval/38",
    "prompt": "from math import floor\n\n\ndef half(x):\n    return x / 2\n\n\ndef rounded(x):\n"
    '    """Half of x, rounded down."""\n',
    "entry_point": "rounded",
    "canonical_solution": "    return floor(half(x))\n",
    "test": "def check(candidate):\n    assert candidate(5) == 2\n",
}
WHOLE = "def rounded(x):\n    return floor(half(x))"


@pytest.mark.parametrize(
    "completion",
    [
        f"Sure:\n\n```python\n{WHOLE}\n```\nIt rounds down.",
        f"\n# Solution\n```python\n# floor it\n{WHOLE}\n\nprint(rounded(3))\n```",
        f"```python \n{WHOLE}\n```",
        f"```python\n{WHOLE}\n```".replace("\n", "\r\n"),
        f"~~~\n{WHOLE}\n~~~",
        f"````py\n{WHOLE}\n````",
        f"```python3.11\n{WHOLE}\n```",
        f"```{{python}}\n{WHOLE}\n```",
        f"```python title='a.py'\n{WHOLE}\n```",
        f"```python\n{WHOLE}",
        "1. So:\n   ```python\n   def rounded(x):\n       return floor(half(x))\n   ```\n2. Done.",
        f"A draft:\n```\ndef rounded(x):\n    return x\n```\nBetter:\n```\n{WHOLE}\n```",
        f"```\n{WHOLE}\n```\nUse it:\n```\nprint(rounded(3))\n```",
        "First:\n```\ndef low(x):\n    return floor(x)\n```\nthen\n```\ndef rounded(x):\n    return low(half(x))\n```",
        'See:\n```\ndef rounded(x):\n    """As\n        ```\n        1\n        ```\n    """\n    return floor(half(x))\n```',
        "The body:\n```python\n    return floor(half(x))\n```",
        "The body:\n```python\nreturn floor(half(x))\n```",
        "```python\nfrom __future__ import annotations\nimport math\ndef rounded(x: T):\n    return math.floor(x / 2)\n```",
        f"\nThis is it:\n\n{WHOLE}\n\nIt rounds down.",
        "    return floor(half(x))\n\n\nif __name__ == '__main__':\n    rounded(3) / 0",
        "    return floor(half(x))\n\nSuch as:\n```\nrounded(3)\n```\n",
    ],
)
def test_the_program_is_found_however_the_model_presents_it(sandbox, completion):
    assert Judge(sandbox)(HELPED, [completion], STOPS)["pass@1_extracted"] == 1.0


def test_the_model_writes_to_its_end_and_pass_at_1_is_cut_afterwards(sandbox, tmp_path):
    """By the task's own configuration: stop strings that a program may contain do not end its generation."""
    write(tmp_path, "humaneval", [HUMANEVAL])
    (task,) = build_tasks(plan("phi2", Place(tmp_path)).tasks, Judge(sandbox)).values()
    body = "    return 2 * x\n"
    assert task.process_results(HUMANEVAL, [f"{body}\nprint(1 / 0)"]) == dict.fromkeys(METRICS, 1.0)
    fenced = f"\n```python\ndef double(x):\n{body}```"
    assert tuple(task.process_results(HUMANEVAL, [fenced]).values()) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("code", "tests", "names"),
    [
        ("def helper(x):\n    return x\ndef right(x):\n    return helper(x)", ["assert right(1) == 1"], ("right",)),
        ("def sum(x):\n    return 1", ["assert sum([1]) == 1"], ("sum",)),
        ("def pairs(x):\n    return x", ["assert set(pairs((1, 2))) == set((1, 2))"], ("pairs",)),
        ("twice = lambda x: 2 * x", ["assert list(map(twice, [1])) == [2]"], ("twice",)),
        ("class Node:\n    pass\ndef depth(n):\n    return 1", ["assert depth(Node()) == 1"], ("depth", "Node")),
    ],
)
def test_the_name_is_the_one_that_the_tests_use(code, tests, names):
    row = {"code": code, "test_list": tests}
    assert jobs(row, "")[0].names == names
    helper_first = f"```\ndef helper(x):\n    return x\n```\n```\n{code}\n```"
    assert jobs(row, helper_first)[1].program.endswith(code)


def test_a_row_of_neither_benchmark_is_named():
    with pytest.raises(StepError, match=r"neither HumanEval's nor MBPP's: KeyError 'test_list'"):
        jobs({"code": "x = 1"}, "")


def test_prompts_are_lm_evals(tmp_path):
    """MBPP's three worked examples are read out of lm-eval's module, which is not imported."""
    import sys

    before = set(sys.modules)  # of other tests in this process
    write(tmp_path, "mbpp", [MBPP])
    write(tmp_path, "humaneval", [HUMANEVAL])
    tasks = build_tasks([task for task in plan("phi2", Place(tmp_path)).tasks], Judge(None))
    for task in tasks.values():
        task.build_all_requests(limit=1, rank=0, world_size=1)
    prompt, choices = tasks["mbpp"].instances[0].args
    assert prompt.count("You are an expert Python programmer") == 4
    assert prompt.startswith(
        "You are an expert Python programmer, and here is your task: Write a function to find the similar elements"
    )
    assert "[BEGIN]\ndef similar_elements(test_tup1, test_tup2):" in prompt
    assert prompt.endswith("assert sum([5]) == 5\n[BEGIN]\n")
    assert choices["until"] == ["[DONE]"]
    prompt, choices = tasks["humaneval"].instances[0].args
    assert prompt == HUMANEVAL["prompt"]
    assert choices["until"] == [], "what may stand in a fenced program is cut afterwards"
    loaded = set(sys.modules) - before
    assert not [name for name in loaded if name.startswith("lm_eval.tasks.") and "eval.utils" in name]
    assert "evaluate" not in loaded


def test_verdicts_stand_in_the_records(sandbox, checkpoint, tmp_path, monkeypatch):
    import pyarrow.parquet as pq

    from components.benchmarking import checkpoint as opener
    from components.benchmarking.scorer import ChoiceScorer

    class Knows(ChoiceScorer):
        def generate_until(self, requests, disable_tqdm=False):
            return [reference(request.doc) if "double" in request.args[0] else "" for request in requests]

    monkeypatch.setattr(opener, "open_scorer", lambda *_: Knows(None, None, None, 0, 8, 8))
    write(tmp_path / "data", "humaneval", [HUMANEVAL, {**HUMANEVAL, "task_id": "1", "prompt": "def other(x):\n"}])
    summary = benchmark(Job(checkpoint, "phi2", tmp_path / "data"), tmp_path / "s", PARAMS)["phi2"]
    assert summary["tasks"] == {"humaneval": 0.5}
    first, second = pq.read_table(tmp_path / "s" / "examples.parquet").to_pylist()
    assert (first["id"], first["pass@1"], first["verdict"], first["error"]) == ("HumanEval/0", 1.0, "passed", "")
    assert second["verdict"] == "failed"
    assert second["error"]
    scores = json.loads((tmp_path / "s" / "scores.json").read_text())
    assert set(scores["tasks"]["humaneval"]) == set(METRICS)
    assert scores["protocols"]["humaneval"]["shots"] == 0


def test_without_isolation_nothing_runs_and_the_rest_goes_on(checkpoint, tmp_path, monkeypatch):
    def refuses(**given):
        assert given == {"allow_unisolated_execution": False}
        raise StepError("generated code cannot be isolated here and is not run: seccomp is missing")

    monkeypatch.setattr("components.sandbox.sandbox.Sandbox", refuses)
    write(tmp_path / "data", "humaneval", [HUMANEVAL])
    rows = [
        {
            "id": "1",
            "question_stem": "Ice is",
            "choices": {"text": ["hot", "cold"], "label": ["A", "B"]},
            "answerKey": "B",
        }
    ]
    write(tmp_path / "data", "openbookqa", rows)
    benchmark(Job(checkpoint, "phi2", tmp_path / "data"), tmp_path / "s", PARAMS)
    scores = json.loads((tmp_path / "s" / "scores.json").read_text())
    assert set(scores["tasks"]) == {"openbookqa"}
    assert "cannot be isolated here" in scores["failed"]["humaneval"]
    assert "benchmarking.allow_unisolated_execution=true" in scores["failed"]["humaneval"]


def test_the_flag_that_allows_it_reaches_the_sandbox(monkeypatch):
    monkeypatch.setattr("components.sandbox.sandbox.Sandbox", lambda **given: SimpleNamespace(**given))
    box, _ = step._sandbox(BenchmarkingParams(allow_unisolated_execution=True))
    assert box.allow_unisolated_execution


def whole_function(row):
    """A reference solution with its head, as a chat model presents it; the prompt's helpers are not repeated."""
    if "entry_point" not in row:
        return row["code"]
    head = row["prompt"][row["prompt"].rindex(f"def {row['entry_point']}") :]
    return f"{head}{row['canonical_solution']}"


@pytest.mark.slow
@pytest.mark.parametrize(("name", "count"), [("humaneval", 164), ("mbpp", 500)])
def test_every_reference_solution_passes_on_the_benchmarks_own_path(sandbox, shared_data, name, count):
    """Both as the completion that lm-eval expects and as a fenced block within prose."""
    task = next(task for task in plan("phi2", Place(shared_data / "benchmarks")).tasks if task.name == name)
    judge = Judge(sandbox)
    scores = [judge(row, [reference(row)], STOPS) for row in task.rows]
    assert len(scores) == count
    assert [row["task_id"] for row, score in zip(task.rows, scores, strict=True) if set(score.values()) != {1.0}] == []
    fenced = [judge(row, [f"Sure:\n```python\n{whole_function(row)}\n```\nDone."], STOPS) for row in task.rows]
    missed = [row["task_id"] for row, score in zip(task.rows, fenced, strict=True) if score["pass@1_extracted"] != 1.0]
    assert missed == []


def test_with_several_draws_a_problem_has_unbiased_pass_at_k(sandbox):
    right, wrong = reference(HUMANEVAL), "    return x"
    found = Judge(sandbox)(HUMANEVAL, [[right, wrong, wrong, right, *[wrong] * 16]])
    assert set(found) == {"pass@1", "pass@1_extracted", "pass@10"}
    assert found["pass@1"] == pytest.approx(2 / 20)
    assert found["pass@10"] == pytest.approx(1 - (10 * 9) / (20 * 19), abs=1e-12)


def test_draws_are_asked_for_told_and_scored(sandbox, checkpoint, tmp_path, monkeypatch):
    """One problem is solved in 3 of 12 draws, the other never: each problem weighs equally, and the form says so."""
    from components.benchmarking import checkpoint as opener
    from components.benchmarking.scorer import ChoiceScorer

    class Sometimes(ChoiceScorer):
        def generate_until(self, requests, disable_tqdm=False):
            assert all(request.args[1]["temperature"] == 0.8 and request.args[1]["do_sample"] for request in requests)
            assert len(requests) == 24
            texts, seen = [], 0
            for request in requests:
                solved = "double" in request.args[0] and seen % 4 == 0
                seen += "double" in request.args[0]
                texts.append(reference(request.doc) if solved else "    pass")
            return texts

    monkeypatch.setattr(opener, "open_scorer", lambda *_: Sometimes(None, None, None, 0, 8, 8))
    write(tmp_path / "data", "humaneval", [HUMANEVAL, {**HUMANEVAL, "task_id": "1", "prompt": "def other(x):\n"}])
    params = PARAMS.model_copy(update={"samples": 12, "temperature": 0.8})
    benchmark(Job(checkpoint, "phi2", tmp_path / "data"), tmp_path / "s", params)
    scores = json.loads((tmp_path / "s" / "scores.json").read_text())
    found = scores["tasks"]["humaneval"]
    assert found["pass@1"]["value"] == pytest.approx(3 / 12 / 2)
    assert found["pass@10"]["value"] == pytest.approx((1 - 0 / 66) / 2), "10 of 12 draws cannot all miss 3"
    assert (found["pass@10"]["n"], found["pass@1"]["stderr"]) == (2, pytest.approx(0.125))
    assert scores["protocols"]["humaneval"]["form"] == "12 draws at temperature 0.8"


def test_one_program_a_problem_changes_nothing(tmp_path):
    write(tmp_path, "humaneval", [HUMANEVAL])
    (task,) = plan("phi2", Place(tmp_path)).tasks
    assert with_samples(task, 1, 0.2) is task
    many = with_samples(task, 5, 0.2)
    assert many.config["repeats"] == 5
    assert many.config["generation_kwargs"]["until"] == task.config["generation_kwargs"]["until"]
