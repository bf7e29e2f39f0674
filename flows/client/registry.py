"""MLflow's registry: checkpoints as folders, the champion, and the decisions about it.

A decision is a tag `decision.<time>` of the versions that it is about, with JSON as its value. Only the alias `champion`
decides which version is the champion.
"""

import sqlite3
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from components.errors import StepError, short
from components.files import atomic_directory, parse_json
from components.foreign.addresses import local_path
from components.tracking import WEIGHTS
from flows.client.tracking import Tracking
from flows.settings import state_folder

REGISTRY = "models:/"
CHAMPION, CANDIDATE = "champion", "candidate"  # aliases
MOST_VERSIONS = 10_000  # limit of one request to MLflow
DECISION = "decision."  # prefix of the tags with decisions; a sortable time follows
RECORDED = {"by": str, "action": str, "promoted": bool, "reason": str, "version": str, "champion": str}  # besides `at`

ROWS = (  # from MLflow's own tables, in which a deleted version keeps its row
    "SELECT version, key, value FROM model_versions LEFT JOIN model_version_tags USING (name, version) "
    "WHERE name = ? AND current_stage != 'Deleted_Internal'"
)


@dataclass(frozen=True)
class State:
    """The registry's state of a model: the champion's version, empty for none, and the tags of each version."""

    champion: str = ""
    tags: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def decisions(self) -> list[dict[str, Any]]:
        """All decisions, each once, oldest first.

        A decision has `at` (UTC), `by` (rule or hand), `action` (promote or rollback), `promoted`, `reason`, `version`,
        `champion` (the champion before; empty for none); a decision by the rule also has `loss`, `accuracy`, `checks`,
        `rule` and `flow_run`.

        Raises:
            StepError: a decision's tag has another content; anyone who may write to MLflow can set it.
        """
        by_key = {
            key: (version, value)
            for version, tags in self.tags.items()
            for key, value in tags.items()
            if key.startswith(DECISION)
        }
        return [_decision(key, *by_key[key]) for key in sorted(by_key)]

    def version_of(self, weights: str) -> str:
        """The first version of the checkpoint with this hash of its weights, or an empty string."""
        return min((number for number, tags in self.tags.items() if tags.get(WEIGHTS) == weights), key=int, default="")


def _decision(key: str, version: str, value: str) -> dict[str, Any]:
    try:
        found = parse_json(value)
        datetime.fromisoformat(found["at"])
        is_decision = all(isinstance(found[name], kind) for name, kind in RECORDED.items())
    except (ValueError, TypeError, KeyError):
        is_decision = False
    if not is_decision:
        raise StepError(
            f"MLflow, version {version}, tag {key}: {short(value)} was given; expected a decision as JSON, as a run records it; "
            "remove the tag on MLflow's page of the version"
        )
    return found


def _read(path: Path, name: str) -> State:
    """The state in MLflow's SQLite file."""
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
        aliases = "SELECT version FROM registered_model_aliases WHERE name = ? AND alias = ?"
        champion = database.execute(aliases, (name, CHAMPION)).fetchone()
        tags: dict[str, dict[str, str]] = {}
        for version, key, value in database.execute(ROWS, (name,)):
            tags.setdefault(str(version), {}).update({key: value} if key else {})
    return State(str(champion[0]) if champion else "", tags)


class Registry(Tracking):
    """Versions of registered models. A model is read as files, so that no code of it is run."""

    def folder(self, address: str, root: Path) -> Path:
        """The checkpoint of `models:/NAME/3` or `models:/NAME@ALIAS`.

        Args:
            root: the project's main folder, where copies from a remote store are kept.

        Raises:
            StepError: no such model, version or alias; the message names those that exist.
        """
        name, _, alias = address.removeprefix(REGISTRY).partition("@")
        version = ""
        if not alias:
            name, _, version = name.rpartition("/")
        if not name or not (alias or version):
            raise StepError(f"{address} names no version; expected {REGISTRY}NAME/3 or {REGISTRY}NAME@ALIAS")
        if self.absent():
            raise StepError(f"{address}: nothing is registered in {self.uri} yet; run `make run` first")
        with self.errors():
            version = self._version(name, alias, version)
            place = self._files(name, version, root)
        found = sorted(path.parent for path in place.rglob("config.json"))
        if not found:
            raise StepError(
                f"{address}: {place} does not contain a checkpoint; register the model again with `make run`"
            )
        return found[0]

    def state(self, name: str) -> State:
        """The champion of a model and the tags of its versions.

        An SQLite file is read without MLflow's client, which needs three seconds of CPU: a run with all stages cached
        calls this too.
        """
        if self.absent():
            return State()
        path = self.uri.removeprefix("sqlite:///")
        if path != self.uri:
            with suppress(sqlite3.OperationalError):  # locked, or MLflow has not made its tables yet
                return _read(Path(path), name)
        with self.errors():
            models = self.client.search_registered_models(f"name = '{name}'")
            found = self.client.search_model_versions(f"name = '{name}'", max_results=MOST_VERSIONS)
        champion = models[0].aliases.get(CHAMPION, "") if models else ""
        return State(str(champion), {str(version.version): dict(version.tags) for version in found})

    def _version(self, name: str, alias: str, version: str) -> str:
        """The number of a version that exists."""
        registered = {model.name: model for model in self.client.search_registered_models()}
        if name not in registered:
            known = ", ".join(sorted(registered)) or "none yet"
            raise StepError(f"no model {name!r} is registered in {self.uri}; there are: {known}")
        if alias:
            aliases = registered[name].aliases
            if alias not in aliases:
                known = ", ".join(sorted(aliases)) or "none"
                raise StepError(f"the registered model {name} has no alias {alias!r}; it has: {known}")
            return str(aliases[alias])
        versions = {str(found.version) for found in self.client.search_model_versions(f"name = '{name}'")}
        if version not in versions:
            known = ", ".join(sorted(versions, key=int)) or "none"
            raise StepError(f"the registered model {name} has no version {version!r}; it has: {known}")
        return version

    def _files(self, name: str, version: str, root: Path) -> Path:
        """The folder of the logged model's files on this machine, or of a copy of them."""
        address = self.client.get_model_version_download_uri(name, version)
        if place := local_path(address):
            return place
        copy = state_folder(root) / "registry" / f"{name}-{version}"
        if not copy.is_dir():
            from mlflow.artifacts import download_artifacts

            with atomic_directory(copy) as partial:
                download_artifacts(artifact_uri=address, dst_path=str(partial), tracking_uri=self.uri)
        return copy
