"""Suites as data: every task's definition is there, wrong fields are named, what is missing is named and the rest is asked."""

import json
import re
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
import yaml

from components.benchmarking.benchmark import Job, benchmark
from components.benchmarking.data import Place, boolq, hash_rows, hellaswag, sample, take_evenly
from components.benchmarking.suites import known, plan
from components.benchmarking.tasks import build_tasks, definition_sha256
from components.errors import StepError
from components.params import BenchmarkingParams

PARAMS = BenchmarkingParams(threads=1)
GOALS = [
    {"goal": f"How to {w}?", "sol1": f"{w} up", "sol2": f"{w} down", "label": i % 2} for i, w in enumerate("abcdef")
]


@pytest.fixture
def folder(tmp_path):
    """A data folder with two small data sets of the Phi-2 suite."""
    write(tmp_path / "data" / "piqa" / "validation.jsonl", GOALS)
    rows = [
        {
            "id": str(i),
            "question_stem": f"The {w} is",
            "choices": {"text": ["hot", "cold"], "label": ["A", "B"]},
            "answerKey": "B",
        }
        for i, w in enumerate(["sun", "ice", "fire"])
    ]
    write(tmp_path / "data" / "openbookqa" / "test.jsonl.gz", rows)
    return tmp_path / "data"


def write(path, rows):
    import gzip

    path.parent.mkdir(parents=True, exist_ok=True)
    with (gzip.open if path.suffix == ".gz" else open)(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def suite(path, **tasks):
    path.write_text(yaml.safe_dump({"title": "own", "tasks": tasks}), encoding="utf-8")
    return str(path)


def own(**changes):
    config = {"output_type": "multiple_choice", "doc_to_text": "{{goal}}", "doc_to_choice": "{{[sol1, sol2]}}"}
    config |= {
        "doc_to_target": "label",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    }
    entry = {"category": "own", "files": {"validation": "piqa/validation.jsonl"}, "headline": "acc", "config": config}
    return entry | changes


def test_the_suites_that_come_with_the_project():
    assert known() == ["easy", "exam", "olmes", "phi2", "safety"]


def test_a_file_may_be_compressed_or_not_and_missing_data_is_named(folder):
    found = plan("phi2", Place(folder))
    assert {task.name for task in found.tasks} == {"openbookqa", "piqa"}
    assert len(found.failed) == 13
    assert "put boolq/validation.jsonl.gz into the data folder" in found.failed["boolq"]
    assert "benchmarking.hub=true to load aps/super_glue" in found.failed["boolq"]
    assert "github.com/microsoft/SafeNLP" in found.failed["toxigen"]


def test_the_rest_runs_and_what_is_missing_stands_in_the_scores(folder, checkpoint, tmp_path, capsys):
    summary = benchmark(Job(checkpoint, "phi2", folder), tmp_path / "s", PARAMS)["phi2"]
    scores = json.loads((tmp_path / "s" / "scores.json").read_text())
    assert set(scores["tasks"]) == {"openbookqa", "piqa"}
    assert scores["protocols"]["piqa"] == {
        "benchmark": "piqa", "metric": "acc", "shots": 0, "form": "", "truncated_prompts": 0, "empty_completions": 0
    }  # fmt: skip
    assert set(scores["failed"]) == {*plan("phi2", Place(folder)).failed}
    assert summary["failed"] == 13
    assert set(summary["categories"]) == {"commonsense", "language"}
    said = capsys.readouterr().err
    assert "warning: benchmarking: boolq: the data is missing" in said
    assert str(tmp_path) not in (tmp_path / "s" / "scores.json").read_text()


def test_nothing_at_all_is_refused(tmp_path):
    with pytest.raises(StepError, match=r"no task can be run: bbh: the data is missing: put bbh/test.jsonl.gz"):
        plan("phi2", Place(tmp_path))


def test_a_suite_of_ones_own(folder, tmp_path, checkpoint):
    path = suite(tmp_path / "mine.yaml", mine=own())
    summary = benchmark(Job(checkpoint, path, folder, 4), tmp_path / "s", PARAMS)
    assert summary["mine"]["examples"] == 4


def test_questions_of_a_passage_and_parts_of_a_benchmark_are_clusters(folder, tmp_path, checkpoint):
    rows = [
        {"passage": f"{'The sky is blue. ' * 6}{i // 3}", "question": f"is {i} blue", "answer": i % 2 == 0}
        for i in range(9)
    ]
    (folder / "boolq").mkdir()
    (folder / "boolq" / "validation.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    benchmark(Job(checkpoint, "phi2", folder), tmp_path / "s", PARAMS)
    scores = json.loads((tmp_path / "s" / "scores.json").read_text())
    assert scores["tasks"]["boolq"]["acc"]["clusters"] == 3
    assert "clusters" not in scores["tasks"]["piqa"]["acc"]
    examples = pq.read_table(tmp_path / "s" / "examples.parquet").to_pylist()
    labels = [row["cluster"] for row in examples if row["task"] == "boolq"]
    assert [labels.count(label) for label in labels] == [3] * 9
    assert all(len(label) == 16 for label in labels)  # long passages are hashed
    assert {row["cluster"] for row in examples if row["task"] == "piqa"} == {None}
    for average in ("tasks", "examples"):
        path = suite(tmp_path / f"{average}.yaml", mine=own(parts=["one", "two"], average=average))
        benchmark(Job(checkpoint, path, folder), tmp_path / average, PARAMS)
        found = json.loads((tmp_path / average / "scores.json").read_text())["benchmarks"]["mine"]["acc"]
        assert found["clusters"] == 2
        assert found["clustered_stderr"] == 0  # both parts have the same questions


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"headlin": "acc"}, "mine.yaml: task 'wrong': the field 'headlin' is unknown; did you mean 'headline'"),
        ({"shots": -1}, "`shots` is '-1': input should be greater than or equal to 0"),
        ({"kind": "codes"}, "`kind` is 'codes'"),
        ({"definition": "piqa/piqua.yaml"}, "has no task definition 'piqa/piqua.yaml'"),
        (
            {"config": {"doc_to_txt": "{{goal}}"}},
            "has the field 'doc_to_txt', which a suite cannot set; did you mean 'doc_to_text'",
        ),
        (
            {"where": {"goals": "x"}},
            "piqa/validation.jsonl: the field 'goals' is missing; its rows have goal, label, sol1, sol2",
        ),
        (
            {"cluster": "passage"},
            "a row has no field 'passage', which `cluster` of the suite names; the rows have goal",
        ),
        ({"where": {"goal": "x"}}, "piqa/validation.jsonl has no rows with {'goal': 'x'}"),
    ],
)
def test_a_wrong_field_is_named_and_the_other_tasks_go_on(folder, tmp_path, checkpoint, changes, message):
    path = suite(tmp_path / "mine.yaml", wrong=own(**changes), right=own())
    benchmark(Job(checkpoint, path, folder), tmp_path / "s", PARAMS)
    scores = json.loads((tmp_path / "s" / "scores.json").read_text())
    assert set(scores["tasks"]) == {"right"}
    assert message in scores["failed"]["wrong"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{broken", "piqa/validation.jsonl, line 7: cannot be read as JSON lines"),
        ("[1]", "piqa/validation.jsonl, line 7: a list; expected a JSON object"),
        (json.dumps({"goal": "g", "sol1": "a", "sol2": "b", "label": 9}), "the answer 9 is not one of the 2 choices"),
        (
            json.dumps({"goal": "g", "sol1": "a", "sol2": "b", "label": "x"}),
            "the answer 'x' is not one of the 2 choices",
        ),
    ],
)
def test_a_malformed_row_is_named_and_the_other_tasks_go_on(folder, checkpoint, tmp_path, line, message):
    with open(folder / "piqa" / "validation.jsonl", "a", encoding="utf-8") as file:
        file.write(line + "\n")
    benchmark(Job(checkpoint, "phi2", folder), tmp_path / "s", PARAMS)
    scores = json.loads((tmp_path / "s" / "scores.json").read_text())
    assert set(scores["tasks"]) == {"openbookqa"}
    assert message in scores["failed"]["piqa"]


def test_a_field_that_the_first_row_lacks_is_kept(folder, tmp_path):
    """Rows as lm-eval's own loader of the file gives them."""
    from lm_eval.api.task import ConfigurableTask

    rows = [GOALS[0], GOALS[1] | {"hint": "Look up.", "more": {"a": 1}}, GOALS[2] | {"more": {"b": 2}}]
    write(folder / "piqa" / "validation.jsonl", rows)
    entry = own(where={})
    entry["config"]["doc_to_text"] = "{{hint|default('')}} {{goal}} {{more}}"
    (task,) = plan(suite(tmp_path / "mine.yaml", mine=entry), Place(folder)).tasks
    files = {"test": str(folder / "piqa" / "validation.jsonl")}
    theirs = {"task": "theirs", "dataset_path": "json", "dataset_kwargs": {"data_files": files}, "test_split": "test"}
    built = {"ours": build_tasks([task])["mine"], "lm-eval": ConfigurableTask(config=entry["config"] | theirs)}
    asked = {name: [one.doc_to_text(doc) for doc in one.eval_docs] for name, one in built.items()}
    assert asked["ours"] == asked["lm-eval"]
    assert asked["ours"][1].startswith("Look up.")
    assert len(Place(folder).file("piqa/validation.jsonl", {"hint": "Look up."})) == 1


def test_setup_code_that_the_first_problem_lacks_runs(tmp_path):
    """MBPP: without its setup code a right answer fails."""
    from components.benchmarking.programs import jobs

    problem = {"text": "t", "code": "def f():\n    return START", "test_list": ["assert f() == 1"] * 3}
    write(tmp_path / "mbpp" / "test.jsonl", [problem, problem | {"test_setup_code": "START = 1"}])
    built = build_tasks([task for task in plan("phi2", Place(tmp_path)).tasks])["mbpp"]
    assert [jobs(doc, "")[0].tests.startswith("START") for doc in built.eval_docs] == [False, True]


def test_a_field_that_a_prompt_needs_is_named(folder, checkpoint, tmp_path):
    write(folder / "piqa" / "validation.jsonl", [{k: v for k, v in row.items() if k != "goal"} for row in GOALS])
    benchmark(Job(checkpoint, "phi2", folder), tmp_path / "s", PARAMS)
    reason = json.loads((tmp_path / "s" / "scores.json").read_text())["failed"]["piqa"]
    assert "its prompt needs a field that a row lacks ('goal' is undefined); the rows have label, sol1, sol2" in reason


def test_a_definition_is_part_of_what_answers_are_kept_by(folder, tmp_path):
    first, second = (
        plan(suite(tmp_path / f"{i}.yaml", mine=own(form=form)), Place(folder)).tasks[0]
        for i, form in enumerate(["", "x"])
    )
    assert definition_sha256(first) == definition_sha256(second)
    other = own()
    other["config"]["doc_to_text"] = "Goal: {{goal}}"
    assert definition_sha256(plan(suite(tmp_path / "3.yaml", mine=other), Place(folder)).tasks[0]) != definition_sha256(
        first
    )


def test_small_parts():
    rows = [{"i": i, "label": "ab"[i % 3 == 0]} for i in range(12)]
    assert sample(rows, 12, 3, 1) == rows
    assert len(sample(rows, 11, 3, 1)) == 3
    assert len(sample(rows, 0, 10**12, 1)) == 12
    assert sample(rows, 11, 3, 1) == sample(rows, 11, 3, 1)
    assert [row["i"] for row in take_evenly(rows, "label", 2)] == [0, 1, 6, 7]
    assert take_evenly(rows, "label", 0) == rows
    assert boolq({"answer": True})["label"] == 1
    raw = {"ind": 1, "activity_label": "Health", "ctx_a": "[header] Rest. [title] Lie down.", "ctx_b": "", "label": "2"}
    assert hellaswag(raw | {"endings": ["[step] a", "b"]}) == {
        "ind": 1, "query": "Health: Rest. Lie down.", "choices": [" a", "b"], "gold": 2
    }  # fmt: skip
    assert hash_rows({"a": [{"x": 1, "y": 2}]}) == hash_rows({"a": [{"y": 2, "x": 1}]})
    assert hash_rows({"a": [{"x": 1}]}) != hash_rows({"a": [{"x": 2}]})


def test_every_task_of_both_suites_is_asked_of_the_real_data(shared_data):
    """Prompts as the harness builds them, with the real rows."""
    place = Place(shared_data / "benchmarks")
    phi2 = plan("phi2", place)
    assert phi2.failed == {}
    assert len(phi2.tasks) == 27 + 57 + 13
    olmes = plan("olmes", place)
    assert set(olmes.failed) == {"csqa"}
    chosen = {
        "arc_easy_cloze",
        "arc_easy_letters",
        "winogrande_cloze",
        "winogrande_letters",
        "hellaswag_letters",
        "mmlu_anatomy_letters",
    }
    built = build_tasks([task for task in olmes.tasks if task.name in chosen])
    asked = {name: prompts(task) for name, task in built.items()}
    assert asked["arc_easy_cloze"][0].startswith("Question: Lichens are symbiotic organisms made of green algae")
    assert "?\nAnswer: food\n\nQuestion: " in asked["arc_easy_cloze"][0]
    assert "?\n A. carbon dioxide\n B. food\n C. protection\n D. water\nAnswer: B\n\n" in asked["arc_easy_letters"][0]
    assert [text[-1] for text in asked["arc_easy_letters"][1]] == list("ABCD")
    assert asked["winogrande_letters"][0].startswith("Fill in the blank: John moved the couch from the garage")
    assert "The ___ is small.\n A. garage\n B. backyard\nAnswer: A\n\n" in asked["winogrande_letters"][0]
    assert asked["winogrande_cloze"][0].startswith(
        "John moved the couch from the garage to the backyard to create space. The garage is small.\n\n"
    )
    assert "\nChoose the best continuation:\n A. " in asked["hellaswag_letters"][0]
    assert asked["mmlu_anatomy_letters"][0].startswith(
        "The following are multiple choice questions (with answers) about anatomy.\n\nQuestion: "
    )
    assert asked["mmlu_anatomy_letters"][0].count("Question: ") == 6


def prompts(task):
    """The prompt of the first example, and its choices as they are rated."""
    task.build_all_requests(limit=1, rank=0, world_size=1)
    return task.instances[0].args[0], [instance.args[1] for instance in task.instances]


def test_the_hub_is_asked_only_where_a_person_allows_it_and_only_for_what_the_folder_lacks(folder, monkeypatch):
    import datasets

    asked = []

    class Builder:
        def __init__(self, path, name=None):
            self.asked = (path, name)
            self.config = SimpleNamespace(data_files={"validation": [f"hf://datasets/{path}@0123/rows.parquet"]})

        def download_and_prepare(self):
            pass

        def as_dataset(self, split):
            asked.append((*self.asked, split))
            if self.asked[0] == "aps/super_glue":
                row = {"passage": "Ice is cold.", "question": "is ice cold", "label": 1}
                return datasets.Dataset.from_list([row] * 2)
            raise datasets.exceptions.DatasetNotFoundError(f"Dataset '{self.asked[0]}' doesn't exist on the Hub")

    monkeypatch.setattr(datasets, "load_dataset_builder", Builder)
    assert "boolq" not in {task.name for task in plan("phi2", Place(folder)).tasks}
    assert asked == []
    found = plan("phi2", Place(folder, hub=True))
    assert {task.name for task in found.tasks} == {"boolq", "openbookqa", "piqa"}
    assert ("aps/super_glue", "boolq", "validation") in asked
    assert ("allenai/ai2_arc", "ARC-Challenge", "test") in asked
    assert ("cais/mmlu", "abstract_algebra", "test") in asked
    assert not [path for path, *_ in asked if path in ("baber/piqa", "allenai/openbookqa", "")]
    assert "the data set openai/gsm8k cannot be loaded from the hub (DatasetNotFoundError" in found.failed["gsm8k"]
    prompt, choices = prompts(build_tasks([task for task in found.tasks if task.name == "boolq"])["boolq"])
    assert (prompt, choices) == ("Ice is cold.\nQuestion: is ice cold?\nAnswer:", [" no", " yes"])


def test_without_a_hub_the_libraries_are_told_to_stay_offline(monkeypatch):
    import os

    from components.benchmarking.data import offline

    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_EVALUATE_OFFLINE"):
        monkeypatch.setenv(name, "x")
        monkeypatch.delenv(name)
    offline(Place(hub=True))
    assert "HF_HUB_OFFLINE" not in os.environ
    assert os.environ["HF_EVALUATE_OFFLINE"] == "1"  # a metric of the hub is a program
    offline(Place())
    assert os.environ["HF_HUB_OFFLINE"] == os.environ["HF_DATASETS_OFFLINE"] == "1"


EVIL = "def f(*args):\n    open({mark!r}, 'w').write('ran')\n    return args\nf()\n"


@pytest.fixture
def evil(tmp_path):
    """A folder as somebody may hand it over: a module that leaves a mark where it is run, and a definition that names it."""
    place = tmp_path / "evil"
    place.mkdir()
    mark = tmp_path / "mark"
    for name in ("evil", "accuracy_of_evil"):
        (place / f"{name}.py").write_text(EVIL.format(mark=str(mark)))
    (place / "evil.yaml").write_text("dataset_path: x\ndoc_to_text: !function evil.f\n")
    yield place
    assert not mark.exists(), "the suite ran a program of its own"


@pytest.mark.parametrize(
    "definition",
    [
        "{evil}/evil.yaml",
        "../../../../../../../../../../../../../../..{evil}/evil.yaml",
        "..\\..\\evil.yaml",
        "C:\\evil.yaml",
        "~/evil.yaml",
    ],
)
@pytest.mark.parametrize("kind", ["lm_eval", "code", "olmes"])
def test_a_definition_is_one_that_lm_eval_ships(folder, evil, tmp_path, definition, kind):
    name = definition.replace("{evil}", str(evil))
    path = suite(tmp_path / "mine.yaml", mine=own(definition=name, kind=kind))
    with pytest.raises(StepError, match=r"the suite's definition: the file name .* leads out of its folder"):
        plan(path, Place(folder))


@pytest.mark.parametrize("definition", ["ifeval/utils.py", "ifeval/README.md"])
def test_a_program_or_a_page_is_not_a_definition(folder, tmp_path, definition):
    path = suite(tmp_path / "mine.yaml", mine=own(definition=definition))
    with pytest.raises(StepError, match=f"has no task definition '{definition}'"):
        plan(path, Place(folder))


@pytest.mark.parametrize("definition", ["humaneval/humaneval.yaml", "cruxeval/cruxeval_input.yaml"])
def test_a_definition_that_runs_answers_as_programs_is_left_to_the_sandbox(folder, tmp_path, definition):
    path = suite(tmp_path / "mine.yaml", mine=own(definition=definition))
    with pytest.raises(StepError, match="runs the model's answers as programs with your rights"):
        plan(path, Place(folder))


@pytest.mark.parametrize(
    "tag", ["!function evil.f", "!!python/object/apply:os.system [touch mark]", "!include evil.yaml"]
)
def test_a_suite_has_plain_values_only(folder, evil, tag):
    (evil / "mine.yaml").write_text(yaml.safe_dump({"tasks": {"mine": own()}}) + f"    process_docs: {tag}\n")
    with pytest.raises(StepError, match=r"mine\.yaml cannot be read as YAML .*could not determine a constructor"):
        plan(str(evil / "mine.yaml"), Place(folder))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"process_docs": "evil.f"}, "config.process_docs is 'evil.f'; expected null"),
        ({"process_results": "evil.f"}, "config.process_results is 'evil.f'; expected null"),
        ({"custom_dataset": "evil.f"}, "the field 'custom_dataset', which a suite cannot set"),
        ({"dataset_path": "{evil}"}, "the field 'dataset_path', which a suite cannot set"),
        ({"dataset_kwargs": {"trust_remote_code": True}}, "the field 'dataset_kwargs', which a suite cannot set"),
        ({"use_prompt": "{evil}/evil.yaml:x"}, "the field 'use_prompt', which a suite cannot set"),
        ({"unsafe_code": True}, "the field 'unsafe_code', which a suite cannot set"),
        ({"class": "evil.Task"}, "the field 'class', which a suite cannot set"),
        ({"include": "{evil}/evil.yaml"}, "the field 'include', which a suite cannot set"),
        ({"fewshot_config": {"samples": "{evil}/evil.f"}}, "expected a list of examples"),
        ({"fewshot_config": {"process_docs": "evil.f"}}, "fewshot_config has the field 'process_docs'"),
        ({"fewshot_config": "evil.f"}, "fewshot_config is a str; expected an object"),
        ({"metric_list": [{"metric": "{evil}/accuracy_of_evil.py"}]}, "is not one of lm-eval's own"),
        ({"metric_list": [{"metric": "acc", "hf_evaluate": True}]}, "is not one of lm-eval's own"),
        ({"metric_list": [{"metric": ["acc"]}]}, "is not one of lm-eval's own"),
        ({"metric_list": ["acc"]}, "metric_list holds a str"),
        ({"repeats": 100_000_000}, "config.repeats is 100000000; expected a whole number from 1 to 1,000"),
        ({"repeats": -1}, "config.repeats is -1"),
        ({"filter_list": [{"name": "x", "filter": [{"function": "evil.f"}]}]}, "cannot be asked|needs a field"),
        (
            {"filter_list": [{"name": "x", "filter": [{"function": "custom", "filter_fn": "evil.f"}]}]},
            "cannot be run|TypeError",
        ),
    ],
)
@pytest.mark.parametrize("kind", ["lm_eval", "squad"])
def test_a_suite_cannot_name_something_to_load(folder, evil, tmp_path, checkpoint, monkeypatch, changes, message, kind):
    monkeypatch.chdir(evil)
    monkeypatch.syspath_prepend(evil)
    filled = json.loads(json.dumps(changes).replace("{evil}", str(evil)))
    entry = own() | ({"kind": kind} if "metric_list" not in changes and "filter_list" not in changes else {})
    entry["config"] = entry["config"] | filled
    path = suite(tmp_path / "mine.yaml", mine=entry, right=own())
    benchmark(Job(checkpoint, path, folder), tmp_path / "s", PARAMS)
    scores = json.loads((tmp_path / "s" / "scores.json").read_text())
    assert set(scores["tasks"]) == {"right"}
    assert re.search(message, scores["failed"]["mine"])


def test_worked_examples_of_programs_come_from_no_file_elsewhere(folder, evil, tmp_path):
    (evil / "shots.py").write_text("def f():\n    return [{'goal': 'secret'}]\n")
    entry = own(kind="code", definition="mbpp/mbpp.yaml", shots=1)
    entry["config"]["fewshot_config"] = {"samples": f"{evil}/shots.f"}
    with pytest.raises(StepError, match="expected a list of examples"):
        plan(suite(tmp_path / "mine.yaml", mine=entry), Place(folder))


@pytest.mark.parametrize(
    "name",
    ["{secret}", "../secret.jsonl", "..\\secret.jsonl", "piqa/../../secret.jsonl", "link.jsonl", "away/secret.jsonl"],
)
@pytest.mark.parametrize("field", ["files", "shots_from", "parts"])
def test_a_suites_data_lies_in_the_data_folder(folder, tmp_path, name, field):
    secret = tmp_path / "secret.jsonl"
    write(secret, GOALS)
    (folder / "link.jsonl").symlink_to(secret)
    (folder / "away").symlink_to(tmp_path)
    name = name.replace("{secret}", str(secret))
    entry = own(files={"validation": name})
    if field == "shots_from":
        entry = own(shots=1, shots_from={"file": name})
    if field == "parts":
        entry = own(files={"validation": "{part}"}, parts=[name])
    path = suite(tmp_path / "mine.yaml", mine=entry)
    with pytest.raises(StepError, match="leads out of its folder"):
        plan(path, Place(folder))
    if field == "files":
        from components.benchmarks.items import read_items

        with pytest.raises(StepError, match="leads out of its folder"):
            read_items(folder, [path])


@pytest.mark.parametrize("path", ["/etc", "../x", "./x", "~/x", "a/b/c", "..", "a/..", "json\n", "https://host/x", ""])
def test_a_data_set_of_the_hub_is_named_and_not_a_path(folder, tmp_path, path):
    own_suite = suite(tmp_path / "mine.yaml", mine=own(files={"validation": "no.jsonl"}, hub={"path": path}))
    with pytest.raises(StepError, match=r"`hub.path` is|no task can be run"):
        plan(own_suite, Place(folder, hub=True))


def test_a_folder_with_the_name_of_a_data_set_is_not_read_in_its_place(folder, tmp_path, monkeypatch):
    write(tmp_path / "owner" / "name" / "train.jsonl", GOALS)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StepError, match=r"names the file .*owner/name/train\.jsonl', which is not on the hub"):
        Place(folder, hub=True).from_hub("owner/name", None, "train")


@pytest.mark.parametrize("field", ["doc_to_text", "doc_to_target", "doc_to_choice", "gen_prefix"])
@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ goal.__class__.__mro__ }}", "access to attribute '__class__'|'__class__' of 'str' object is unsafe"),
        ("{{ cycler.__init__.__globals__.os.popen('touch mark') }}", "is unsafe|undefined"),
        ("{{ 'a' * 10**11 }}", r"the template .* cannot be rendered: it takes more than 5 s of CPU"),
    ],
)
def test_a_prompt_is_rendered_in_a_sandbox_and_within_bounds(folder, tmp_path, checkpoint, field, template, message):
    entry = own()
    entry["config"][field] = template
    path = suite(tmp_path / "mine.yaml", mine=entry, right=own())
    benchmark(Job(checkpoint, path, folder, 2), tmp_path / "s", PARAMS)
    scores = json.loads((tmp_path / "s" / "scores.json").read_text())
    assert set(scores["tasks"]) == {"right"}
    assert re.search(message, scores["failed"]["mine"])


def test_a_template_of_a_worked_example_is_rendered_in_the_sandbox_too(folder, tmp_path, checkpoint):
    entry = own(shots=1)
    examples = {"sampler": "first_n", "samples": GOALS[:1], "doc_to_text": "{{ goal.__class__.__mro__ }}"}
    entry["config"]["fewshot_config"] = examples
    with pytest.raises(StepError, match=r"unsafe|__class__"):
        benchmark(Job(checkpoint, suite(tmp_path / "mine.yaml", mine=entry), folder, 2), tmp_path / "s", PARAMS)
