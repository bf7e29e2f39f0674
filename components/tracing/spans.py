"""The longest spans of a text that stand verbatim in a model's training tokens, and their documents.

As OLMoTrace (Liu et al., 2025): a suffix array over all training tokens finds the occurrences of any span by binary search. The
array is made when the first text is traced, not in a stage: most runs are never asked, and one array serves all runs and
clones with equal tokens, since its name is the fingerprint of the tokens.
"""

import importlib.machinery
import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.errors import StepError
from components.files import STATE
from components.foreign.tokenizer_file import open_tokenizer
from components.running.kept import keep, mark_used
from components.tokens import TOKENIZER
from components.tracing.checkpoints import Reading, TokenSet
from components.tracing.documents import CURATED, WRITTEN, find_sets
from components.tracing.project import Project
from components.tracing.starts import resolve
from components.tracing.states import integers

KEPT = "tracing"  # in `.phiforge`
LARGE = "large"
ABOUT = ("license", "created_by", "educational_value")  # of a document
LEAST = 8  # tokens; shorter spans of ordinary language stand in every corpus
SMALL_VOCABULARY = 2**16  # tokengrams reads tokens as uint16 up to this size, as uint32 above


class Span(NamedTuple):
    """Tokens [start, end) of a text."""

    start: int
    end: int


def longest_spans(project: Project, text: str, model: str = "", shown: int = 5, least: int = LEAST) -> dict[str, Any]:
    """`Spans.of` for one text of a model; a model is empty for the large one of the latest run."""
    return Spans(project, model).of(text, shown, least)


class Spans:
    """Finds spans of texts in the training tokens of a model.

    Args:
        model: a checkpoint, as `resolve` finds it; empty for the large model of the latest run.

    Raises:
        StepError: there is no such model, or its tokens are not on this machine.
    """

    def __init__(self, project: Project, model: str = "") -> None:
        self.project = project
        self.path, self.tokens = _tokens_of(project, model)
        tokens = self.tokens
        self.index = Index.open(project.root, tokens)
        file = tokens.files.find(tokens.state, f"{tokens.path}/{TOKENIZER}/tokenizer.json")
        if file is None:
            raise StepError(
                f"{tokens.path}/{TOKENIZER} is not on this machine; get it with: phiforge pull {tokens.path}"
            )
        self.tokenizer = open_tokenizer(file)
        self.tokenizer.encode_special_tokens = True

    def of(self, text: str, shown: int = 5, least: int = LEAST) -> dict[str, Any]:
        """The spans of a text.

        Args:
            shown: maximum spans, and maximum documents of each.
            least: minimum tokens of a span.

        Returns:
            model, fingerprint, tokens (of the text), covered (tokens in spans), corpus_tokens, least and spans: the longest
            first, each with start, length, count, text, its offset in characters, and documents.
        """
        encoded = self.tokenizer.encode(text, add_special_tokens=False)
        spans = [span for span in maximal(encoded.ids, self.index.contains) if span.end - span.start >= least]
        covered = np.zeros(len(encoded.ids), dtype=bool)
        for span in spans:
            covered[span.start : span.end] = True
        spans.sort(key=lambda span: (span.start - span.end, span.start))
        found = []
        for start, end in spans[:shown]:
            positions = self.index.positions(encoded.ids[start:end])
            first, last = encoded.offsets[start][0], encoded.offsets[end - 1][1]
            found.append(
                {
                    "start": start,
                    "length": end - start,
                    "count": len(positions),
                    "offset": first,
                    "text": text[first:last],
                    "positions": positions,
                }
            )
        self._add_documents(found, shown)
        return {
            "model": self.path,
            "state": self.tokens.state.title,
            "fingerprint": self.tokens.fingerprint,
            "tokens": len(encoded.ids),
            "covered": int(covered.sum()),
            "corpus_tokens": self.tokens.manifest["splits"]["train"]["tokens"],
            "least": least,
            "spans": found,
        }

    def _add_documents(self, spans: list[dict[str, Any]], shown: int) -> None:
        """Replace positions by the first documents that have them, with licence, author and educational value."""
        if self._places is None:
            return
        index, starts = self._places
        for span in spans:
            rows = np.searchsorted(starts, np.array(span.pop("positions"), dtype=np.int64), side="right") - 1
            found = index.take(pa.array(rows)).to_pylist()
            distinct = {(one["id"], one["kind"]): one for one in found}
            span["documents_in_all"] = len(distinct)
            span["documents"] = list(distinct.values())[:shown]
        ids = pa.array({one["id"] for span in spans for one in span["documents"]}, pa.string())
        about = {
            row.pop("id"): row for table in self._about for row in table.filter(pc.is_in(table["id"], ids)).to_pylist()
        }
        unknown = dict.fromkeys(ABOUT, "unknown") | {"educational_value": None}
        for span in spans:
            for one in span["documents"]:
                one |= about.get(one["id"], unknown)

    @cached_property
    def _places(self) -> tuple[pa.Table, np.ndarray] | None:
        """The documents of the training tokens, and where they begin."""
        index = self.tokens.table("train", ["id", "kind", "source", "start"])
        return None if index is None else (index.select(["id", "kind", "source"]), integers(index["start"]))

    @cached_property
    def _about(self) -> list[pa.Table]:
        sets = find_sets(self.project.files, [self.tokens.state], (CURATED, WRITTEN))
        return [place.read(["id", *ABOUT]) for place in sets]


def maximal(ids: Sequence[int], contains: Callable[[list[int]], bool]) -> Iterator[Span]:
    """The spans that occur and do not lie in a longer one that does, from left to right.

    The end never moves back when the start moves on, so there are at most two look-ups per token.
    """
    end = last = 0
    for start in range(len(ids)):
        end = max(end, start)
        while end < len(ids) and contains(list(ids[start : end + 1])):
            end += 1
        if end > max(last, start):
            yield Span(start, end)
        last = end


def _tokens_of(project: Project, model: str) -> tuple[str, TokenSet]:
    start = resolve(project, model or LARGE, "" if model else "checkpoint")
    for same in project.checkpoints.values():
        for one in same:
            if one.state is start.state and one.path == start.path:
                for _, lineage in one.links():
                    reading = Reading.of(lineage)
                    if reading and reading.fingerprint in project.tokens:
                        return one.path, project.tokens[reading.fingerprint]
    raise StepError(
        f"{model or LARGE}: the training tokens of this model are not on this machine; name another with --model, or get them "
        "with: phiforge pull data/tokens"
    )


class Index:
    """The suffix array of a token set.

    `contains` tells whether tokens occur, `positions` where, in ascending order.
    """

    def __init__(self, index: Any) -> None:
        self.contains: Callable[[list[int]], bool] = index.contains
        self._index = index

    def positions(self, ids: list[int]) -> list[int]:
        return sorted(self._index.positions(ids))

    @classmethod
    def open(cls, root: Path, tokens: TokenSet) -> "Index":
        """Map the array, made if it is missing: 8 bytes and some 0.3 microseconds of CPU per token.

        Raises:
            StepError: the tokens are not on this machine.
        """
        shards = tokens.shards()
        if not shards:
            raise StepError(f"{tokens.path} is not on this machine; get it with: phiforge pull {tokens.path}")
        folder = root / STATE / KEPT / f"spans-{tokens.fingerprint[:20]}"
        folder.parent.mkdir(parents=True, exist_ok=True)
        wide = tokens.manifest["dtype"] == "uint32"
        size = max(tokens.manifest["vocab_size"], SMALL_VOCABULARY + 1 if wide else 0)
        native = _native()

        def write(partial: Path) -> None:
            source = _joined(shards, partial)
            with _quiet():
                native.MemmapIndex.build(str(source), str(partial / "index"), vocab=size)

        keep(folder, write)
        mark_used(folder)
        source = shards[0] if len(shards) == 1 else folder / "tokens"
        return cls(native.MemmapIndex(str(source), str(folder / "index"), vocab=size))


def _joined(shards: Sequence[Path], folder: Path) -> Path:
    """One file with the tokens of all shards."""
    if len(shards) == 1:
        return shards[0]
    with open(folder / "tokens", "wb") as whole:
        for shard in shards:
            with open(shard, "rb") as part:
                shutil.copyfileobj(part, whole)
    return folder / "tokens"


def _native() -> Any:
    """The compiled module of tokengrams, without its Python package, whose import needs a second for transformers."""
    package = importlib.util.find_spec("tokengrams")
    files = (
        [path for place in package.submodule_search_locations or [] for path in Path(place).glob("tokengrams.*")]
        if package
        else []
    )
    binary = next((path for path in files if path.name.endswith(tuple(importlib.machinery.EXTENSION_SUFFIXES))), None)
    if binary is None:
        raise StepError("--text needs the package tokengrams, which is not installed; run: make setup")
    loader = importlib.machinery.ExtensionFileLoader("tokengrams.tokengrams", str(binary))
    spec = importlib.util.spec_from_file_location("tokengrams.tokengrams", binary, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@contextmanager
def _quiet() -> Iterator[None]:
    """Send what compiled code prints to standard error, since standard output may be JSON."""
    kept = os.dup(1)
    try:
        os.dup2(2, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
