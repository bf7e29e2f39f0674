"""Find a checkpoint by name: a model of the last run, a folder, or a model in MLflow's registry."""

from pathlib import Path

from components.errors import StepError
from components.running.locks import is_free
from flows.settings import lock_at, mlflow_uri, places

USUAL = ("large", "small")  # the default models, in order
NAMED = (*USUAL, "control")
REGISTRY = "models:/"


def find_model(name: str, root: Path) -> Path:
    """The checkpoint folder for a name.

    Args:
        name: empty for the large, else the small model of the last run; `small`, `large` or another of its models; a
            checkpoint folder; `models:/NAME/3` or `models:/NAME@ALIAS`; or an alias, such as `champion`, of the model that
            the pipeline registers.
        root: the project's main folder.

    Raises:
        StepError: there is no such model; the message lists the existing ones.
    """
    if name.startswith(REGISTRY):
        return _registered(name, root)
    trained = _trained(root)
    if name in trained:
        return trained[name]
    if not name and (last := _last(root)):
        return last
    if not name or (name in NAMED and not trained):
        raise StepError("there is no model yet; run `make run` first, or name a checkpoint folder")
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if folder.exists() or "/" in name:
        state = "is a file" if folder.exists() else "does not exist"
        raise StepError(f"{name} {state}; expected a checkpoint folder, or one of: {_known(root)}")
    return _aliased(name, root)


def known_models(root: Path) -> list[str]:
    """Names of the models of all runs: the usual ones first."""
    names = _trained(root)
    return [name for name in NAMED if name in names] + sorted(names.keys() - set(NAMED))


def _last(root: Path) -> Path | None:
    """The model of the last run that made one; a run in progress only counts without another."""

    def is_busy(place: Path) -> bool:
        lock = lock_at(root, place)
        return lock.exists() and not is_free(lock)

    finished_first = sorted(places(root), key=is_busy)
    found = [place / "models" / name for place in finished_first for name in USUAL]
    return next((folder for folder in found if folder.is_dir()), None)


def _trained(root: Path) -> dict[str, Path]:
    """The models of all runs by name, each from the latest run that has it."""
    folders = [path for place in reversed(places(root)) for path in (place / "models").glob("*") if path.is_dir()]
    return {folder.name: folder for folder in folders}


def _known(root: Path) -> str:
    return ", ".join(sorted(_trained(root))) or "none yet, run `make run` first"


def _aliased(alias: str, root: Path) -> Path:
    """The version with an alias of the pipeline's registered model."""
    from components.params import PARAMS_FILE, load_params

    name = load_params(root / PARAMS_FILE).reporting.registered_model
    try:
        return _registered(f"{REGISTRY}{name}@{alias}", root)
    except StepError as error:
        raise StepError(f"there is no model or folder {alias!r}, and {error}; models: {_known(root)}") from error


def _registered(address: str, root: Path) -> Path:
    from flows.client.registry import Registry  # MLflow's client takes two seconds to import

    return Registry(mlflow_uri(root)).folder(address, root)
