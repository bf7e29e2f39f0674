"""The registry in a real MLflow with SQLite: one version per checkpoint, decisions on both versions, the alias last."""

import json
import os
import shutil
import sqlite3
import sys
import threading
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components import tracking
from components.errors import StepError
from components.tracking import WEIGHTS, MlflowTracker, weights_sha256
from flows import champion, events, promotion, run
from flows.client.registry import Registry, State
from flows.definitions import PIPELINE
from flows.lineage import Lineage
from flows.promotion import BY_RULE, PROMOTE, Book, deciding, new_decision, promote_by_hand, roll_back, standing
from flows.screen import Screen, closing_screen, registry_sentence

NAME = "house"
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow database; making one takes seconds."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_registered_models()
    return path


@pytest.fixture
def home(tmp_path: Path, database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "my 100% home"  # MLflow's addresses of files quote the blank
    place.mkdir()
    shutil.copy(database, place)
    monkeypatch.chdir(place)
    monkeypatch.setenv("PHIFORGE_HOME", str(place))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place}/mlflow.db")
    (place / "params.yaml").write_text(f"reporting: {{registered_model: {NAME}}}\n")
    return place


@pytest.fixture
def book(home: Path) -> Book:
    """The registry with three versions, of which none is the champion."""
    with deciding(home, NAME, print) as book:
        book.client.create_registered_model(NAME)
        for number in "123":
            logged = book.client.create_logged_model(book.experiment)
            book.client.create_model_version(NAME, logged.model_uri, tags={WEIGHTS: number * 64})
    return book


def by_rule(version: str, against: str, promoted: bool = True, reason: str = "better") -> dict[str, Any]:
    return new_decision(version, against, BY_RULE, PROMOTE, promoted=promoted, reason=reason, loss={"value": -0.1})


def aliases(book: Book) -> dict[str, str]:
    found = book.client.search_registered_models(f"name = '{NAME}'")[0].aliases
    return {alias: str(version) for alias, version in found.items()}


def tags(book: Book, version: str) -> list[dict[str, Any]]:
    found = book.version(version).tags
    return [json.loads(value) for key, value in found.items() if key.startswith("decision.")]


def test_a_decision_stands_on_both_versions(book: Book) -> None:
    first, second = by_rule("1", ""), by_rule("2", "1")
    book.apply(first)
    assert (aliases(book), tags(book, "1")) == ({"champion": "1"}, [first])
    book.alias("candidate", "2")
    book.apply(second)
    assert aliases(book) == {"champion": "2"}
    assert tags(book, "1") == [first, second]
    assert tags(book, "2") == [second]
    assert Registry(book.uri).state(NAME).decisions == [first, second]


def test_a_refusal_moves_no_alias_and_is_not_repeated(book: Book) -> None:
    book.apply(by_rule("1", ""))
    refusal = by_rule("2", "1", promoted=False, reason="the loss is not below the champion's")
    for _ in range(3):
        book.apply(refusal | {"at": promotion.new_decision("", "", "", "")["at"]})
    assert aliases(book) == {"champion": "1"}
    assert len(book.decisions) == 2
    book.apply(refusal | {"reason": "another", "at": promotion.new_decision("", "", "", "")["at"]})
    assert [d["reason"] for d in book.decisions] == ["better", refusal["reason"], "another"]


@pytest.mark.parametrize("writes", range(4))
def test_a_kill_between_two_writes_leaves_the_old_champion_or_the_new(
    book: Book, writes: int, monkeypatch: Any
) -> None:
    """Whatever was written, deciding again ends as if nothing had happened."""
    book.apply(by_rule("1", ""))
    left = [writes]

    def dying(write: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            return write(*arguments, **named)

        return call

    with monkeypatch.context() as patch:
        for name in ("set_model_version_tag", "set_registered_model_alias", "delete_registered_model_alias"):
            patch.setattr(book.client, name, dying(getattr(book.client, name)))
        with pytest.raises(KeyboardInterrupt) if writes < 3 else nullcontext():
            book.apply(by_rule("2", "1"))
    assert book.champion == ("1" if writes < 3 else "2")
    if writes < 3:
        book.apply(by_rule("2", "1"))
    assert book.champion == "2"
    assert promotion.predecessor(book.decisions, "2") == "1"


def test_by_hand_there_and_back(book: Book, home: Path) -> None:
    book.apply(by_rule("1", ""))
    assert "version 2 became the champion after version 1  by hand: nicer answers" in promote_by_hand(
        home, NAME, "2", "nicer\n answers", print
    )
    promote_by_hand(home, NAME, "3", "nicer still", print)
    assert "version 2 became the champion again after version 3  by hand: worse" in roll_back(
        home, NAME, "worse", print
    )
    roll_back(home, NAME, "worse as well", print)
    assert book.champion == "1"
    with pytest.raises(StepError, match="version 1 had no champion before it"):
        roll_back(home, NAME, "further", print)
    assert [d["action"] for d in book.decisions] == ["promote", "promote", "promote", "rollback", "rollback"]


@pytest.mark.parametrize(
    ("version", "reason", "words"),
    [
        ("9", "why", "9 is not a version of house; expected one of: 1, 2, 3"),
        ("1", "why", "version 1 is already the champion"),
        ("2", " \n", "the reason is empty"),
    ],
)
def test_what_makes_no_sense_by_hand_is_refused(book: Book, home: Path, version: str, reason: str, words: str) -> None:
    book.apply(by_rule("1", ""))
    with pytest.raises(StepError, match=words):
        promote_by_hand(home, NAME, version, reason, print)
    assert book.champion == "1"
    assert len(book.decisions) == 1


def test_what_a_person_replaced_only_a_person_promotes_again(book: Book, home: Path) -> None:
    """Else the next night would undo a rollback."""
    book.apply(by_rule("1", ""))
    book.apply(by_rule("2", "1"))
    assert promotion.replaced_by_hand(book.decisions, "2") is None
    assert promotion.replaced_by_hand(book.decisions, "1") is None, "the rule replaced it"
    roll_back(home, NAME, "answers in rhymes", print)
    assert promotion.replaced_by_hand(book.decisions, "2")["reason"] == "answers in rhymes"
    promote_by_hand(home, NAME, "2", "rhymes are wanted", print)
    assert promotion.replaced_by_hand(book.decisions, "2") is None


def test_decisions_wait_for_each_other(book: Book, home: Path) -> None:
    said, order = [], []

    def by_hand() -> None:
        promote_by_hand(home, NAME, "2", "first come", said.append)
        order.append("hand")

    with deciding(home, NAME, print) as held:
        waiting = threading.Thread(target=by_hand)
        waiting.start()
        while not said:
            waiting.join(0.05)
        held.apply(by_rule("1", ""))
        order.append("rule")
    waiting.join(30)
    assert order == ["rule", "hand"]
    assert said == ["another run decides on the champion; waiting for it"]
    assert book.decisions[-1]["champion"] == "1", "it saw the decision that it waited for"


def test_the_command_shows_the_history_and_changes_the_champion(book: Book, capsys: Any) -> None:
    book.apply(by_rule("1", ""))
    assert champion.main(["promote", "2", "--reason", "nicer"]) == 0
    assert champion.main(["rollback", "--reason", "no, it is not"]) == 0
    assert champion.main(["promote", "9", "--reason", "?"]) == 1
    capsys.readouterr()
    assert champion.main([]) == 0
    lines = [line.split("UTC  ", 1)[-1] for line in capsys.readouterr().out.splitlines()]
    assert lines[:3] == [
        "version 1 became the champion  by rule: better",
        "version 2 became the champion after version 1  by hand: nicer",
        "version 1 became the champion again after version 2  by hand: no, it is not",
    ]
    assert lines[3].startswith("champion: version 1 of house (hand, ")
    with pytest.raises(SystemExit):
        champion.main(["rollback"])


@pytest.mark.parametrize(
    "value",
    ["", "no JSON", "[" * 100_000, "[]", "1", "{}", json.dumps(by_rule("1", "") | {"at": "today"}),
     json.dumps(by_rule("1", "") | {"promoted": "yes"}), json.dumps(by_rule("1", "") | {"reason": ["better"]})],
    ids=["empty", "not JSON", "deep", "a list", "a number", "no fields", "no time", "no truth value", "no text"],
)  # fmt: skip
def test_a_tag_that_is_not_a_decision_is_named(value: str) -> None:
    """Whoever may write to MLflow may set any tag; each run that promotes reads all of them."""
    state = State("1", {"1": {"decision.1": value}})
    with pytest.raises(StepError, match=r"MLflow, version 1, tag decision\.1: .* was given; expected a decision"):
        standing(NAME, state)


def test_the_closing_screen_ends_whatever_the_registry_holds(home: Path, book: Book, capsys: Any) -> None:
    make_checkpoint(home / "models/large", b"weights")
    book.alias("champion", "1")
    book.client.set_model_version_tag(NAME, "1", "decision.1", "no JSON")
    closing_screen(home, PIPELINE, Screen(), 1.0)
    assert "tag decision.1: 'no JSON' was given" in " ".join(capsys.readouterr().out.split())


def test_a_reason_steers_no_terminal(home: Path, book: Book, capsys: Any) -> None:
    make_checkpoint(home / "models/large", b"weights")
    book.apply(by_rule("1", "", reason="\x1b]0;title\x07\x1b[2Jbetter"))
    assert champion.main([]) == 0
    closing_screen(home, PIPELINE, target := Screen(), 1.0)
    target.on_event(events.Event("note", text=standing(NAME, book.state(NAME))))
    said = capsys.readouterr().out
    assert said.count(r"\x1b]0;title\x07\x1b[2Jbetter") == 4
    assert "\x1b" not in said


def test_without_a_registry_there_is_no_champion_and_nothing_is_made(home: Path) -> None:
    (home / "mlflow.db").unlink()
    assert standing(NAME, Registry().state(NAME), "0" * 64) == "champion: none of house yet"
    assert not (home / "mlflow.db").exists()


def test_the_registry_says_what_became_of_a_model(book: Book) -> None:
    assert standing(NAME, book.state(NAME), "2" * 64).endswith(
        "; this run's model is version 2, a candidate that was not compared; compare it with --promote"
    )
    book.apply(by_rule("1", "", reason="no champion yet"))
    assert standing(NAME, book.state(NAME), "1" * 64).endswith(": no champion yet); it is this run's model")
    book.apply(by_rule("2", "1", promoted=False, reason="worse"))
    assert standing(NAME, book.state(NAME), "2" * 64).endswith("; this run's model is version 2, not promoted: worse")


def test_only_the_pipeline_promotes(capsys: Any) -> None:
    assert run.main(["growth-study", "--promote"]) == 1
    assert (
        "--promote: growth-study does not register a model; expected pipeline; leave the option out"
        in capsys.readouterr().err
    )


def test_the_closing_screen_reads_the_registry_and_no_earlier_result(home: Path, book: Book) -> None:
    make_checkpoint(home / "models/large", b"weights")
    weights = weights_sha256(home / "models/large")
    logged = book.client.create_logged_model(book.experiment)
    book.client.create_model_version(NAME, logged.model_uri, tags={WEIGHTS: weights})
    (home / "reports").mkdir()
    (home / "reports/promotion.json").write_text(json.dumps(by_rule("4", "")))
    book.apply(by_rule("4", ""))
    assert registry_sentence(home).endswith("it is this run's model")
    promote_by_hand(home, NAME, "1", "a person's wish", print)
    assert registry_sentence(home).startswith("champion: version 1 of house (hand, ")
    assert "this run's model is version 4" in registry_sentence(home)


def test_the_file_says_what_mlflow_says(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's tables are read directly: another MLflow might have others."""
    book.apply(by_rule("1", ""))
    book.apply(by_rule("2", "1"))
    logged = book.client.create_logged_model(book.experiment)
    book.client.create_model_version(NAME, logged.model_uri)  # by a person, without a tag
    book.client.delete_model_version(NAME, "3")
    read = book.state(NAME)
    monkeypatch.setattr("flows.client.registry._read", lambda *_: (_ for _ in ()).throw(sqlite3.OperationalError))
    assert book.state(NAME) == read
    assert (read.champion, sorted(read.tags)) == ("2", ["1", "2", "4"])
    assert read.version_of("3" * 64) == ""


@pytest.fixture
def checkpoint(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run's larger model, and a wrapper that needs no torch in place of the real one."""
    package = home / "package"
    (package / "phi").mkdir(parents=True)
    (package / "phi" / "pyfunc_model.py").write_text(
        "import mlflow\n\nclass Echo(mlflow.pyfunc.PythonModel):\n"
        "    def predict(self, context, model_input, params=None):\n        return list(model_input.iloc[:, 0])\n\n"
        "mlflow.models.set_model(Echo())\n",
        encoding="utf-8",
    )
    monkeypatch.setattr(tracking, "__file__", str(package / "tracking.py"))
    return make_checkpoint(home / "models/large", b"weights")


def make_checkpoint(path: Path, weights: bytes) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    (path / "model.safetensors").write_bytes(weights)
    (path / "config.json").write_text('{"max_position_embeddings": 64}', encoding="utf-8")
    return path


def log(home: Path, checkpoint: Path) -> None:
    """What training does with its model."""
    import mlflow

    tracker = MlflowTracker("train_large", home)
    tracker.model(checkpoint, "model", {})
    tracker.end("FINISHED")
    mlflow.set_tracking_uri(None)


def test_the_same_weights_have_one_version(home: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = f"sqlite:///{home}/mlflow.db"
    of_run = SimpleNamespace(home=home, place=SimpleNamespace(root=home), lineage=None)
    log(home, checkpoint)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with deciding(home, NAME, print) as book:
        first = book.version_of(of_run)
        assert book.version_of(of_run).version == first.version
        assert first.tags == {WEIGHTS: weights_sha256(checkpoint)}
        assert first.run_id, "its records are kept with the run that logged it"
        (logged,) = book.client.search_logged_models([book.experiment])
        assert first.source == logged.artifact_location
        book.apply(by_rule("1", ""))
        assert book.folder(f"models:/{NAME}@champion", home).name == "large"
    make_checkpoint(checkpoint, b"other weights")
    log(home, checkpoint)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with deciding(home, NAME, print) as book:
        assert str(book.version_of(of_run).version) == "2"
        assert len(book.state(NAME).tags) == 2
        assert aliases(book) == {"champion": "1"}


@pytest.mark.slow
def test_a_model_that_mlflow_does_not_have_is_logged_first(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a colleague's clone, where DVC has restored the training."""
    (home / "components").symlink_to(REPOSITORY / "components")
    checkpoint = make_checkpoint(home / "models/large", b"weights")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    lineage = Lineage(home, home, "flow", "name")
    of_run = SimpleNamespace(home=home, place=SimpleNamespace(root=home), lineage=lineage)
    with deciding(home, NAME, print) as book:
        version = book.version_of(of_run)
        assert version.tags == {WEIGHTS: weights_sha256(checkpoint)}
        logged = book.client.get_run(version.run_id)
        assert logged.data.tags["mlflow.parentRunId"] == lineage.run_id
        assert (book.folder(f"models:/{NAME}/1", home) / "model.safetensors").read_bytes() == b"weights"
