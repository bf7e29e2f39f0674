"""Makes the tokens without some documents: everything else as if they had never been there.

- Raw documents are left out before curation, which runs again: a near copy that was dropped because of one of them stays
  now, and thresholds that follow the corpus follow the smaller one.
- Chapters and rewrites that were written from one of them go with it. Families of exercises are cut out of the exercises,
  question by question; chapters that quote a worked example of the family stay.
- Tokenizer, held-out documents, exam and number of training tokens are the pipeline's, so that losses can be compared. What
  is left is read further to fill the budget.
"""

import json
import re
from collections.abc import Callable, Container, Sequence
from pathlib import Path
from typing import Any

from components.documents import GENERATED, Document, DocumentWriter, document_of, read_rows
from components.errors import StepError
from components.exclusions import FAMILIES, Exclusion, excluded, rules_of
from components.files import atomic_directory
from components.params import EVERYTHING, Params
from components.running.cli import Paths
from components.study.ablation.corpus import HeldOutKin, assemble, check_held_out, tokenize
from components.study.steps import run_step, scratch_folder, write_params
from components.tokens import Tokens
from components.tracking import Tracker

LEAST = 1e-9  # as tokenization.validation_fraction
QUESTION = re.compile(r"\n\n(?=Question: )")  # between two exercises of a document
Row = dict[str, Any]


def write_tokens(inputs: Paths, outputs: Paths, params: Params, tracker: Tracker) -> dict[str, Any]:
    """Write the tokens directory of an item.

    Returns:
        documents and tokens of the training stream; documents and megabytes left out; documents that curation keeps now and
        did not keep before.

    Raises:
        StepError: the item names no document, nothing is left, or a step failed.
    """
    item = inputs["item"]
    rules = [] if item == EVERYTHING else rules_of(item)
    held_out = set(Tokens.open(inputs["tokens"]).split("validation").documents["id"].to_pylist())
    with scratch_folder(params, inputs) as scratch:
        cut = Cut(inputs, rules, held_out, scratch)
        folders = cut.make(params)
        # The held-out documents of the pipeline are taken out above; tokenization always takes at least one.
        own = params.tokenization.model_copy(update={"validation_kilobytes": 0.0, "validation_fraction": LEAST})
        made = tokenize(
            folders, inputs["tokens"], params.model_copy(update={"tokenization": own}), scratch, params.small.tokens
        )
        with atomic_directory(outputs["output"]) as output:
            assemble(scratch / "tokens", inputs["tokens"], output)
            check_held_out(Tokens.open(output), item)
    return {
        "documents": made["train"]["distinct_documents"],
        "tokens": made["train"]["tokens"],
        "left_out": {"documents": cut.documents, "megabytes": cut.characters / 1e6},
        "newly_kept": cut.newly_kept,
    }


class Cut:
    """The document sets without what some rules name.

    Attributes:
        documents, characters: left out of the documents that would have been trained on.
        newly_kept: documents that curation keeps now, and did not keep before.
    """

    def __init__(self, inputs: Paths, rules: Sequence[Exclusion], held_out: set[str], scratch: Path) -> None:
        self.inputs, self.held_out, self.scratch = inputs, held_out, scratch
        self.families = {rule.value for rule in rules if rule.field == "family"}
        self.generated = [rule for rule in rules if rule.field == "kind" and rule.value in GENERATED]
        self.raw = [rule for rule in rules if rule.field != "family" and rule not in self.generated]
        self.documents = self.characters = self.newly_kept = 0

    def make(self, params: Params) -> list[Path]:
        """The folders to tokenize: curated documents, and textbooks with exercises."""
        gone: set[str] = set()
        curated = self.inputs["curated"]
        if self.raw:
            gone, curated = self._curate_again(params)
        known = {row["id"] for row in read_rows(self.inputs["curated"], ["id"])}
        kin = HeldOutKin(self.inputs["curated"], self.held_out) if self.raw else None

        def keep_curated(row: Row) -> Document | None:
            if kin and row["id"] not in known:
                self.newly_kept += 1
                if row["id"] in self.held_out or is_kin(kin, row):
                    return None
            return None if row["id"] in self.held_out else document_of(row)

        folders = [self.scratch / "documents", self.scratch / "textbooks"]
        kept = write(folders[0], curated, keep_curated)
        kept += write(folders[1], self.inputs["textbooks"], lambda row: self._without(row, gone))
        if (self.families or self.generated) and not self.documents:
            named = ", ".join([*sorted(self.families), *(rule.value for rule in self.generated)])
            raise StepError(
                f"{self.inputs['textbooks']} has no exercises or textbooks of {named}; expected some: correct the name, or run "
                "the pipeline again, since earlier ones did not record families"
            )
        if not kept:
            raise StepError("no document is left to train on; leave out less")
        return folders

    def _curate_again(self, params: Params) -> tuple[set[str], Path]:
        """Curate the raw documents that no rule names; returns the ids of those left out, raw and curated, and the folder."""
        own = params.ingestion.model_copy(update={"incremental": False})
        sources = {source.path for source in own.sources}
        base, rest = self.inputs["raw"], self.raw
        if whole := [rule for rule in self.raw if rule.field == "source" and rule.value in sources]:
            # Raw documents do not say which source of the parameters they are of, so the others are read again.
            base, rest = self.scratch / "ingested", [rule for rule in self.raw if rule not in whole]
            read = own.model_copy(update={"exclude": [*own.exclude, *map(str, whole)]})
            run_step(
                "ingestion",
                ["--output", str(base)],
                write_params(params.model_copy(update={"ingestion": read}), self.scratch),
            )
        write(self.scratch / "raw", base, lambda row: None if excluded(rest, row) else document_of(row))
        kept = {row["id"] for row in read_rows(self.scratch / "raw", ["id"])}
        gone = {row["id"] for row in read_rows(self.inputs["raw"], ["id"])} - kept
        if not gone:
            raise StepError(f"{' and '.join(map(str, self.raw))}: no raw document is named so; correct it")
        curated = self.scratch / ("curated" if kept else "raw")  # an empty set stays one
        words = ["--documents", str(self.scratch / "raw"), "--output", str(curated)]
        words += ["--ledger", str(self.scratch / "ledger.parquet"), "--work", str(self.scratch / "work")]
        if kept:
            run_step("curation", words, write_params(params.model_copy(update={"ingestion": own}), self.scratch))
        for row in read_rows(self.inputs["curated"], ["id", "text", "metadata"]):
            if {row["id"], json.loads(row["metadata"]).get("raw_id")} & gone:
                gone.add(row["id"])
                self._count(row["text"])
        return gone, curated

    def _without(self, row: Row, gone: Container[str]) -> Document | None:
        """A textbook or exercise document without what is left out; None if nothing of it is left."""
        if row["id"] in self.held_out:
            return None
        metadata = json.loads(row["metadata"])
        if excluded(self.generated, row) or metadata.get("seed_document") in gone:
            self._count(row["text"])
            return None
        families = metadata.get(FAMILIES, [])
        if not self.families.intersection(families):
            return document_of(row)
        pieces = QUESTION.split(row["text"].rstrip("\n"))
        if len(pieces) != len(families):
            raise StepError(
                f"document {row['id']} has {len(pieces)} exercises and names {len(families)} families; run the pipeline again"
            )
        kept = [piece for piece, family in zip(pieces, families, strict=True) if family not in self.families]
        text = "".join(f"{piece}\n\n" for piece in kept)[:-1]
        self._count(row["text"], len(text))
        if not kept:
            return None
        return document_of(
            row
            | {
                "id": "",
                "text": text,
                "metadata": json.dumps(metadata | {FAMILIES: [f for f in families if f not in self.families]}),
            }
        )

    def _count(self, text: str, left: int = 0) -> None:
        self.documents += 1
        self.characters += len(text) - left


def write(target: Path, source: Path, keep: Callable[[Row], Document | None]) -> int:
    """Write what `keep` returns for the documents of a set; returns their number."""
    with DocumentWriter(target) as writer:
        for row in read_rows(source):
            if document := keep(row):
                writer.write(document)
    return writer.rows


def is_kin(kin: HeldOutKin, row: Row) -> bool:
    """Whether a document is nearly the same as a held-out one."""
    import pyarrow as pa

    return bool(kin.among(pa.RecordBatch.from_pylist([{"id": row["id"], "text": row["text"]}]))[0])
