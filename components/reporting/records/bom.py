"""A bill of materials of a model in CycloneDX 1.6: the model with its card, its files, its training data, its ancestors.

cyclonedx-python-lib (11.12) has no classes for `modelCard` and `data`, so the document is written here, and checked against
the specification's own JSON schema, which the library holds. https://cyclonedx.org/docs/1.6/json/
"""

import json
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from components.reporting.card import LIMITS
from components.reporting.evidence import Accuracy
from components.reporting.growth import exam_share
from components.reporting.records.corpus import File, Holding
from components.reporting.records.gather import UNKNOWN, Record
from components.reporting.records.licenses import spdx_id
from components.results.published import EXAM
from components.results.statistics import Estimate, interval

MODEL = "model"
PREFIX = "phiforge:"  # of the names of properties


def bill(record: Record) -> dict[str, Any]:
    """The document; equal records give an equal one, so it has no time, and its serial number follows from its content."""
    data = [_holding(number, one) for number, one in enumerate(record.corpus.holdings)] if record.corpus else []
    files = [_file(one) for one in record.corpus.files] if record.corpus else []
    model = _model(record, [one["bom-ref"] for one in data])
    content = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "tools": {"components": [{"type": "application", "name": "phiforge", "version": _version()}]},
            "component": model,
        },
        "components": [*data, *files],
        "dependencies": [
            {"ref": MODEL, "dependsOn": [one["bom-ref"] for one in data]},
            *({"ref": one["bom-ref"], "dependsOn": [f["bom-ref"] for f in files]} for one in data),
        ],
    }
    serial = uuid5(NAMESPACE_URL, json.dumps(content, sort_keys=True))
    return content | {"serialNumber": f"urn:uuid:{serial}"}


def problem(text: str) -> str:
    """The first violation of CycloneDX's schema in a document; empty for a valid one."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    return str(error.data) if error else ""


def _version() -> str:
    try:
        return version("phiforge")
    except PackageNotFoundError:
        return UNKNOWN


def _model(record: Record, data: list[str]) -> dict[str, Any]:
    component: dict[str, Any] = {
        "type": "machine-learning-model",
        "bom-ref": MODEL,
        "name": record.name,
        "version": record.version,
        "hashes": [{"alg": "SHA-256", "content": record.weights}],
        "licenses": _licenses(record.facts.license),
        "components": [
            {"type": "file", "name": name, "hashes": [{"alg": "SHA-256", "content": digest}]}
            for name, digest in record.files.items()
        ],
        "modelCard": _card(record, data),
    }
    if ancestors := _ancestors(record):
        component["pedigree"] = {"ancestors": ancestors}
    if record.facts.provider:
        component["supplier"] = {"name": record.facts.provider}
    return component


def _ancestors(record: Record) -> list[dict[str, Any]]:
    """The checkpoints that the model was made from, nearest first."""
    found = [step["initial"] for step in record.chain if isinstance(step.get("initial"), dict)]
    digests = [one.get("weights_sha256") for one in found]
    return [
        {"type": "machine-learning-model", "name": "checkpoint", "hashes": [{"alg": "SHA-256", "content": digest}]}
        for digest in digests
        if isinstance(digest, str) and len(digest) == 64 and set(digest) <= set("0123456789abcdef")
    ]


def _card(record: Record, data: list[str]) -> dict[str, Any]:
    config = record.case.config
    shape = {key: config.get(key) for key in ("num_hidden_layers", "hidden_size", "num_attention_heads", "vocab_size")}
    trained = record.evidence.training or {}
    figures = {key: trained.get(key) for key in ("parameters", "tokens", "steps", "flops", "epochs")}
    facts = shape | figures | {"tokens_fingerprint": record.case.lineage.get("tokens_fingerprint")}
    architectures = config.get("architectures")
    named = architectures[0] if isinstance(architectures, list) and architectures else None
    return {
        "modelParameters": {
            "approach": {"type": "self-supervised"},
            "task": "text-generation",
            "architectureFamily": "transformer",
            "modelArchitecture": named if isinstance(named, str) else UNKNOWN,
            "datasets": [{"ref": ref} for ref in data],
            "inputs": [{"format": "text"}],
            "outputs": [{"format": "text"}],
        },
        "quantitativeAnalysis": {"performanceMetrics": _metrics(record)},
        "considerations": {
            "useCases": ["Study of data curation, model growth and small language models; text continuation."],
            "technicalLimitations": [line.removeprefix("- ") for line in LIMITS.splitlines()],
        },
        "properties": [_property(name, value) for name, value in facts.items()],
    }


def _property(name: str, value: Any) -> dict[str, str]:
    return {"name": f"{PREFIX}{name}", "value": UNKNOWN if value is None else str(value)}


def _metrics(record: Record) -> list[dict[str, Any]]:
    """Losses and scores with 95% intervals; scores also with their contamination and smallest detectable difference."""
    trained, scores = record.evidence.training or {}, record.evidence.scores
    found = []
    if "validation_loss" in trained:
        loss, error = trained["validation_loss"], trained.get("validation_loss_stderr")
        found.append(_metric("validation loss (nats per token)", "held-out text", Estimate(loss, error, 10**9)))
    if scores:
        parts = {EXAM: scores.overall} | {f"{EXAM}: {name}": one for name, one in scores.categories.items()}
        for name, accuracy in parts.items():
            found += _score(name, accuracy)
        found += [
            _plain("accuracy in held-out wordings", f"{EXAM}: {name}", a.value) for name, a in scores.reworded.items()
        ]
    if growth := trained.get("growth"):
        found.append(
            _plain("share of the gain after growth in new parameters", "held-out text", growth["new"]["share"])
        )
    if (share := exam_share(record.case)) and share["all"]["share"] is not None:
        found.append(_plain("share of the gain after growth in new parameters", EXAM, share["all"]["share"]))
    return found or [{"type": "accuracy", "slice": EXAM, "value": UNKNOWN}]


def _score(name: str, accuracy: Accuracy) -> list[dict[str, Any]]:
    facts = {
        "share of questions in the training corpus": accuracy.overlap,
        "accuracy on the other questions": accuracy.clean.value if accuracy.clean else None,
        "smallest detectable difference from chance": accuracy.detects["chance"],
        "smallest detectable difference from another model": accuracy.detects["another"],
        "accuracy by guessing": accuracy.chance,
    }
    return [_metric("accuracy", name, accuracy.estimate), *(_plain(kind, name, value) for kind, value in facts.items())]


def _metric(kind: str, part: str, whole: Estimate) -> dict[str, Any]:
    low, high = interval(whole)
    bounds = {} if low is None or high is None else {"lowerBound": f"{low:.6g}", "upperBound": f"{high:.6g}"}
    return _plain(kind, part, whole.value) | ({"confidenceInterval": bounds} if bounds else {})


def _plain(kind: str, part: str, value: float | None) -> dict[str, Any]:
    return {"type": kind, "slice": part, "value": UNKNOWN if value is None else f"{value:.6g}"}


def _licenses(license: str) -> list[dict[str, Any]]:
    known = spdx_id(license)
    return [{"license": {"id": known} if known else {"name": license or UNKNOWN}}]


def _holding(number: int, one: Holding) -> dict[str, Any]:
    facts = {"documents": one.documents, "tokens": one.tokens, "bytes": one.bytes, "created_by": one.created_by}
    return {
        "type": "data",
        "bom-ref": f"data-{number}",
        "name": f"{one.kind}: {one.origin}",
        "licenses": _licenses(one.license),
        "data": [{"type": "dataset", "name": f"{one.kind}: {one.origin}", "sensitiveData": [UNKNOWN]}],
        "properties": [_property(name, value) for name, value in facts.items()],
    }


def _file(one: File) -> dict[str, Any]:
    return {
        "type": "file",
        "bom-ref": f"file:{one.path}",
        "name": one.path,
        "hashes": [{"alg": "SHA-256", "content": one.sha256}],
        "properties": [_property("bytes", one.size)],
    }
