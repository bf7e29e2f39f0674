"""Measures repetition in a set of texts, and checks the gates on it.

Compression detects templates, which near-duplicate search does not. Near-duplicate search detects copies that are far
apart, which compression with its short window does not. So both are measured, and the share of each template as well.
"""

import re
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from components.documents import read_batches
from components.errors import StepError
from components.params import SynthesisParams
from components.synthesis.drafts import Draft
from components.synthesis.near_duplicates import NearDuplicates

_WORD = re.compile(r"\w+|[^\w\s]")


class Diversity:
    """Collects texts one by one and measures all of them together, in bounded memory."""

    def __init__(self, sample_words: int = 200_000) -> None:
        self.bytes = 0
        self._compressed = 0
        self._deflate = zlib.compressobj(6)
        self._missing = sample_words
        self._words: list[str] = []

    def add(self, text: str) -> None:
        raw = text.encode("utf-8")
        self.bytes += len(raw)
        self._compressed += len(self._deflate.compress(raw))
        if self._missing > 0:
            words = _WORD.findall(text)[: self._missing]
            self._words += words
            self._missing -= len(words)

    def gzip_ratio(self) -> float:
        """Bytes before compression divided by bytes after it; natural prose has about 3, a single template over 12."""
        compressed = self._compressed + len(self._deflate.copy().flush())
        return self.bytes / compressed if self.bytes else 0.0

    def distinct(self, n: int) -> float:
        """Share of distinct n-grams among the word n-grams of the first `sample_words` words, 0 to 1."""
        grams = list(zip(*(self._words[i:] for i in range(n)), strict=False))
        return len(set(grams)) / len(grams) if grams else 0.0


def template_shares(
    training: Mapping[str, Iterable[Draft]], chapters: Mapping[str, Iterable[Draft]] | None = None
) -> dict[str, Any]:
    """The number of templates of the exercises and worked examples, and the largest share of one template in the
    exercises."""
    counts = Counter((task, draft.template) for task, drafts in training.items() for draft in drafts)
    ((task, template), most), *_ = counts.most_common(1) or [(("", ""), 0)]
    total = max(counts.total(), 1)
    worked = {(task, draft.template) for task, drafts in (chapters or {}).items() for draft in drafts}
    return {
        "distinct": len(counts.keys() | worked),
        "largest_share": round(most / total, 5),
        "largest": f"{task}: {template}",
    }


def near_curated(index: NearDuplicates, seeds: Path) -> int:
    """The number of curated documents that resemble a text in the index."""
    batches = (batch["text"].to_pylist() for batch in read_batches(seeds, columns=["text"]))
    return sum(found is not None for texts in batches for found in index.find(texts))


def check_gates(measured: Mapping[str, Any], params: SynthesisParams) -> None:
    """Refuse texts that are too similar.

    Args:
        measured: the part `diversity` of the summary.

    Raises:
        StepError: a metric exceeds its limit; the message names the first one, and how to fix it.
    """
    near, templates = measured["near_duplicates"], measured["templates"]
    ratio, share = measured["gzip_ratio"], near["share"]
    distinct = {kind: measured[kind]["distinct_3"] for kind in ("textbook", "exercise") if measured[kind]["distinct_3"]}
    poorest = min(distinct, key=distinct.__getitem__, default="")
    remedy = "lower synthesis.chapters and synthesis.exercises, widen synthesis.curriculum, or raise the limit"
    if ratio > params.max_gzip_ratio:
        what = (
            f"the texts compress by a factor of {ratio:.2f}, more than synthesis.max_gzip_ratio "
            f"{params.max_gzip_ratio:g}"
        )
    elif share > params.max_near_duplicates:
        what = (
            f"{share:.2%} of the documents resemble another or a curated one, more than "
            f"synthesis.max_near_duplicates {params.max_near_duplicates:g}"
        )
    elif templates["largest_share"] > params.max_template_share:
        what = (
            f"the template {templates['largest']!r} has {templates['largest_share']:.1%} of the exercises, more than "
            f"synthesis.max_template_share {params.max_template_share:g}"
        )
    elif distinct and distinct[poorest] < params.min_distinct_3:
        what = (
            f"only {distinct[poorest]:.1%} of the runs of three words of kind {poorest} are distinct, less than "
            f"synthesis.min_distinct_3 {params.min_distinct_3:g}"
        )
    else:
        return
    raise StepError(f"{what}: they are too similar; {remedy}")
