"""The classifier: its figures on held-out documents, determinism, and what comments can do to it."""

import inspect
import json
import os
import pickle
import random
import re
import statistics
import subprocess
import sys
import textwrap
from itertools import pairwise

import numpy as np
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from components.curation.education.classifier import LEAST, Classifier, fit
from components.curation.education.features import GRAMS, SIZE, features
from components.curation.education.heuristic import judge
from components.curation.education.report import HeldOut, Report, Scores, calibration_table, measure, spearman
from components.errors import StepError
from components.params.education import EducationParams

PARAMS = EducationParams(min_value={"code": 2.0, "prose": 2.0})


def snippets() -> list[str]:
    """Functions and classes of the library, and tables of data."""
    import argparse
    import ast
    import collections
    import difflib
    import heapq
    import random as randomness
    import textwrap as wrapping

    found = []
    for module in (argparse, ast, collections, difflib, heapq, randomness, wrapping, statistics, inspect, subprocess):
        tree = ast.parse(inspect.getsource(module))
        lines = inspect.getsource(module).split("\n")
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                found.append(textwrap.dedent("\n".join(lines[node.lineno - 1 : node.end_lineno])) + "\n")
    draw = random.Random(1)
    tables = [
        "T = [\n" + "".join(f"    {draw.random():.4f},\n" for _ in range(draw.randint(5, 60))) + "]\n"
        for _ in range(80)
    ]
    return found + tables


@pytest.fixture(scope="module")
def labelled() -> tuple[list[str], list[str], list[float]]:
    texts = snippets()
    prose = [" ".join(text.split()).replace("(", ". ").replace(":", ", because ") for text in texts[:150]]
    kinds = ["code"] * len(texts) + ["prose"] * len(prose)
    texts = texts + prose
    return texts, kinds, [judge(text).value for text in texts]


@pytest.fixture(scope="module")
def fitted(labelled):
    return fit(*labelled, 1, PARAMS, {"annotator": "heuristic"})


def test_it_learns_what_the_annotator_says_of_code(fitted) -> None:
    code = fitted[1].kinds["code"]
    assert code.spearman > 0.75
    assert code.f1 > 0.8
    assert code.f1 > code.f1_keep_all + 0.2
    assert code.calibration_error < 0.6
    assert sum(row["documents"] for row in code.calibration) == code.documents > 100
    json.dumps(fitted[1].as_dict(), allow_nan=False)


def test_labels_without_meaning_are_not_learnt(labelled) -> None:
    texts, kinds, labels = labelled
    shuffled = random.Random(1).sample(labels, len(labels))
    report = fit(texts, kinds, shuffled, 1, PARAMS)[1]
    assert abs(report.kinds["code"].spearman) < 0.3
    reason = report.unreliable(["code", "exercise"], PARAMS)["code"]
    assert re.search(
        r"Spearman -?0\.\d+ on \d+ held-out documents, expected at least 0\.5 \(curation\.education\.min_s", reason
    )


def test_copies_of_what_is_held_out_are_not_learnt_from(labelled) -> None:
    """Of labels without meaning nothing can be foretold, unless a copy of the text was learnt from."""
    texts = [text for text in labelled[0] if len(text.split()) > 40][:150]
    draw = random.Random(1)
    labels = [draw.uniform(0, 5) for _ in texts]
    rows = [(f"{text}# {n}\n", "code", label) for text, label in zip(texts, labels, strict=True) for n in range(5)]
    report = fit(*zip(*rows, strict=True), 1, PARAMS)[1].kinds["code"]
    assert report.documents > 100
    assert abs(report.spearman) < 0.4  # 0.89 where copies are on both sides
    draw.shuffle(rows)
    assert fit(*zip(*rows, strict=True), 1, PARAMS)[1].kinds["code"] == report


def test_a_crowd_of_near_copies_is_learnt_from() -> None:
    crowd = [f"{' '.join(f'word{n}' for n in range(60))} {number}" for number in range(80)]
    classifier, report = fit(crowd, ["prose"] * 80, [2.0] * 80, 1, PARAMS)
    assert report.kinds == {}
    assert report.unreliable(["prose"], PARAMS) == {"prose": "0 held-out documents, but 30 are needed to measure it"}
    assert classifier.score(crowd[:1], ["prose"]) == pytest.approx(2.0, abs=0.01)


def test_a_value_depends_on_its_text_alone(fitted, labelled) -> None:
    texts, kinds, _ = labelled
    together = fitted[0].score(texts, kinds)
    assert together.dtype == np.float32
    assert together.min() >= 0
    assert together.max() <= 5
    alone = np.concatenate([fitted[0].score([text], [kind]) for text, kind in zip(texts, kinds, strict=True)])
    assert np.array_equal(together, alone)
    order = random.Random(2).sample(range(len(texts)), len(texts))
    assert np.array_equal(together[order], fitted[0].score([texts[i] for i in order], [kinds[i] for i in order]))


def test_equal_input_gives_equal_bytes(fitted, labelled, tmp_path) -> None:
    texts, kinds, labels = labelled
    order = random.Random(3).sample(range(len(texts)), len(texts))
    again = fit(
        [texts[i] for i in order],
        [kinds[i] for i in order],
        [labels[i] for i in order],
        1,
        PARAMS,
        {"annotator": "heuristic"},
    )
    fitted[0].save(tmp_path / "a.npz")
    again[0].save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert again[1] == fitted[1]


@pytest.mark.parametrize("threads", ["3"])
def test_threads_do_not_matter(fitted, labelled, tmp_path, threads: str) -> None:
    (tmp_path / "rows.json").write_text(json.dumps(labelled))
    program = (
        "import json, pathlib, sys\n"
        "from components.curation.education.classifier import fit\n"
        "from components.params.education import EducationParams\n"
        "rows = json.loads(pathlib.Path(sys.argv[1], 'rows.json').read_text())\n"
        "params = EducationParams(min_value={'code': 2.0, 'prose': 2.0})\n"
        "fit(*rows, 1, params, {'annotator': 'heuristic'})[0].save(pathlib.Path(sys.argv[1], 'other.npz'))\n"
    )
    counts = {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, "PYTHONHASHSEED": threads}
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, env=os.environ | counts)
    fitted[0].save(tmp_path / "here.npz")
    assert (tmp_path / "other.npz").read_bytes() == (tmp_path / "here.npz").read_bytes()


def test_a_saved_classifier_scores_as_before(fitted, labelled, tmp_path) -> None:
    texts, kinds, _ = labelled
    fitted[0].save(tmp_path / "c.npz")
    for copy in (Classifier.load(tmp_path / "c.npz"), pickle.loads(pickle.dumps(fitted[0]))):  # noqa: S301 - our own bytes
        assert np.array_equal(copy.score(texts, kinds), fitted[0].score(texts, kinds))
        assert copy.provenance == {"annotator": "heuristic"}


@pytest.mark.parametrize("damage", [b"", b"no archive", None])
def test_a_damaged_file_is_refused(fitted, tmp_path, damage: bytes | None) -> None:
    path = tmp_path / "c.npz"
    fitted[0].save(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content if damage is None else damage)
    with pytest.raises(StepError, match="not a readable classifier"):
        Classifier.load(path)
    with pytest.raises(StepError, match="not a readable classifier"):
        Classifier.load(tmp_path / "none.npz")


def test_chatter_cannot_lift_bad_code(fitted, labelled) -> None:
    """Neither comments nor docstrings, copied from what scores best, add more than the allowance."""
    classifier = fitted[0]
    texts = [text for text, kind in zip(labelled[0], labelled[1], strict=True) if kind == "code"]
    values = classifier.score(texts, ["code"] * len(texts))
    best = texts[int(values.argmax())].replace('"""', "").replace("\\", "")
    comments = "".join(f"# {line}\n" for line in best.split("\n"))
    bad = [text for text, value in zip(texts, values, strict=True) if value < 1.4 and text.startswith("T = ")]
    assert len(bad) > 20
    for chatty in (
        [comments * 20 + text for text in bad],
        [f'"""{best * 5}"""\n{text}' for text in bad],
        [f'{text}\n"""{best}"""\n{comments}' for text in bad],
    ):
        scores = classifier.scores(chatty, ["code"] * len(bad))
        plain = classifier.scores(bad, ["code"] * len(bad)).bare
        assert (scores.values < 2.0).all()
        assert (scores.values <= plain * (1 + classifier.allowance) + 1e-5).all()
    assert (scores.standing > scores.values).any()


def test_few_labels(labelled) -> None:
    texts, kinds, labels = labelled
    with pytest.raises(StepError, match=f"expected at least {LEAST}"):
        fit(texts[:10], kinds[:10], labels[:10], 1, PARAMS)
    some = [*range(300), *range(len(texts) - 40, len(texts))]
    classifier, report = fit([texts[i] for i in some], [kinds[i] for i in some], [labels[i] for i in some], 1, PARAMS)
    assert not report.kinds["prose"].own_model
    assert report.kinds["code"].own_model
    assert len(classifier.score(["A web page of its own."], ["web"])) == 1
    strict = PARAMS.model_copy(update={"min_f1": 1.0, "min_spearman": 1.0})
    found = report.unreliable(["code", "prose"], strict)
    assert re.match(r"F1 .*; Spearman [^;]*$", found["code"])
    assert re.match(r"\d+ held-out documents, but 30 are needed", found["prose"])  # it has no model of its own
    assert report.unreliable(["code", "prose"], strict.model_copy(update={"min_value": {}})) == {}


def test_a_kind_with_too_few_held_out_for_a_gate_has_no_model_of_its_own(labelled) -> None:
    texts, kinds, labels = labelled
    code, prose = kinds.index("code"), kinds.index("prose")
    strict = PARAMS.model_copy(update={"min_spearman": 1.0, "min_f1": 0.0})
    for count in (75, 150):
        some = [*range(code, code + 300), *range(prose, prose + count)]
        part = [texts[i] for i in some], [kinds[i] for i in some], [labels[i] for i in some]
        classifier, report = fit(*part, 1, PARAMS)
        of = report.kinds["prose"]
        assert of.own_model == ("prose" in classifier.models) == (of.documents >= 30) == (count == 150)
        found = report.unreliable(["code", "prose"], strict)
        assert found["code"].startswith("Spearman")
        assert found["prose"].startswith("Spearman" if of.own_model else f"{of.documents} held-out documents")


def test_an_annotator_that_says_one_thing_is_learnt(labelled) -> None:
    texts, kinds, _ = labelled
    classifier, report = fit(texts, kinds, [3.0] * len(texts), 1, PARAMS)
    assert report.kinds["code"].f1 is None
    assert classifier.score(texts[:9], kinds[:9]) == pytest.approx(3.0, abs=0.01)


def test_odd_texts_are_scored(fitted) -> None:
    texts = ["", " ", "\n", "x", "\ud800 broken", "é" * 9, "字" * 3000, "a" * 600_000, "\x00"]
    for kind in ("code", "prose", "web"):
        values = fitted[0].score(texts, [kind] * len(texts))
        assert np.isfinite(values).all()
    assert fitted[0].score([], []).shape == (0,)


def test_features_are_sorted_distinct_and_case_blind() -> None:
    (grams, starts, shape), *more = features(["one two two One", "", "ONE TWO"])
    assert not more
    parts = [grams[start:end].tolist() for start, end in pairwise(starts.tolist())]
    assert [len(part) for part in parts] == [
        5,
        0,
        3,
    ]  # one two, and pairs one-two two-two two-one; none; one two one-two
    assert all(part == sorted(set(part)) and all(0 <= gram < GRAMS for gram in part) for part in parts)
    assert set(parts[2]) < set(parts[0])
    assert ((shape >= GRAMS) & (shape < SIZE)).all()


def test_figures_are_those_of_scikit_learn_and_scipy(fitted, labelled) -> None:
    from scipy.stats import spearmanr

    draw = np.random.default_rng(1)
    labels, values = draw.integers(0, 6, 200).astype(float), draw.random(200) * 5
    assert spearman(labels, values) == pytest.approx(spearmanr(labels, values).statistic)
    texts = ["x" * int(100 * value) for value in draw.random(200)]
    report = measure(HeldOut(texts, ["code"] * 200, labels, Scores(values, values, values)), PARAMS).kinds["code"]
    assert report.auc == pytest.approx(roc_auc_score(labels >= 2, values))
    assert report.auc_length == pytest.approx(roc_auc_score(labels >= 2, [len(text) for text in texts]))
    assert report.f1 == pytest.approx(f1_score(labels >= 2, values >= 2, average="macro"))
    assert report.f1_kept == pytest.approx(f1_score(labels >= 2, values >= 2))
    assert calibration_table(labels, labels)[1] == 0
    assert calibration_table(np.full(9, 1.0), np.full(9, 2.5))[1] == pytest.approx(1.5)


def test_f1_is_not_a_gate_where_it_hangs_on_single_documents() -> None:
    """Of 100 held-out documents one goes: to miss it makes F1 0.5, and says nothing."""

    def unreliable(below: int) -> dict[str, str]:
        labels = np.concatenate([np.full(below, 0.1), np.linspace(3, 5, 100 - below)])
        loose = {"min_spearman": -1.0, "max_calibration_error": 5.0}
        threshold = PARAMS.model_copy(update={"min_value": {"web": 1.0}, **loose})
        report = measure(HeldOut(["x"] * 100, ["web"] * 100, labels, Scores(*[np.linspace(2, 4, 100)] * 3)), threshold)
        return report.unreliable(["web"], threshold)

    assert unreliable(1) == {}
    assert unreliable(10)["web"].startswith("F1 0.4")


def test_values_that_rank_well_and_mean_something_else_miss_the_gate() -> None:
    """All values a point above the labels: rank correlation 1, F1 1, and a threshold would keep what it should not."""
    labels = np.linspace(1.5, 4, 100)
    params = PARAMS.model_copy(update={"min_value": {"web": 1.0}})

    def measured(values: np.ndarray) -> Report:
        return measure(HeldOut(["x"] * 100, ["web"] * 100, labels, Scores(values, values, values)), params)

    assert measured(labels + 0.3).unreliable(["web"], params) == {}
    report = measured(labels + 1)
    expected = "calibration error 1.000 on 100 held-out documents, expected at most 0.5"
    assert report.unreliable(["web"], params)["web"].startswith(expected)
