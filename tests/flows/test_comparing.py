"""`phiforge compare`: the runs that are here, folded over their seeds."""

import json

import pytest

from components.results.comparability import Basis
from flows import comparing
from flows.lineage import client
from flows.settings import state_folder

PARAMS = "seed: 1\ntraining:\n  weight_decay: 0.1\n"
NOISE = {1: 0.0, 2: 0.004, 3: -0.003}


def leave(project, key, overrides, loss, tree=None, **basis):
    """What a finished run leaves in its workspace."""
    from components.running.revision import source_tree

    folder = project / "workspaces" / key
    (folder / "reports").mkdir(parents=True)
    measured = Basis(**{"tokenizer": "t", "documents": "d", "whole": True} | basis).record()
    summary = {"validation_loss": loss, "bits_per_byte": loss / 2, "measured_on": measured}
    (folder / "reports" / "train_small.json").write_text(json.dumps(summary))
    record = {"tree": tree or source_tree(project), "profile": {}, "overrides": overrides}
    (state_folder(project) / "workspaces").mkdir(exist_ok=True)
    (state_folder(project) / "workspaces" / f"{key}.json").write_text(json.dumps(record))


@pytest.fixture
def runs(project, toy):
    (project / "params.yaml").write_text(PARAMS)
    toy.git(project, "commit", "--quiet", "--all", "--message", "parameters")
    for seed in (1, 2, 3):
        noise = 0.3 * seed
        leave(project, f"a{seed}", {"seed": seed, "benchmarking.exam_part": "open"}, 3 + noise)
        changed = {"seed": seed, "benchmarking.exam_part": "open", "training.weight_decay": 0.2}
        leave(project, f"b{seed}", changed, 2.9 + noise + NOISE[seed])
    leave(project, "c", {"benchmarking.exam_part": "open", "tokenization.vocab_size": 900}, 2.0, tokenizer="u")
    leave(project, "d", {"benchmarking.exam_part": "sealed"}, 1.0)
    leave(project, "e", {"benchmarking.exam_part": "open"}, 0.5, tree="0" * 40)
    return project


def test_runs_that_differ_in_the_seed_alone_are_an_arm(runs, capsys):
    assert comparing.main(["--metric", "small.validation_loss", "--json", "--mlflow"]) == 0
    found = json.loads(capsys.readouterr().out)
    part = 'benchmarking.exam_part="open"'
    rows = {row["name"]: row for row in found["arms"]}
    assert found["reference"] == part
    assert rows.keys() == {part, f"{part}, training.weight_decay=0.2", f"{part}, tokenization.vocab_size=900"}
    better = rows[f"{part}, training.weight_decay=0.2"]
    assert better["seeds"] == [1, 2, 3]
    assert better["against"]["verdict"] == "better"
    assert better["against"]["high"] < -0.05  # paired: the seeds themselves differ by 0.6
    assert "another tokenizer" in rows[f"{part}, tokenization.vocab_size=900"]["reason"]
    assert found["ranked"] == [f"{part}, training.weight_decay=0.2", part]
    (run,) = client(runs).search_runs(["1"], "tags.`pipeline.source` = 'comparison'")
    number = list(rows).index(better["name"])
    assert run.data.metrics[f"arm {number}/minus reference/mean"] == pytest.approx(better["against"]["mean"])


def test_the_table_is_printed_and_an_unknown_reference_refused(runs, capsys):
    assert comparing.main(["--metric", "small.validation_loss"]) == 0
    assert "not comparable" in capsys.readouterr().out
    assert comparing.main(["--metric", "small.validation_loss", "--reference", "x"]) == 1
    assert "--reference 'x': there is no such arm; expected one of: benchmarking.exam_part" in capsys.readouterr().err
    assert comparing.main(["--metric", "large.validation_loss"]) == 1
    assert "no run of today's source here has large.validation_loss" in capsys.readouterr().err
