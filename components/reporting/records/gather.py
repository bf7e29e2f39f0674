"""The records of one model: found by the hash of its weights among the runs, else by the fingerprint of its tokens."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from components.errors import StepError
from components.files import read_json, sha256_file
from components.foreign.confined import refuse_links_out
from components.foreign.terminal import printable
from components.reporting.evidence import Case, Evidence
from components.reporting.reading import read_case
from components.reporting.records.corpus import TOKENS, Corpus, read_corpus
from components.reporting.records.facts import Facts
from components.tokens import Manifest
from components.tracking import weights_sha256

UNKNOWN = "unknown"
USUAL = ("small", "large", "control")
STEPS = ("ingest", "curate", "synthesize", "tokenize")


@dataclass(frozen=True)
class Record:
    """All that is known of a model.

    Attributes:
        weights: SHA-256 of the weights.
        files: SHA-256 of each of the checkpoint's files by name.
        case: its lineage, shape, training and scores; the last two only if its run was found.
        run: folder of the run with its data; None if no run was found.
        steps: summaries of the steps that made the data.
        inventory: the sources of the run.
    """

    name: str
    weights: str
    files: dict[str, str]
    case: Case
    facts: Facts
    run: Path | None = None
    corpus: Corpus | None = None
    steps: dict[str, dict[str, Any]] = field(default_factory=dict)
    inventory: dict[str, Any] = field(default_factory=dict)

    @property
    def evidence(self) -> Evidence:
        return self.case.model(self.case.subject) or Evidence(self.case.subject)

    @property
    def chain(self) -> list[dict[str, Any]]:
        """Lineages from this model back to the first that is known."""
        return list(_chain(self.case.lineage))

    @property
    def version(self) -> str:
        """The first digits of the weights' hash, which identify the model."""
        return self.weights[:12]


def gather(name: str, checkpoint: Path, runs: Sequence[Path], facts: Facts) -> Record:
    """Read all records of a model.

    Raises:
        StepError: the checkpoint has no weights, or a record is damaged.
    """
    if not any(Path(checkpoint).glob("*.safetensors")):
        raise StepError(f"{checkpoint} has no *.safetensors; expected a checkpoint folder; name one of a model")
    refuse_links_out(checkpoint)
    weights = weights_sha256(checkpoint)
    files = {printable(path.name): sha256_file(path) for path in sorted(checkpoint.iterdir()) if path.is_file()}
    lineage, config = (_optional(checkpoint / file) for file in ("lineage.json", "config.json"))
    record = Record(printable(name), weights, files, Case((), lineage=lineage, config=config), facts)
    for run in runs:
        for trained in sorted(run.glob("reports/train_*.json")):
            if _optional(trained).get("checkpoint_sha256") == weights:
                model = trained.stem.removeprefix("train_")
                case = replace(_case(run, model, lineage), subject=model, lineage=lineage, config=config)
                return _with_data(replace(record, case=case), run)
    for run in runs:
        if _has_data(run, lineage):
            return _with_data(record, run)
    return record


def _with_data(record: Record, run: Path) -> Record:
    """The record with the data of a run, unless the run has made other data since."""
    if not _has_data(run, record.case.lineage):
        return replace(record, run=run)
    steps = {step: _optional(run / "reports" / f"{step}.json") for step in STEPS}
    inventory = _optional(run / "data/inventory.json")
    return replace(record, run=run, corpus=read_corpus(run), steps=steps, inventory=inventory)


def _has_data(run: Path, lineage: dict[str, Any]) -> bool:
    """Whether a run still has the tokens that a model was last trained on."""
    wanted = next(iter(fingerprints(lineage)), None)
    return wanted is not None and (run / TOKENS).is_dir() and Manifest.read(run / TOKENS).fingerprint == wanted


def _case(run: Path, model: str, lineage: dict[str, Any]) -> Case:
    """The results of a run's models, as its report reads them."""
    names = [*(name for name in USUAL if name != model), model]
    names = [name for name in names if (run / f"reports/train_{name}.json").is_file()]
    names.sort(key=lambda name: USUAL.index(name) if name in USUAL else len(USUAL))

    def present(pattern: str) -> list[Path]:
        return [path for name in names if (path := run / pattern.format(name)).exists()]

    grown = any(step.get("step") == "transfer" for step in _chain(lineage))
    proof, set_back = run / "models/grown/transfer.json", run / "reports/scores/set_back"
    checkpoint = run / "models" / model
    return read_case(
        present("reports/scores/{}"),
        present("reports/train_{}.json"),
        present("reports/curves/{}.csv"),
        proof if grown and proof.is_file() else None,
        checkpoint if checkpoint.is_dir() else None,
        set_back if grown and set_back.is_dir() and checkpoint.is_dir() else None,
    )


def _chain(lineage: Any) -> Any:
    while isinstance(lineage, dict) and lineage:
        yield lineage
        initial = lineage.get("initial")
        lineage = initial.get("lineage") if isinstance(initial, dict) else None


def fingerprints(lineage: Any) -> list[str]:
    """The fingerprints of all tokens that a model and its ancestors saw, the last training's first."""
    found = (step.get("tokens_fingerprint") for step in _chain(lineage))
    return list(dict.fromkeys(mark for mark in found if isinstance(mark, str)))


def _optional(path: Path) -> dict[str, Any]:
    return read_json(path, "") if path.is_file() else {}
