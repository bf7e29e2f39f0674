"""The step as a whole: its laws on real output, and what it does with bad input."""

import json
import re
from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path
from random import Random

import pyarrow.parquet as pq
import pytest

from components.documents import count_documents
from components.errors import StepError
from components.params import SynthesisParams
from components.running.cli import _parser as parser
from components.running.cli import execute
from components.synthesis import synthesize as step
from components.synthesis.__main__ import COMMAND
from components.synthesis.drafts import Draft, question_hash
from components.synthesis.exam import majority_accuracy
from components.synthesis.generators import Task, all_tasks
from components.synthesis.questions import Collector, Pool, shares
from components.synthesis.synthesize import check_wordings
from components.synthesis.tiers import load_core, practised_tasks
from components.synthesis.wordings import HeldOut, has_wording, load_held_out
from tests.documents import read_documents

PARAMS = SynthesisParams(tasks="all", chapters=60, exercises=640, exam_examples=10, max_gzip_ratio=8.0)
EXAM = SynthesisParams(exam_examples=10)
QUESTION = re.compile(r"^Question: (.*)\nAnswer: (.*)$", re.M)


def run(seeds: Path, root: Path, params: SynthesisParams = PARAMS, seed: int = 1) -> dict:
    outputs = step.Outputs(root / "textbooks", root / "ledger.parquet", root / "exam", root / "plan.parquet")
    return step.synthesize(seeds, outputs, params, seed)


@pytest.fixture(scope="module")
def made(seeds, tmp_path_factory):
    root = tmp_path_factory.mktemp("made")
    return root, run(seeds, root)


def exam_rows(root: Path, part: str = "exam") -> list[dict]:
    return [json.loads(line) for path in sorted((root / part).glob("*.jsonl")) for line in path.open()]


def test_every_question_drawn_is_accounted_for(made):
    root, summary = made
    questions = summary["questions"]
    kept = sum(questions[side] for side in ("exercises", "chapters", "teacher", "exam", "reworded"))
    assert questions["drawn"] == kept + questions["ledger"]
    assert questions["ledger"] == pq.read_metadata(root / "ledger.parquet").num_rows == sum(summary["ledger"].values())
    assert questions["exercises"] >= 640
    assert questions["missing"] == 0
    assert count_documents(root / "textbooks") == sum(summary["documents"].values())
    assert summary["documents"]["textbook"] == 60


def test_the_plan_names_every_chapter(made):
    root, summary = made
    jobs = pq.read_table(root / "plan.parquet").to_pylist()
    assert len({job["id"] for job in jobs}) == len(jobs) == summary["plan"]["jobs"] == 60
    written = {d.metadata["job"]: d for d in read_documents(root / "textbooks") if d.kind == "textbook"}
    assert set(written) == {job["id"] for job in jobs}
    for job in jobs:
        metadata = written[job["id"]].metadata
        assert (metadata["format"], metadata["category"]) == (job["format"], job["category"])
        assert metadata.get("seed_document", "") == job["seed_document"]


def test_no_question_of_the_exam_is_taught(made):
    root, _ = made
    taught = [h for d in read_documents(root / "textbooks") for h in d.metadata["questions"]]
    asked = [row["id"] for row in exam_rows(root)]
    assert len(set(taught)) == len(taught)
    assert len(set(asked)) == len(asked)
    assert not set(taught) & set(asked)
    text = "\n".join(d.text for d in read_documents(root / "textbooks"))
    assert not [row["question"] for row in exam_rows(root) if f"Question: {row['question']}\n" in text]


def test_no_held_out_wording_is_taught(made):
    root, summary = made
    held_out = load_held_out(all_tasks(), all_tasks())
    rows = exam_rows(root, "exam/reworded")
    text = "\n".join(d.text for d in read_documents(root / "textbooks"))
    for forms in held_out.wordings.values():
        for form in forms:  # the longest piece between slots stands in no document
            piece = max(re.split(r"\{\w\}", form), key=len).strip()
            assert len(piece) < 12 or piece not in text, form
    assert len(rows) == summary["questions"]["reworded"] + summary["questions"]["compositions"] > 200
    assert len({row["task"] for row in rows}) == summary["reworded_tasks"]
    assert not [row["question"] for row in rows if f"Question: {row['question']}\n" in text]
    assert not {row["id"] for row in rows} & {row["id"] for row in exam_rows(root)}
    compositions = [row for row in rows if row["category"] == "composition"]
    assert {len(row["choices"]) for row in compositions} == {4}
    asked = [row["question"] for row in exam_rows(root)]
    for row in compositions:
        first, second = row["question"].removeprefix("First: ").rsplit(" Second: ", 1)
        assert {first, second} <= set(asked)


def test_each_held_out_wording_is_one_of_several_of_its_family(lexicon):
    tasks = all_tasks()
    for name, forms in load_held_out(tasks, tasks).wordings.items():
        drafts = list(islice(tasks[name].generate(Random(3), lexicon), 3_000))
        held = [draft for draft in drafts if has_wording(draft, forms)]
        space = len({draft.question for draft in drafts})
        assert 0 < len({draft.question for draft in held}) < 0.6 * space, name  # most of the space is practised
        answers = Counter(draft.answer for draft in drafts if not has_wording(draft, forms))
        if len(answers) <= 6:  # what is asked in it is asked in others, too
            assert {draft.answer for draft in held} <= set(answers), name


def test_without_reworded_examples_no_wording_is_held_out(seeds, tmp_path):
    summary = run(seeds, tmp_path, PARAMS.model_copy(update={"reworded_examples": 0}))
    assert summary["questions"]["reworded"] == summary["reworded_tasks"] == 0
    assert not (tmp_path / "exam" / "reworded").exists()


def test_a_breach_of_the_held_out_wordings_stops_the_run(lexicon):
    tasks = all_tasks()
    plan = HeldOut({"plural": ("One {n}, two what?",)}, ())
    drafts = list(islice(tasks["plural"].generate(Random(3), lexicon), 60))
    held = [draft for draft in drafts if has_wording(draft, plan.wordings["plural"])]
    others = [draft for draft in drafts if draft not in held]
    check_wordings(Pool(training={"plural": others}, reworded={"plural": held}), plan)
    with pytest.raises(AssertionError, match="taught in a held-out wording, such as 'One "):
        check_wordings(Pool(training={"plural": drafts}, reworded={"plural": held}), plan)
    with pytest.raises(AssertionError, match="in held-out wordings are taught"):
        check_wordings(Pool(training={"plural": others}, reworded={"plural": [*held, others[0]]}), plan)
    with pytest.raises(AssertionError, match="plural has no wording 'One "):
        check_wordings(Pool(training={"plural": others}, reworded={"plural": []}), plan)


def test_a_wordings_file_that_names_an_unknown_task_is_refused(tmp_path):
    file = tmp_path / "wordings.yaml"
    file.write_text("wordings: {alchemy: [gold]}\ncompositions: []\n")
    with pytest.raises(StepError, match="'alchemy' is not a task; correct the id"):
        load_held_out(all_tasks(), [], file)


def test_exercises_have_the_surface_of_the_exam(made):
    root, _ = made
    about = json.loads((root / "exam" / "exam.json").read_text())
    assert about["prompt"] == "Question: {{question}}\nAnswer:"
    for document in read_documents(root / "textbooks"):
        if document.kind == "exercise":
            pairs = QUESTION.findall(document.text)
            assert [question_hash(question) for question, _ in pairs] == document.metadata["questions"]
            assert document.metadata["verification"]["passed"] == len(pairs) <= 12


def test_exam_rows_are_complete(made):
    root, summary = made
    about = json.loads((root / "exam" / "exam.json").read_text())["tasks"]
    rows = exam_rows(root)
    assert len(about) == summary["exam_tasks"] == len(all_tasks())
    for row in rows:
        assert row["category"] == about[row["task"]]["category"]
        assert len(set(row["choices"])) == len(row["choices"]) >= 2
        assert 0 <= row["answer"] < len(row["choices"])
    positions = [row["answer"] / (len(row["choices"]) - 1) for row in rows]
    assert 0.4 < sum(positions) / len(positions) < 0.6  # the right choice stands anywhere


def test_provenance_of_every_document(made):
    root, _ = made
    for document in read_documents(root / "textbooks"):
        assert document.created_by.startswith("procedural/")
        assert document.license in ("CC0-1.0", "PSF-2.0")
        assert {"questions", "seed", "verification"} <= document.metadata.keys()


def test_equal_seeds_give_equal_bytes_and_other_seeds_others(made, seeds, tmp_path):
    root, summary = made
    assert run(seeds, tmp_path / "again") == summary
    files = sorted(p.relative_to(root) for p in root.rglob("*") if p.is_file())
    assert files
    for file in files:
        assert (root / file).read_bytes() == (tmp_path / "again" / file).read_bytes(), file
    run(seeds, tmp_path / "other", seed=2)
    ledger = "ledger.parquet"
    assert (root / ledger).read_bytes() != (tmp_path / "other" / ledger).read_bytes()


def test_a_generator_that_errs_is_caught(seeds, lexicon):
    honest = all_tasks()["addition"]

    def wrong(draw):
        for number, draft in enumerate(honest.generate(draw, draw.lexicon)):
            if number % 3:
                yield draft
            else:
                yield replace(draft, answer=draft.distractors[0], distractors=(draft.answer,))

    collector = Collector({"addition": replace(honest, write=wrong)}, lexicon, 1, EXAM)
    pool = collector.collect(200)
    assert len(pool.training["addition"]) == 200
    refused = [drop for drop in pool.drops if drop.rule == "verification"]
    assert len(refused) > 80
    assert "the recomputation" in refused[0].detail
    assert all(eval_sum(d) == d.answer for d in (*pool.training["addition"], *pool.exam["addition"]))


def eval_sum(draft: Draft) -> str:
    return str(sum(map(int, re.findall(r"\d+", draft.question))))


def test_a_small_space_ends_and_the_others_give_more(lexicon):
    def three(draw):
        for n in range(3):
            yield Draft(f"Say {n}.", str(n), ("x",), "")

    tasks = {
        "three": Task("three", "math", three, lambda q, _: re.search(r"\d", q).group()),
        "addition": all_tasks()["addition"],
    }
    collector = Collector(tasks, lexicon, 1, EXAM)
    pool = collector.collect(100)
    assert "three" in pool.exhausted
    assert sum(map(len, pool.training.values())) == 100
    kept = sum(len(d) for side in (pool.training, pool.exam) for d in side.values())
    assert pool.drawn == kept + len(pool.drops)


def test_an_endless_generator_of_one_question_ends(lexicon):
    def same(draw):
        return Draft("Say 1.", "1", ("2",), "")

    collector = Collector({"same": Task("same", "math", same, lambda q, _: "1")}, lexicon, 1, EXAM)
    pool = collector.collect(50)
    assert sum(map(len, (*pool.training.values(), *pool.exam.values()))) == 1
    assert pool.drawn == 1 + len(pool.drops)


def test_shares_add_up():
    tasks = all_tasks()
    assert sum(shares(1003, tasks).values()) == 1003
    assert sum(shares(3, tasks).values()) == 3


def test_majority_shares_ties():
    rows = [{"choices": ["a", "b"], "answer": 0}, {"choices": ["a", "c"], "answer": 1}]
    assert majority_accuracy(rows, {"a": 5, "b": 1}) == 0.5
    assert majority_accuracy(rows, {}) == 0.5


def test_repetitive_text_is_refused_and_leaves_nothing(seeds, tmp_path):
    with pytest.raises(StepError, match=r"compress .* more than synthesis.max_gzip_ratio 2"):
        run(seeds, tmp_path, PARAMS.model_copy(update={"max_gzip_ratio": 2.0}))
    assert [path.name for path in tmp_path.iterdir()] == ["plan.parquet"]


def test_seeds_without_functions_still_give_textbooks(tmp_path):
    from components.documents import DocumentWriter

    with DocumentWriter(tmp_path / "seeds"):
        pass
    summary = run(tmp_path / "seeds", tmp_path / "out")
    assert summary["documents"]["textbook"] == 60
    assert summary["questions"]["teacher"] == 0


def test_command_line(seeds, tmp_path, capsys):
    arguments = ["--seeds", str(seeds), "--output", str(tmp_path / "t"), "--ledger", str(tmp_path / "l.parquet")]
    small = [f"--set=synthesis.{k}={v}" for k, v in (("chapters", 5), ("exercises", 50), ("exam_examples", 10))]
    given = parser(COMMAND).parse_args([*arguments, *small, "--summary", str(tmp_path / "s.json")])
    assert execute(COMMAND, given) == 0
    assert json.loads((tmp_path / "s.json").read_text())["exam_tasks"] == 0
    (tmp_path / "empty").mkdir()
    given = parser(COMMAND).parse_args(["--seeds", str(tmp_path / "empty"), *arguments[2:]])
    assert execute(COMMAND, given) == 1
    assert "has no part-*.parquet" in capsys.readouterr().err.strip().splitlines()[-1]


def test_the_core_is_practised_and_examined_and_the_rest_stands_in_chapters(seeds, tmp_path):
    params = PARAMS.model_copy(update={"tasks": "core", "chapters": 120})
    summary = run(seeds, tmp_path, params)
    core = set(load_core(all_tasks()))
    practised = {d.source for d in read_documents(tmp_path / "textbooks") if d.kind == "exercise"}
    assert summary["tasks"] == summary["exam_tasks"] == len(core) < len(all_tasks())
    assert set(json.loads((tmp_path / "exam" / "exam.json").read_text())["tasks"]) == core
    assert {Path(source).name for source in practised} <= core | {"mixed"}
    assert summary["questions"]["exercises"] == 640
    worked = {
        h for d in read_documents(tmp_path / "textbooks") if d.kind == "textbook" for h in d.metadata["questions"]
    }
    assert len(worked) == summary["questions"]["chapters"] + summary["questions"]["teacher"]
    asked = {row["id"] for row in exam_rows(tmp_path)}
    assert not asked & {h for d in read_documents(tmp_path / "textbooks") for h in d.metadata["questions"]}
    assert any(d.metadata["questions"] for d in read_documents(tmp_path / "textbooks") if "/areas" in d.source)


def test_the_core_has_every_category_and_equal_shares():
    core = practised_tasks("core", all_tasks())
    assert {task.category for task in core.values()} == {task.category for task in all_tasks().values()}
    assert {task.weight for task in core.values()} == {1.0}
    assert practised_tasks("all", all_tasks()) == all_tasks()


@pytest.mark.parametrize(
    ("tier", "words"),
    [
        ("{math: [alchemy]}", "'alchemy' is not a task of category 'math'"),
        ("{math: [plural]}", "'plural' is not a task of category 'math'"),
        ("{math: [largest, largest]}", "'largest' occurs twice"),
    ],
)
def test_a_broken_tier_is_refused(tmp_path, tier, words):
    (tmp_path / "tiers.yaml").write_text(f"core: {tier}\n")
    with pytest.raises(StepError, match=words):
        load_core(all_tasks(), tmp_path / "tiers.yaml")
