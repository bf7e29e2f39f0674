"""Tokenization: read the corpus, plan the mixture, get a tokenizer, write the streams and the manifest."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from components.documents import KINDS, check_balance
from components.files import atomic_directory
from components.params import Params
from components.tokenization import shards, tokenizer
from components.tokenization.mixture import Corpus, Mixture, plan, read_corpus, uniform
from components.tokenization.tokenizer import Encoder
from components.tokens import DTYPES, FORMAT_VERSION, MANIFEST, TOKENIZER, Manifest, Tokens
from components.tracking import Tracker

SAMPLE_BYTES = 20_000_000  # of text that the tokenizer is trained on; more changes few merges
ROUND_TRIPS = 200  # documents on which an existing tokenizer must give the text back


def run(inputs: dict[str, Any], outputs: dict[str, Any], params: Params, tracker: Tracker) -> dict[str, Any]:
    directories = inputs["documents"]
    corpus = read_corpus(directories)
    mixture = plan(corpus, params.tokenization, params.seed)
    with atomic_directory(outputs["output"]) as output, tokenizer.all_cores():
        sample_bytes = _make_tokenizer(directories, corpus, mixture, params, output / TOKENIZER)
        encoder = Encoder(output / TOKENIZER)
        lossy = _lossy(directories, corpus, mixture, encoder) if params.tokenization.tokenizer else 0
        manifest = _write(directories, corpus, mixture, encoder, output)
        Tokens.open(output)  # what was written can be read
    tracker.artifact(outputs["output"] / MANIFEST)
    summary = _summary(corpus, mixture, manifest) | {"tokenizer_sample_bytes": sample_bytes, "lossy_documents": lossy}
    _note_vocabulary(manifest, params)
    return summary


def _make_tokenizer(directories: list[Path], corpus: Corpus, mixture: Mixture, params: Params, output: Path) -> int:
    """Take the tokenizer that is named, or train one; returns the bytes of text that it was trained on."""
    if params.tokenization.tokenizer:
        tokenizer.take(Path(params.tokenization.tokenizer), output)
        return 0
    sample = _sample(corpus, mixture)
    print(f"training a tokenizer on {corpus.bytes[sample].sum() / 1e6:.1f} MB of text", flush=True)
    tokenizer.train((text for _, text in shards.texts(directories, sample)), params.tokenization.vocab_size, output)
    return int(corpus.bytes[sample].sum())


def _sample(corpus: Corpus, mixture: Mixture) -> np.ndarray:
    """Training documents for the tokenizer, by hash up to SAMPLE_BYTES; bool (rows,). Held-out text is never seen."""
    rows = np.unique(mixture.train)
    share = SAMPLE_BYTES / max(1, int(corpus.bytes[rows].sum()))
    ids = corpus.ids.take(rows).to_pylist()
    chosen = rows[uniform(ids, "tokenizer sample") < share] if share < 1 else rows
    mask = np.zeros(len(corpus), dtype=bool)
    mask[chosen if len(chosen) else rows[:1]] = True
    return mask


def _write(directories: list[Path], corpus: Corpus, mixture: Mixture, encoder: Encoder, output: Path) -> Manifest:
    """Write both streams and the manifest."""
    name = "uint16" if encoder.vocab_size <= 2**16 else "uint32"
    spooled = shards.spool(directories, corpus, mixture.rows, encoder, DTYPES[name], output / "spool.bin")
    splits = {
        split: shards.write_split(output / split, order, corpus, spooled)
        for split, order in (("train", mixture.train), ("validation", mixture.validation))
    }
    spooled.path.unlink()
    content: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "dtype": name,
        "vocab_size": encoder.vocab_size,
        "eos_token_id": encoder.eos_token_id,
        "tokenizer_sha256": encoder.sha256,
        "splits": splits,
    }
    manifest = Manifest(**content, fingerprint=Manifest(**content).compute_fingerprint())
    manifest.write(output)
    return manifest


def _lossy(directories: list[Path], corpus: Corpus, mixture: Mixture, encoder: Encoder) -> int:
    """How many of ROUND_TRIPS documents, chosen by hash, an existing tokenizer does not give back as they were."""
    rows = mixture.rows
    numbers = uniform(corpus.ids.take(rows).to_pylist(), "round trip")
    wanted = np.zeros(len(corpus), dtype=bool)
    wanted[rows[np.argsort(numbers)[:ROUND_TRIPS]]] = True
    originals = [text for _, text in shards.texts(directories, wanted)]
    lost = sum(encoder.decode(ids) != text for text, ids in _encoded(encoder, originals))
    if lost:
        print(f"note: the tokenizer does not give back {lost} of {len(originals)} documents as they were", flush=True)
    return lost


def _encoded(encoder: Encoder, originals: list[str]) -> Iterator[tuple[str, list[int]]]:
    yield from zip(originals, encoder.encode(originals), strict=True)


def _note_vocabulary(manifest: Manifest, params: Params) -> None:
    asked = params.tokenization.vocab_size
    if not params.tokenization.tokenizer and manifest.vocab_size < asked:
        print(
            f"note: the text supports {manifest.vocab_size:,} vocabulary entries, not the {asked:,} of "
            "tokenization.vocab_size: every pair of tokens that occurs twice is merged",
            flush=True,
        )


def _summary(corpus: Corpus, mixture: Mixture, manifest: Manifest) -> dict[str, Any]:
    """Counts by split and kind. Rows read = duplicates + left out + distinct documents of both splits."""
    splits = manifest.splits
    distinct = {name: split["distinct_documents"] for name, split in splits.items()}
    duplicates = int((~corpus.first).sum())
    used = np.isin(np.arange(len(corpus)), mixture.rows)
    left_out = int((corpus.first & ~used).sum())
    check_balance("tokenization", len(corpus), sum(distinct.values()), duplicates + left_out)
    train = splits["train"]
    text_tokens = train["tokens"] - train["documents"]
    figures = ("documents", "distinct_documents", "tokens", "bytes")
    return {
        "vocab_size": manifest.vocab_size,
        "bytes_per_token": round(train["bytes"] / max(1, text_tokens), 4),  # without the end-of-text tokens
        "documents_read": len(corpus),
        "duplicates": duplicates,
        "left_out": left_out,  # by epochs below 1
        **{name: {figure: split[figure] for figure in figures} for name, split in splits.items()},
        "by_kind": {
            kind: {name: split["by_kind"][kind] for name, split in splits.items() if kind in split["by_kind"]}
            for kind in KINDS
            if any(kind in split["by_kind"] for split in splits.values())
        },
    }
