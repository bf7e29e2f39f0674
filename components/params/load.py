"""All sections as one model, which is read from params.yaml, profiles and overrides."""

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError
from pydantic.fields import FieldInfo

from components.errors import StepError, clipped, short
from components.foreign import yaml_text
from components.foreign.confined import is_name, leads_out
from components.params.curation import CurationParams
from components.params.data import EngineParams, IngestionParams, TokenizationParams, ValidationParams
from components.params.evaluation import (
    AblationParams,
    BenchmarkingParams,
    InterpretationParams,
    PromotionParams,
    ReportingParams,
    StudyParams,
    WithoutParams,
)
from components.params.housekeeping import HousekeepingParams
from components.params.models import LARGE, SMALL, ModelParams, TrainingParams, TransferParams
from components.params.section import Section
from components.params.synthesis import SynthesisParams
from components.params.tuning import TuningParams

PARAMS_FILE = Path("params.yaml")
PROFILES = Path("profiles")
EXPLAINED = 20  # maximum refused keys in a message
MOST_KEY = 200  # maximum characters of a key in a message


class Params(Section):
    """All parameters of a run."""

    seed: int = Field(1, ge=0, le=2**31 - 1, description="Random seed of every step")
    engine: EngineParams = EngineParams()
    ingestion: IngestionParams = IngestionParams()
    validation: ValidationParams = ValidationParams()
    curation: CurationParams = CurationParams()
    synthesis: SynthesisParams = SynthesisParams()
    tokenization: TokenizationParams = TokenizationParams()
    small: ModelParams = SMALL
    large: ModelParams = LARGE
    training: TrainingParams = TrainingParams()
    transfer: TransferParams = TransferParams()
    benchmarking: BenchmarkingParams = BenchmarkingParams()
    interpretation: InterpretationParams = InterpretationParams()
    reporting: ReportingParams = ReportingParams()
    promotion: PromotionParams = PromotionParams()
    study: StudyParams = StudyParams()
    ablation: AblationParams = AblationParams()
    without: WithoutParams = WithoutParams()
    tuning: TuningParams = TuningParams()
    housekeeping: HousekeepingParams = HousekeepingParams()


def load_params(
    path: Path = PARAMS_FILE, overrides: Iterable[str] | Mapping[str, Any] = (), profile: str | None = None
) -> Params:
    """Read params.yaml, apply a profile and overrides to it, and check everything.

    Args:
        path: a YAML file with the sections of `Params`; missing keys take their defaults.
        overrides: `section.key=value` strings (values in YAML), or a mapping of dotted keys to values.
        profile: name of an overlay in profiles/, beside `path`.

    Raises:
        StepError: the file cannot be read, or a key or value is refused; the message names each refused one.
    """
    overlay_values: dict[str, Any] = {}
    if profile:
        overlay_values = read_profile(Path(path).parent, profile)
    return check_layers(path, overlay_values, overrides)


def check_layers(path: Path, overlay: Mapping[str, Any], overrides: Iterable[str] | Mapping[str, Any]) -> Params:
    """The parameters that result from a params.yaml, the values of a profile and overrides, each applied over the earlier.

    Raises:
        StepError: as `load_params`.
    """
    values = merge(read_yaml(path), overlay)
    for key, value in parse_overrides(overrides).items():
        set_dotted(values, key, value)
    return check_params(values, f"{path}" + (" with overrides" if overrides else ""))


def read_profile(root: Path, profile: str) -> dict[str, Any]:
    """The values of the profile with this name.

    Raises:
        StepError: the name is a path, there is no such profile, or it cannot be read.
    """
    folder, names = Path(root) / PROFILES, profile_names(root)
    said, known = short(profile), ", ".join(names) or "none"
    if not is_name(profile) or (profile in names and leads_out(folder / f"{profile}.yaml", folder)):
        raise StepError(f"profile {said} leads out of profiles/; expected the name of a profile there: {known}")
    if profile not in names:
        raise StepError(f"profile {said} is not there; profiles/ has: {known}")
    return read_yaml(folder / f"{profile}.yaml")


def profile_names(root: Path) -> list[str]:
    """Names of the profiles of a project."""
    return sorted(path.stem for path in (Path(root) / PROFILES).glob("*.yaml"))


def check_params(values: Mapping[str, Any], origin: str = "parameters") -> Params:
    """Validate a nested mapping of parameters.

    Raises:
        StepError: a key or value is refused; the message has one line per key.
    """
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        items = error.errors()
        lines = [_explain(item) for item in items[:EXPLAINED]]
        more = [f"and {len(items) - EXPLAINED:,} more"] if len(items) > EXPLAINED else []
        raise StepError(f"{origin}: " + "; ".join(lines + more)) from None


def parse_overrides(overrides: Iterable[str] | Mapping[str, Any]) -> dict[str, Any]:
    """`["a.b=1"]` or `{"a.b": 1}` as a dict of dotted keys. The values of strings are read as YAML."""
    if isinstance(overrides, Mapping):
        return dict(overrides)
    parsed = {}
    for item in overrides:
        key, equals, value = item.partition("=")
        if not equals or not key.strip():
            raise StepError(f"override {short(item)} is not of the form section.key=value")
        try:
            parsed[key.strip()] = yaml_text.parse(value) if value.strip() else ""
        except yaml_text.NotYaml as error:
            raise StepError(f"override {short(item)}: the value is not YAML ({error}); put it in quotes") from error
    return parsed


def set_dotted(values: dict[str, Any], key: str, value: Any) -> None:
    """Set `values["a"]["b"]` for the key `a.b`, in place; unknown keys are left to `check_params`."""
    *parents, last = key.split(".")
    node = values
    for parent in parents:
        child = node.get(parent)
        if not isinstance(child, dict):
            child = node[parent] = {}
        node = child
    node[last] = value


def merge(base: dict[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of `base`, overridden by `overlay` key by key."""
    merged = dict(base)
    for key, value in overlay.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, Mapping) else value
    return merged


def flatten(values: Mapping[str, Any] | BaseModel, prefix: str = "") -> dict[str, Any]:
    """Nested parameters as dotted keys; lists stay values."""
    if isinstance(values, BaseModel):
        values = values.model_dump()
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping from a file.

    Raises:
        StepError: the file is missing, unreadable, not YAML or not a mapping.
    """
    try:
        values = yaml_text.read(path)
    except FileNotFoundError:
        raise StepError(f"{path} is not there; run from the project's folder or name another with --params") from None
    except (OSError, ValueError) as error:
        raise StepError(f"{path} cannot be read as YAML: {error}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise StepError(f"{path} holds a {type(values).__name__}; expected sections such as `training:`")
    return values


def known_keys() -> list[str]:
    """Every dotted key that params.yaml may have."""
    return sorted(flatten(Params()))


def _explain(item: Mapping[str, Any]) -> str:
    """One pydantic error as a sentence: the key, the given value, what is allowed, and the nearest known key."""
    key = clipped(".".join(clipped(str(part), MOST_KEY) for part in item["loc"] if part != "[key]"), MOST_KEY)
    given = item.get("input")
    if item["type"] == "extra_forbidden":
        candidates = known_keys() + sorted(Params.model_fields)
        section = [known for known in candidates if known.startswith(f"{key.partition('.')[0]}.")]
        candidates = section if difflib.get_close_matches(key, section, n=1, cutoff=0.75) else candidates
        nearest = difflib.get_close_matches(key, candidates, n=1)
        leaf = key.rpartition(".")[2]
        same_leaf = difflib.get_close_matches(leaf, [k.rpartition(".")[2] for k in candidates], n=1, cutoff=0.75)
        if same_leaf and (not nearest or nearest[0].rpartition(".")[2] != same_leaf[0]):
            nearest = [k for k in candidates if k.rpartition(".")[2] == same_leaf[0]][:1] or nearest
        hint = f"; the nearest known key is {nearest[0]!r}" if nearest else ""
        return f"unknown key {key!r}{hint}"
    if item["type"] == "value_error":
        return f"{key}: {item['ctx']['error']}"
    allowed = describe_range(key)
    message = item["msg"][0].lower() + item["msg"][1:]
    shown = "" if isinstance(given, Mapping | list) else f" = {short(given)}"  # a mapping may contain secrets
    return f"{key}{shown}: {message}" + (f" (allowed: {allowed})" if allowed else "")


def describe_range(key: str) -> str:
    """The allowed range of a dotted key in words, or an empty string."""
    model: Any = Params
    field = None
    for part in key.split("."):
        fields = getattr(model, "model_fields", {})
        if part not in fields:
            break
        field = fields[part]
        model = field.annotation
    return "" if field is None else range_of(field)


def range_of(field: FieldInfo) -> str:
    """The allowed range of a number in words, or an empty string."""
    words = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    bounds = [
        f"{word} {getattr(rule, name):,}"
        for rule in field.metadata
        for name, word in words.items()
        if getattr(rule, name, None) is not None
    ]
    return " and ".join(bounds)
