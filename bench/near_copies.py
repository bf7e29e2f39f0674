"""The near-duplicate threshold in practice: the share of copies of a text that are found, by their difference from it.

    python -m bench.near_copies [--documents 400] [--texts FILE.jsonl.gz]

Texts are made of sentences of the running Python's documentation, 300 to 900 words each, or read from a file. Each has one
copy, with random words or a block of words replaced, or with added text of the same size, or the copy is a part of the text.
`found` is the share of copies that are dropped themselves or by their original.
"""

import gzip
import json
import random
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench.common import parser
from bench.curation import sentences
from components.curation.duplicates.clusters import find
from components.curation.duplicates.ids import pack
from components.curation.duplicates.sketches import SketchFiles, save_sketches
from components.documents import document_id
from components.params import DuplicatesParams
from components.text.shingles import sketch

Words = list[str]


def scattered(share: float) -> Callable[[Words, random.Random], Words]:
    """One word in so many replaced, at random places."""

    def change(words: Words, draw: random.Random) -> Words:
        places = set(draw.sample(range(len(words)), round(share * len(words))))
        return [f"other{draw.randrange(10**6)}" if place in places else word for place, word in enumerate(words)]

    return change


def block(share: float) -> Callable[[Words, random.Random], Words]:
    """So many words in a row replaced."""

    def change(words: Words, draw: random.Random) -> Words:
        size = round(share * len(words))
        start = draw.randrange(len(words) - size + 1)
        return [*words[:start], *(f"other{draw.randrange(10**6)}" for _ in range(size)), *words[start + size :]]

    return change


def longer(words: Words, draw: random.Random) -> Words:
    return [*words, *(f"other{draw.randrange(10**6)}" for _ in words)]


def piece(share: float) -> Callable[[Words, random.Random], Words]:
    def change(words: Words, draw: random.Random) -> Words:
        size = round(share * len(words))
        start = draw.randrange(len(words) - size + 1)
        return words[start : start + size]

    return change


COPIES: dict[str, Callable[[Words, random.Random], Words]] = {
    **{f"{share:.0%} of the words changed, scattered": scattered(share) for share in (0.01, 0.02, 0.03, 0.05, 0.1)},
    **{f"{share:.0%} of the words changed, in one block": block(share) for share in (0.05, 0.1, 0.2, 0.3)},
    "text of the same length added": longer,
    **{f"{share:.0%} of the text alone": piece(share) for share in (0.2, 0.5, 0.8)},
}


def found(texts: list[str], copies: list[str], params: DuplicatesParams) -> float:
    """The share of copies that are found."""
    whole = [*texts, *copies]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sketches.npy"
        save_sketches(path, sketch(whole, params.permutations))
        kinds, scores = np.ones(len(whole), dtype=np.int8), np.zeros(len(whole), dtype=np.float32)
        ids = pack(map(document_id, whole))
        clusters = find(
            SketchFiles([path]), ids, kinds, scores, lambda at: (whole[one] for one in at), params, Path(folder)
        )
    kept = clusters.kept
    return float(np.mean(~(kept[: len(texts)] & kept[len(texts) :])))


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--documents", type=int, default=400)
    options.add_argument("--texts", type=Path)
    given = options.parse_args()
    draw = random.Random(1)
    if given.texts:
        rows = (json.loads(line)["text"] for line in gzip.decompress(given.texts.read_bytes()).splitlines())
        texts = [text for text in dict.fromkeys(rows) if 300 <= len(text.split()) <= 3_000][: given.documents]
    else:
        pool = sentences()
        texts = [" ".join(draw.sample(pool, draw.randint(15, 45))) for _ in range(given.documents)]
    settings = {
        "0.7": DuplicatesParams(),
        "0.5": DuplicatesParams(thresholds={"prose": 0.5}),
        "0.7 and containment 0.8": DuplicatesParams(containment=0.8),
    }
    print(f"{len(texts)} texts; share of copies found at")
    print(f"{'':<46}" + "".join(f"{name:>25}" for name in settings))
    for name, change in COPIES.items():
        copies = [" ".join(change(text.split(), draw)) for text in texts]
        print(f"{name:<46}" + "".join(f"{found(texts, copies, params):>25.1%}" for params in settings.values()))


if __name__ == "__main__":
    main()
