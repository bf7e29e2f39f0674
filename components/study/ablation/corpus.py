"""The tokens of an arm: its documents by the pipeline's tokenizer and mixture, beside the pipeline's held-out documents.

Everything but the documents is equal for all arms, and follows `tokenization` of params.yaml:

- Kinds stand to each other as its epochs or weights say. Where that makes fewer tokens than are trained on, the passes
  of all kinds rise by one factor, so that text that was left out (a kind that is taken in part) comes in before any is
  repeated more than it must be.
- The held-out stream is the pipeline's own, the same bytes for each arm, and none of its documents is trained on.
  Curation changes texts, and their ids with them, so the raw documents that held-out ones were made from, and those that
  are nearly the same, are taken out of the random arm.
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

from components.documents import DocumentWriter, count_documents, read_batches
from components.errors import StepError
from components.files import atomic_directory
from components.params import Params
from components.running.cli import Paths
from components.study.ablation.arms import ARMS, RANDOM, Arm
from components.study.steps import scratch_folder, step
from components.text.shingles import shingle_sets
from components.tokens import TOKENIZER, Manifest, Tokens
from components.tracking import Tracker

NEAR = 0.7  # Jaccard similarity of five-word shingles above which a raw document counts as a held-out one
MARGIN = 1.03  # a stream is made a little longer than what is trained on: kinds miss their share by up to a document
MOST_PASSES = 16.0  # the range of tokenization.epochs


def write_tokens(inputs: Paths, outputs: Paths, params: Params, tracker: Tracker) -> dict[str, Any]:
    """Write the tokens directory of an arm.

    Returns:
        documents and tokens of the training stream, by kind too; passes; raw documents taken out as held out.

    Raises:
        StepError: the arm has no document, tokenization failed, or a held-out document would have been trained on.
    """
    arm, pipeline = ARMS[inputs["arm"]], Tokens.open(inputs["tokens"])
    with scratch_folder(params, inputs) as scratch:
        folders, taken_out = documents_of(arm, inputs, pipeline, scratch)
        made = tokenize(folders, inputs["tokens"], params, scratch)
        with atomic_directory(outputs["output"]) as output:
            assemble(scratch / "tokens", inputs["tokens"], output)
            check_held_out(Tokens.open(output), arm)
    stream = made["train"]
    return {
        "documents": stream["distinct_documents"],
        "tokens": stream["tokens"],
        "passes": made["passes"],
        "by_kind": {kind: counts["train"]["tokens"] for kind, counts in made["by_kind"].items() if "train" in counts},
        "held_out_and_taken_out": taken_out,
    }


def documents_of(arm: Arm, inputs: Paths, pipeline: Tokens, scratch: Path) -> tuple[list[Path], int]:
    """The document sets of an arm, and how many documents were taken out as held out."""
    if arm.name == RANDOM:
        kin = HeldOutKin(inputs["curated"], set(pipeline.split("validation").documents["id"].to_pylist()))
        chosen = filtered(inputs["raw"], lambda batch: ~kin.among(batch), scratch / "raw")
        return [scratch / "raw"], count_documents(inputs["raw"]) - chosen
    folders = [inputs["curated"]]
    if arm.textbooks:
        left_out = pa.array(arm.leaves_out, pa.string())
        filtered(
            inputs["textbooks"],
            lambda batch: ~pc.is_in(batch["kind"], left_out).to_numpy(zero_copy_only=False),
            scratch / "textbooks",
        )
        folders.append(scratch / "textbooks")
    return folders, 0


def filtered(source: Path, keep: Callable[[pa.RecordBatch], np.ndarray], target: Path) -> int:
    """Write the documents of `source` for which `keep`, bool (rows,) of a batch, is True; returns how many there are."""
    with DocumentWriter(target) as writer:
        for batch in read_batches(source):
            table = pa.Table.from_batches([batch.filter(pa.array(keep(batch)))])
            writer.write_table(table)
    return count_documents(target)


class HeldOutKin:
    """Tells which raw documents are held-out ones: made into them by curation, or nearly the same."""

    def __init__(self, curated: Path, held_out: set[str]) -> None:
        wanted = pa.array(sorted(held_out), pa.string())
        batches = [batch.filter(pc.is_in(batch["id"], wanted)) for batch in read_batches(curated)]
        metadata = [json.loads(text) for batch in batches for text in batch["metadata"].to_pylist()]
        self.ids = pa.array(
            sorted(held_out | {found["raw_id"] for found in metadata if "raw_id" in found}), pa.string()
        )
        sets = shingle_sets([text for batch in batches for text in batch["text"].to_pylist()])
        self._sizes = np.array([len(own) for own in sets], dtype=np.int64)
        every = np.concatenate([np.zeros(0, dtype=np.uint64), *sets])
        order = np.argsort(every, kind="stable")
        # A shingle stands once for each held-out text that has it, with the number of that text.
        self._shingles, self._owners = every[order], np.repeat(np.arange(len(sets)), self._sizes)[order]

    def among(self, batch: pa.RecordBatch) -> np.ndarray:
        """Bool (rows,) of a batch of raw documents."""
        found = pc.is_in(batch["id"], self.ids).to_numpy(zero_copy_only=False).copy()
        if len(self._shingles):
            for row, own in enumerate(shingle_sets(batch["text"].to_pylist())):
                found[row] = found[row] or self._most_alike(own) >= NEAR
        return found

    def _most_alike(self, own: np.ndarray) -> float:
        """Jaccard similarity to the held-out text that is most alike."""
        first, last = (np.searchsorted(self._shingles, own, side=side) for side in ("left", "right"))
        hit = np.flatnonzero(last > first)
        if not len(hit):
            return 0.0
        owners = np.concatenate([self._owners[first[i] : last[i]] for i in hit.tolist()])
        shared = np.bincount(owners, minlength=len(self._sizes))
        return float((shared / (len(own) + self._sizes - shared)).max())


def tokenize(folders: list[Path], tokens: Path, params: Params, scratch: Path) -> dict[str, Any]:
    """Tokenize into `scratch`/tokens, a second time with more passes where the stream is shorter than what is trained on."""
    kinds = kinds_of(folders)
    settings = fitting(params, kinds, tokens)
    made = run_tokenization(folders, settings, scratch)
    lacking = params.ablation.tokens * MARGIN / made["train"]["tokens"]
    if lacking > 1:
        made = run_tokenization(folders, more_passes(settings, kinds, lacking), scratch)
    return made


def fitting(params: Params, kinds: Iterable[str], tokens: Path) -> Params:
    """The parameters of tokenization for documents of some kinds: the pipeline's tokenizer, and nothing said of others."""
    given, present = params.tokenization, set(kinds)
    phases = [[kind for kind in phase if kind in present] for phase in given.curriculum]
    changes = {
        "tokenizer": str(tokens / TOKENIZER),
        "tokenizer_sha256": Manifest.read(tokens).tokenizer_sha256,
        "weights": {kind: weight for kind, weight in given.weights.items() if kind in present},
        "curriculum": [phase for phase in phases if phase],
        "own_share": 0.0,  # an arm is what its documents are
    }
    return params.model_copy(update={"tokenization": given.model_copy(update=changes)})


def more_passes(params: Params, kinds: Iterable[str], factor: float) -> Params:
    """All kinds passed over `factor` times as often, up to MOST_PASSES."""
    given = params.tokenization
    epochs: dict[str, float] = {kind: passes for kind, passes in given.epochs.items()}
    epochs |= {kind: round(min(MOST_PASSES, epochs.get(kind, 1.0) * factor), 6) for kind in kinds}
    return params.model_copy(update={"tokenization": given.model_copy(update={"epochs": epochs})})


def kinds_of(folders: Iterable[Path]) -> list[str]:
    """The kinds of documents in some sets."""
    found: set[str] = set()
    for folder in folders:
        for batch in read_batches(folder, columns=["kind"]):
            found |= set(pc.unique(batch["kind"]).to_pylist())
    return sorted(found)


def run_tokenization(folders: list[Path], params: Params, scratch: Path) -> dict[str, Any]:
    """Run the step; returns its summary."""
    file, told = scratch / "params.json", scratch / "tokenization.json"
    file.write_text(params.model_dump_json(), encoding="utf-8")  # JSON is YAML
    words = ["--documents", *map(str, folders), "--output", str(scratch / "tokens"), "--summary", str(told)]
    step("tokenization", words, file)
    return json.loads(told.read_text(encoding="utf-8"))


def assemble(made: Path, tokens: Path, output: Path) -> None:
    """A tokens directory of what was made to train on and of the pipeline's held-out stream.

    Raises:
        StepError: the two are not tokens of one tokenizer.
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


def check_held_out(tokens: Tokens, arm: Arm) -> None:
    """Refuse an arm that trains on held-out documents."""
    train, held_out = (tokens.split(name).documents for name in ("train", "validation"))
    both = pc.is_in(train["id"], held_out["id"].combine_chunks())
    if pc.any(both).as_py():
        first = train.filter(both).slice(0, 1).to_pylist()[0]
        raise StepError(
            f"arm {arm.name!r} would train on document {first['id']} ({first['source']}), which is held out; give more "
            "documents, or a smaller tokenization.validation_fraction"
        )
