"""Makes the tokens of an arm: its documents with the pipeline's tokenizer and mixture, and the pipeline's held-out stream.

All arms differ only in their documents; the rest follows `tokenization` of params.yaml:

- Its epochs or weights set the ratio of the kinds. If that gives fewer tokens than are trained on, the passes of all
  kinds rise by one factor, so that unread text of a kind is read before any text is repeated more than necessary.
- The held-out stream is the pipeline's own, the same bytes for each arm, and none of its documents is trained on.
  Curation changes texts and so their ids. The random arm therefore leaves out the raw documents that held-out ones were
  made from, and those that are nearly the same.
"""

import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.documents import REWRITE, DocumentWriter, count_documents, read_batches
from components.errors import StepError
from components.files import atomic_directory
from components.params import Params
from components.running.cli import Paths
from components.study.ablation.arms import ARMS, EXERCISE, RANDOM, Arm
from components.study.steps import run_step, scratch_folder, write_params
from components.text.shingles import shingle_sets
from components.tokens import TOKENIZER, Manifest, Tokens
from components.tracking import Tracker

NEAR = 0.7  # Jaccard similarity of five-word shingles above which a raw document counts as a held-out one
MARGIN = 1.03  # a stream is a little longer than what is trained on: kinds miss their share by up to one document
MOST_PASSES = 16.0  # the range of tokenization.epochs


def write_tokens(inputs: Paths, outputs: Paths, params: Params, tracker: Tracker) -> dict[str, Any]:
    """Write the tokens directory of an arm.

    Returns:
        documents and tokens of the training stream, tokens by kind, passes, and raw documents left out as held out.

    Raises:
        StepError: the arm has no document, tokenization failed, or a held-out document would have been trained on.
    """
    arm, pipeline = ARMS[inputs["arm"]], Tokens.open(inputs["tokens"])
    budget = round(params.ablation.tokens * inputs["horizon"])
    with scratch_folder(params, inputs) as scratch:
        folders, left_out = documents_of(arm, inputs, pipeline, scratch)
        made = tokenize(folders, inputs["tokens"], params, scratch, budget)
        with atomic_directory(outputs["output"]) as output:
            assemble(scratch / "tokens", inputs["tokens"], output)
            check_held_out(Tokens.open(output), arm.name)
    stream = made["train"]
    return {
        "documents": stream["distinct_documents"],
        "tokens": stream["tokens"],
        "passes": made["passes"],
        "by_kind": {kind: counts["train"]["tokens"] for kind, counts in made["by_kind"].items() if "train" in counts},
        "held_out_and_taken_out": left_out,
    }


def documents_of(arm: Arm, inputs: Paths, pipeline: Tokens, scratch: Path) -> tuple[list[Path], int]:
    """The document sets of an arm, and the number of raw documents left out because they are held out."""
    if arm.name == RANDOM:
        kin = HeldOutKin(inputs["curated"], set(pipeline.split("validation").documents["id"].to_pylist()))
        chosen = filtered(inputs["raw"], lambda batch: pa.array(~kin.among(batch)), scratch / "raw")
        return [scratch / "raw"], count_documents(inputs["raw"]) - chosen
    if arm.sources:
        return documents_and_rewrites(arm, inputs, scratch), 0
    folders = [inputs["curated"]]
    if arm.textbooks:
        folders.append(inputs["textbooks"])
        if not arm.exercises:
            folders[-1] = scratch / "textbooks"
            filtered(inputs["textbooks"], lambda batch: pc.not_equal(batch["kind"], EXERCISE), folders[-1])
    return folders, 0


def documents_and_rewrites(arm: Arm, inputs: Paths, scratch: Path) -> list[Path]:
    """The curated documents that the textbooks hold rewrites of, and these if the arm has them.

    Raises:
        StepError: the textbooks hold no rewrite.
    """
    sources: set[str] = set()

    def is_rewrite(batch: pa.RecordBatch) -> pa.Array:
        metadata = [json.loads(text) for text in batch["metadata"].to_pylist()]
        found = [entry.get("format", "").startswith(REWRITE) for entry in metadata]
        sources.update(entry["seed_document"] for entry, rewrite in zip(metadata, found, strict=True) if rewrite)
        return pa.array(found, pa.bool_())

    if not filtered(inputs["textbooks"], is_rewrite, scratch / "rewrites"):
        raise StepError(
            f"arm {arm.name!r}: {inputs['textbooks']} holds no rewrites of documents; expected some: set synthesis.rephrase "
            "and a model as synthesis.teacher and run the pipeline, or leave the arm out of ablation.arms"
        )
    ids = pa.array(sorted(sources), pa.string())
    filtered(inputs["curated"], lambda batch: pc.is_in(batch["id"], ids), scratch / "sources")
    return [scratch / "sources", *([scratch / "rewrites"] if arm.rewrites else [])]


def filtered(source: Path, keep: Callable[[pa.RecordBatch], pa.Array], target: Path) -> int:
    """Write the documents of `source` for which `keep(batch)`, bool (rows,), is True; returns their number."""
    with DocumentWriter(target) as writer:
        for batch in read_batches(source):
            writer.write_table(pa.Table.from_batches([batch.filter(keep(batch))]))
    return count_documents(target)


class HeldOutKin:
    """Finds the raw documents that are held out: curation made a held-out document from them, or they are nearly the
    same as one."""

    def __init__(self, curated: Path, held_out: set[str]) -> None:
        wanted = pa.array(sorted(held_out), pa.string())
        batches = [batch.filter(pc.is_in(batch["id"], wanted)) for batch in read_batches(curated)]
        metadata = [json.loads(text) for batch in batches for text in batch["metadata"].to_pylist()]
        self.ids = pa.array(
            sorted(held_out | {entry["raw_id"] for entry in metadata if "raw_id" in entry}), pa.string()
        )
        sets = shingle_sets([text for batch in batches for text in batch["text"].to_pylist()])
        self._sizes = np.array([len(own) for own in sets], dtype=np.int64)
        every = np.concatenate([np.zeros(0, dtype=np.uint64), *sets])
        order = np.argsort(every, kind="stable")
        # One entry per shingle and held-out text that contains it, with the number of that text.
        self._shingles, self._owners = every[order], np.repeat(np.arange(len(sets)), self._sizes)[order]

    def among(self, batch: pa.RecordBatch) -> np.ndarray:
        """Whether each raw document of a batch is held out: bool (rows,)."""
        same = pc.is_in(batch["id"], self.ids).to_numpy(zero_copy_only=False).copy()
        if len(self._shingles):
            for row, own in enumerate(shingle_sets(batch["text"].to_pylist())):
                same[row] = same[row] or self._similarity(own) >= NEAR
        return same

    def _similarity(self, own: np.ndarray) -> float:
        """Jaccard similarity to the most similar held-out text."""
        first, last = (np.searchsorted(self._shingles, own, side=side) for side in ("left", "right"))
        hit = np.flatnonzero(last > first)
        if not len(hit):
            return 0.0
        owners = np.concatenate([self._owners[first[i] : last[i]] for i in hit.tolist()])
        shared = np.bincount(owners, minlength=len(self._sizes))
        return float((shared / (len(own) + self._sizes - shared)).max())


def tokenize(folders: list[Path], tokens: Path, params: Params, scratch: Path, budget: int) -> dict[str, Any]:
    """Tokenize into `scratch`/tokens, a second time with more passes if the stream is shorter than the `budget`."""
    kinds = kinds_of(folders)
    settings = params_of(params, kinds, tokens)
    made = run_tokenization(folders, settings, scratch)
    factor = budget * MARGIN / made["train"]["tokens"]
    if factor > 1:
        made = run_tokenization(folders, more_passes(settings, kinds, factor), scratch)
    return made


def params_of(params: Params, kinds: Iterable[str], tokens: Path) -> Params:
    """The parameters for tokenizing documents of some kinds: the pipeline's tokenizer, without settings for other kinds."""
    given, present = params.tokenization, set(kinds)
    phases = [[kind for kind in phase if kind in present] for phase in given.curriculum]
    changes = {
        "tokenizer": str(tokens / TOKENIZER),
        "tokenizer_sha256": Manifest.read(tokens).tokenizer_sha256,
        "weights": {kind: weight for kind, weight in given.weights.items() if kind in present},
        "curriculum": [phase for phase in phases if phase],
        "own_share": 0.0,  # an arm is defined by its documents alone
    }
    return params.model_copy(update={"tokenization": given.model_copy(update=changes)})


def more_passes(params: Params, kinds: Iterable[str], factor: float) -> Params:
    """The parameters with `factor` times as many passes over all kinds, up to MOST_PASSES."""
    given = params.tokenization
    passes = {kind: round(min(MOST_PASSES, given.epochs.get(kind, 1.0) * factor), 6) for kind in kinds}
    changed = given.model_copy(update={"epochs": {**given.epochs, **passes}})
    return params.model_copy(update={"tokenization": changed})


def kinds_of(folders: Iterable[Path]) -> list[str]:
    """The kinds of documents in some sets."""
    batches = (batch for folder in folders for batch in read_batches(folder, columns=["kind"]))
    return sorted({kind for batch in batches for kind in pc.unique(batch["kind"]).to_pylist()})


def run_tokenization(folders: list[Path], params: Params, scratch: Path) -> dict[str, Any]:
    """Run the step; returns its summary."""
    summary = scratch / "tokenization.json"
    words = ["--documents", *map(str, folders), "--output", str(scratch / "tokens"), "--summary", str(summary)]
    run_step("tokenization", words, write_params(params, scratch))
    return json.loads(summary.read_text(encoding="utf-8"))


def assemble(made: Path, tokens: Path, output: Path) -> None:
    """Put the arm's training stream and the pipeline's held-out stream into one tokens directory.

    Raises:
        StepError: the two have different tokenizers.
    """
    ours, pipeline = Manifest.read(made), Manifest.read(tokens)
    for fact in ("dtype", "vocab_size", "eos_token_id", "tokenizer_sha256"):
        if ours[fact] != pipeline[fact]:
            raise StepError(
                f"the arm's tokens have {fact} {ours[fact]!r}, {tokens} has {pipeline[fact]!r}; run the pipeline "
                "with the current parameters, then the ablation again"
            )
    shutil.move(made / "train", output / "train")
    shutil.move(made / TOKENIZER, output / TOKENIZER)
    shutil.copytree(tokens / "validation", output / "validation", copy_function=shutil.copyfile)
    content = asdict(ours) | {"splits": {"train": ours.splits["train"], "validation": pipeline.splits["validation"]}}
    manifest = Manifest(**content | {"fingerprint": ""})
    Manifest(**content | {"fingerprint": manifest.compute_fingerprint()}).write(output)


def check_held_out(tokens: Tokens, arm: str) -> None:
    """Refuse an arm that trains on held-out documents."""
    train, held_out = (tokens.split(name).documents for name in ("train", "validation"))
    both = pc.is_in(train["id"], held_out["id"].combine_chunks())
    if pc.any(both).as_py():
        first = train.filter(both).slice(0, 1).to_pylist()[0]
        raise StepError(
            f"arm {arm!r} would train on document {first['id']} ({first['source']}), which is held out; give more "
            "documents, or a smaller tokenization.validation_fraction"
        )
