"""The choice of the champion among the versions of the registered model, after the stages of a run or by a person.

Promotion is not a stage. Every run of the pipeline registers its larger model, once per checkpoint. A run of the main
tree, or a run with `promote`, then compares it with the current champion, even if all stages were cached. The rule and the
metrics are those of `components.reporting.promotion`. A decision is first recorded on both versions and in
`reports/promotion.json`; the alias moves last, so that after a kill in between the old champion stays, and the next run
decides again. Only one run or person decides at a time.
"""

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.errors import StepError
from components.files import write_json
from components.params import PARAMS_FILE, Params, load_params
from components.running.locks import exclusive
from components.tracking import WEIGHTS, ensure_experiment, weights_sha256
from flows.client.registry import CANDIDATE, CHAMPION, DECISION, REGISTRY, Registry, State
from flows.evidence import Evidence, run_step
from flows.lineage import client
from flows.settings import lock_file, mlflow_uri

if TYPE_CHECKING:
    from threading import Event

    from flows.pipeline import PipelineRun
    from flows.workspace import Workspace

CANDIDATE_MODEL = Path("models/large")  # of a run of the pipeline
DECISION_FILE = Path("reports/promotion.json")
BY_RULE, BY_HAND = "rule", "hand"
PROMOTE, ROLLBACK = "promote", "rollback"
Say = Callable[[str], None]


def settle(run: "PipelineRun", promote: bool | None) -> str:
    """Register a run's larger model, and decide whether it becomes the champion.

    Args:
        promote: whether this run may promote its model; None: only if it works in the main tree.

    Returns:
        a sentence about the model's place in the registry; empty if the run has no model.

    Raises:
        StepError: scores or losses cannot be made or read.
    """
    checkpoint = run.place.root / CANDIDATE_MODEL
    if not (checkpoint / "config.json").is_file():
        return ""
    params, weights = load_params(run.place.root / PARAMS_FILE), weights_sha256(checkpoint)
    name = params.reporting.registered_model
    state = Registry(mlflow_uri(run.home)).state(name)
    if not state.champion or state.version_of(weights) != state.champion:
        compare = not run.place.key if promote is None else promote
        with deciding(run.home, name, run.log, run.runner.stopped) as book:
            state = _settled(run, book, params, compare)
    sentence = standing(name, state, weights)
    run.log(sentence)
    return sentence


def is_settled(home: Path, place: "Workspace", promote: bool | None) -> bool:
    """Whether `settle` has nothing to do for a run in `place`: its model is the champion, or is registered and need not be
    compared."""
    checkpoint = place.root / CANDIDATE_MODEL
    if not (checkpoint / "config.json").is_file():
        return True
    name = load_params(place.root / PARAMS_FILE).reporting.registered_model
    state = Registry(mlflow_uri(home)).state(name)
    version = state.version_of(weights_sha256(checkpoint))
    compare = not place.key if promote is None else promote
    return bool(version) and (version == state.champion or not compare)


def _settled(run: "PipelineRun", book: "Book", params: Params, compare: bool) -> State:
    """The registry's state with a run's model, after a comparison with the champion if `compare`."""
    version = book.version_of(run)
    number = str(version.version)
    with tempfile.TemporaryDirectory(prefix="phiforge-promotion-") as scratch:
        evidence = Evidence(run, params, book.client, Path(scratch))
        exam = evidence.keep_exam(version)
        if compare and book.champion != number:
            decision = _decision(run, book, evidence, version, exam)
            write_json(run.place.root / DECISION_FILE, decision)
            book.apply(decision)
            if decision["promoted"]:
                from flows import alerts  # it imports Prefect, which the command line of this module does not need

                alerts.promoted(book.name, number, describe(decision))
    if book.champion != number:
        book.alias(CANDIDATE, number)
    return book.state(book.name)


def _decision(run: "PipelineRun", book: "Book", evidence: Evidence, version: Any, exam: Path) -> dict[str, Any]:
    """The rule's decision on a version against the current champion."""
    champion, number = book.champion, str(version.version)
    if replaced := replaced_by_hand(book.decisions, number):
        reason = f"a person replaced it ({replaced['reason']}), so only a person can restore it"
        found = {"promoted": False, "reason": reason}
        return new_decision(number, champion, BY_RULE, PROMOTE, **found, flow_run=run.lineage.flow_run_id)
    safety = "safety" in evidence.params.promotion.required
    checkpoint = run.place.root / CANDIDATE_MODEL
    records: dict[str, Path] = {"scores": exam}
    if safety:
        records["safety"] = evidence.safety(version, checkpoint)
    if champion:
        rival = book.version(champion)
        weights = book.folder(f"{REGISTRY}{book.name}/{champion}", run.home)
        records |= {
            "champion_scores": evidence.exam(rival, weights),
            "held_out": evidence.held_out(version, checkpoint),
            "champion_held_out": evidence.held_out(rival, weights),
        }
        if safety:
            records["champion_safety"] = evidence.safety(rival, weights)
    found = evidence.decide(**records)
    return new_decision(number, champion, BY_RULE, PROMOTE, **found, flow_run=run.lineage.flow_run_id)


def promote_by_hand(home: Path, name: str, version: str, reason: str, say: Say) -> str:
    """Make a version the champion.

    Raises:
        StepError: there is no such version, it is the champion, or the reason is empty.
    """
    with deciding(home, name, say) as book:
        champion = book.champion
        book.refuse_unknown(version)
        if version == champion:
            raise StepError(f"promote: version {version} is already the champion; name another version of {name}")
        return _by_hand(book, new_decision(version, champion, BY_HAND, PROMOTE, promoted=True, reason=_stated(reason)))


def roll_back(home: Path, name: str, reason: str, say: Say) -> str:
    """Make the previous champion the champion again.

    Raises:
        StepError: there is no champion or no earlier one, or the reason is empty.
    """
    with deciding(home, name, say) as book:
        champion = book.champion
        before = predecessor(book.decisions, champion)
        if not before:
            state = f"version {champion} had no champion before it" if champion else "there is no champion"
            raise StepError(
                f"rollback: {state}; expected an earlier champion; name a version: python -m flows.champion promote"
            )
        book.refuse_unknown(before)
        return _by_hand(book, new_decision(before, champion, BY_HAND, ROLLBACK, promoted=True, reason=_stated(reason)))


def predecessor(decisions: list[dict[str, Any]], champion: str) -> str:
    """The champion that a version replaced when it was last promoted; a rollback to it does not count."""
    replaced = [
        d["champion"] for d in decisions if d["promoted"] and d["version"] == champion and d["action"] == PROMOTE
    ]
    return replaced[-1] if replaced else ""


def replaced_by_hand(decisions: list[dict[str, Any]], version: str) -> dict[str, Any] | None:
    """The last decision of a person on a version, if it took the alias from this version."""
    by_hand = [d for d in decisions if d["by"] == BY_HAND and version in (d["version"], d["champion"])]
    return by_hand[-1] if by_hand and by_hand[-1]["champion"] == version else None


def _by_hand(book: "Book", decision: dict[str, Any]) -> str:
    book.apply(decision)
    return describe(decision)


def _stated(reason: str) -> str:
    if not reason.strip():
        raise StepError("a manual decision: the reason is empty; expected a text; give --reason 'TEXT'")
    return " ".join(reason.split())


def new_decision(version: str, champion: str, by: str, action: str, **facts: Any) -> dict[str, Any]:
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"  # sorted by time, and allowed in the name of a tag
    return {"at": now, "by": by, "action": action, "version": version, "champion": champion, **facts}


@contextmanager
def deciding(home: Path, name: str, say: Say, stopped: "Event | None" = None) -> "Iterator[Book]":
    """The registry of a project, locked for one decision at a time on this machine."""
    waiting = "another run decides on the champion; waiting for it"
    with exclusive(lock_file(home, "promotion"), lambda: say(waiting), stopped):
        book = Book(home, name)
        with exclusive(lock_file(home, "mlflow")):  # the first client of a new database creates its tables
            book.experiment = ensure_experiment(book.client)
        with book.errors():
            yield book


class Book(Registry):
    """The registry, for changes under its lock."""

    def __init__(self, home: Path, name: str) -> None:
        super().__init__(mlflow_uri(home))
        self.client, self.name, self.experiment = client(home), name, ""

    @property
    def champion(self) -> str:
        return self.state(self.name).champion

    @property
    def decisions(self) -> list[dict[str, Any]]:
        return self.state(self.name).decisions

    def version(self, number: str) -> Any:
        return self.client.get_model_version(self.name, number)

    def refuse_unknown(self, number: str) -> None:
        known = self.state(self.name).tags
        if number not in known:
            listed = ", ".join(sorted(known, key=int)) or "none yet"
            raise StepError(
                f"{number} is not a version of {self.name}; expected one of: {listed}; see MLflow's page of it"
            )

    def version_of(self, run: "PipelineRun") -> Any:
        """The version with a run's larger model, registered if needed."""
        weights = weights_sha256(run.place.root / CANDIDATE_MODEL)
        if known := self.state(self.name).version_of(weights):
            return self.version(known)
        logged = self._logged(weights)
        if logged is None:  # training was restored from another clone, or its run was deleted
            environment = dict(run.lineage.environment())
            run_step(run, environment, "components.reporting.registration", model=CANDIDATE_MODEL)
            logged = self._logged(weights)
        if not self.client.search_registered_models(f"name = '{self.name}'"):
            self.client.create_registered_model(self.name)
        tags = {WEIGHTS: weights}
        return self.client.create_model_version(
            self.name, logged.artifact_location, run_id=logged.source_run_id, tags=tags, model_id=logged.model_id
        )

    def _logged(self, weights: str) -> Any:
        """A completely logged model with these weights; interrupted ones have entries too."""
        found = self.client.search_logged_models([self.experiment], f"tags.{WEIGHTS} = '{weights}'")
        return next((model for model in found if model.status.value == "READY"), None)

    def apply(self, decision: dict[str, Any]) -> None:
        """Record a decision on both versions, then move the alias after a promotion.

        A refusal equal to the last one is not recorded again.
        """
        if not _repeats(decision, self.decisions):
            key = DECISION + decision["at"]
            for version in filter(None, (decision["version"], decision["champion"])):
                self.client.set_model_version_tag(self.name, version, key, json.dumps(decision, sort_keys=True))
        if decision["promoted"]:
            if CANDIDATE in self.version(decision["version"]).aliases:
                self.client.delete_registered_model_alias(self.name, CANDIDATE)
            self.alias(CHAMPION, decision["version"])

    def alias(self, alias: str, version: str) -> None:
        self.client.set_registered_model_alias(self.name, alias, version)


def _repeats(decision: dict[str, Any], decisions: list[dict[str, Any]]) -> bool:
    same = [d for d in decisions if (d["version"], d["champion"]) == (decision["version"], decision["champion"])]
    of_this_run = ("at", "flow_run")
    facts = [{key: value for key, value in d.items() if key not in of_this_run} for d in (decision, *same[-1:])]
    return not decision["promoted"] and len(facts) == 2 and facts[0] == facts[1]


def standing(name: str, state: State, weights: str = "") -> str:
    """A sentence about a model's champion and the version with these weights."""
    champion = state.champion
    made = [d for d in state.decisions if d["promoted"] and d["version"] == champion]
    because = f" ({made[-1]['by']}, {_day(made[-1])}: {made[-1]['reason']})" if made else ""
    text = f"champion: version {champion} of {name}{because}" if champion else f"champion: none of {name} yet"
    version = state.version_of(weights)
    if not version:
        return text
    if version == champion:
        return f"{text}; it is this run's model"
    about = [d for d in state.decisions if d["version"] == version and d["champion"] == champion]
    verdict = (
        f"not promoted: {about[-1]['reason']}"
        if about
        else "a candidate that was not compared; compare it with --promote"
    )
    return f"{text}; this run's model is version {version}, {verdict}"


def describe(decision: dict[str, Any]) -> str:
    """A decision in one line: time, outcome, other version, author, reason."""
    done = {True: "became the champion", False: "was not promoted"}[decision["promoted"]]
    done = "became the champion again" if decision["action"] == ROLLBACK else done
    to = "after" if decision["promoted"] else "against"
    against = f" {to} version {decision['champion']}" if decision["champion"] else ""
    return f"{_day(decision)}  version {decision['version']} {done}{against}  by {decision['by']}: {decision['reason']}"


def _day(decision: dict[str, Any]) -> str:
    return datetime.fromisoformat(decision["at"]).strftime("%Y-%m-%d %H:%M UTC")
