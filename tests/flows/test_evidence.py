"""Records of a version: kept whole or not at all, named by what was asked; a step that cannot make them says why."""

import json
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components.errors import StepError
from flows.evidence import Evidence, exam_key
from flows.settings import turns_folder
from flows.turns import turn

REPOSITORY = Path(__file__).parents[2]


def evidence(home: Path, client: Any = None) -> Evidence:
    said: list[str] = []
    run = SimpleNamespace(
        home=home,
        place=SimpleNamespace(root=REPOSITORY),
        lineage=SimpleNamespace(name="run"),
        log=said.append,
        runner=SimpleNamespace(stopped=threading.Event()),
        said=said,
    )
    return Evidence(run, None, client, home)


def put_scores(folder: Path, **changes: Any) -> Path:
    how = {"benchmark": "sums", "metric": "acc", "shots": 0, "form": "", "truncated_prompts": 0}
    scores = {"suite": "exam", "scorer_version": 2, "limit": 0, "data": {"sums": "a"}, "protocols": {"sums": how}}
    folder.mkdir(exist_ok=True)
    (folder / "scores.json").write_text(json.dumps(scores | changes))
    return folder


def test_an_exam_is_named_by_what_it_asked_and_not_by_the_answers(tmp_path: Path) -> None:
    first = exam_key(put_scores(tmp_path / "scores"))
    how = {"benchmark": "sums", "metric": "acc", "shots": 0, "form": "", "truncated_prompts": 9}
    assert exam_key(put_scores(tmp_path / "scores", protocols={"sums": how}, tasks={"sums": 1})) == first
    for change in (
        {"data": {"sums": "b"}},
        {"limit": 5},
        {"scorer_version": 3},
        {"protocols": {"sums": how | {"shots": 1}}},
    ):
        assert exam_key(put_scores(tmp_path / "scores", **change)) != first


def test_records_that_were_cut_short_are_made_again(tmp_path: Path) -> None:
    class Client:
        """MLflow's artifacts as a list of names, which ends when it is told."""

        def __init__(self) -> None:
            self.stored: list[str] = []
            self.killed = True

        def log_artifacts(self, run_id: str, folder: str, place: str) -> None:
            self.stored += [f"{place}/{path.name}" for path in Path(folder).iterdir()]
            if self.killed:
                raise KeyboardInterrupt

        def log_artifact(self, run_id: str, file: str, place: str) -> None:
            self.stored.append(f"{place}/{Path(file).name}")

        def list_artifacts(self, run_id: str, place: str) -> list[Any]:
            return [SimpleNamespace(path=path) for path in self.stored if path.startswith(f"{place}/")]

    client, version = Client(), SimpleNamespace(run_id="r", version="1")
    of_run, scores = evidence(tmp_path, client), put_scores(tmp_path / "scores")
    with pytest.raises(KeyboardInterrupt):
        of_run._keep(version, "exam", scores)
    assert not of_run._kept(version, "exam")
    client.killed = False
    of_run._keep(version, "exam", scores)
    assert of_run._kept(version, "exam")


def test_a_step_waits_for_its_turn_and_a_failed_one_says_why(tmp_path: Path) -> None:
    of_run = evidence(tmp_path)
    failed: list[str] = []

    def score() -> None:
        try:
            of_run._score("components.benchmarking.held_out", checkpoint="gone", tokens="gone", output=tmp_path / "o")
        except StepError as error:
            failed.append(str(error))

    with turn(turns_folder(tmp_path, "device"), "other", "train_large", print, threading.Event()):
        scoring = threading.Thread(target=score)
        scoring.start()
        while not of_run.run.said:
            scoring.join(0.05)
        assert "stage train_large of run other" in of_run.run.said[0]
    scoring.join(60)
    assert "promotion: components.benchmarking.held_out failed" in failed[0]
    assert "gone does not exist" in failed[0]
