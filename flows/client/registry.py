"""Checkpoints of MLflow's registry, as folders."""

from pathlib import Path
from urllib.parse import urlparse

from components.errors import StepError
from components.files import atomic_directory
from flows.client.tracking import Tracking
from flows.settings import state_folder

REGISTRY = "models:/"


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
            raise StepError(f"{address}: {place} holds no checkpoint; register the model again with `make run`")
        return found[0]

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
        """The logged model's files: where they lie on this machine, else a copy of them, which is kept."""
        address = self.client.get_model_version_download_uri(name, version)
        parsed = urlparse(address)
        if parsed.scheme in ("", "file"):
            return Path(parsed.path)
        copy = state_folder(root) / "registry" / f"{name}-{version}"
        if not copy.is_dir():
            from mlflow.artifacts import download_artifacts

            with atomic_directory(copy) as partial:
                download_artifacts(artifact_uri=address, dst_path=str(partial), tracking_uri=self.uri)
        return copy
