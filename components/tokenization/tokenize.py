"""Tokenization: read the corpus, get a tokenizer, encode, plan the mixture, write the streams and the manifest.

Shares of tokens are exact, so the tokens of all possible documents are counted before planning.
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from components.documents import KINDS, check_balance
from components.errors import StepError
from components.files import NO_ROOM, atomic_directory
from components.params import Params, TokenizationParams
from components.text import bpe
from components.tokenization import tokenizer
from components.tokenization.corpus import Corpus, read_corpus, texts
from components.tokenization.encode import Spool, spool
from components.tokenization.held_out import uniform
from components.tokenization.mixture import Division, Mixture, Phase, divide, plan, shares
from components.tokenization.shards import write_split
from components.tokenization.tokenizer import Encoder
from components.tokens import DTYPES, FORMAT_VERSION, MANIFEST, TOKENIZER, Manifest, Tokens
from components.tracking import Tracker

OWN_SHARE = 0.7  # default share of the user's own text in the training tokens
FOREIGN = 0.8  # share of other languages in the bytes of web text and prose above which a corpus is not English
SAMPLE_BYTES = 20_000_000  # maximum text to train a tokenizer; more text changes few merges
ROUND_TRIPS = 200  # documents to check whether an existing tokenizer restores the text


def run(inputs: dict[str, Any], outputs: dict[str, Any], params: Params, tracker: Tracker) -> dict[str, Any]:
    place = outputs["output"]
    with _reported_disk_full(place), atomic_directory(place) as output:
        scratch = output / "scratch"
        scratch.mkdir()
        corpus = read_corpus(inputs["documents"], scratch / "names.arrow")
        settings, warnings = _own_share(corpus, params)
        params = params.model_copy(update={"tokenization": settings})
        division = divide(corpus, settings)
        sample_bytes = _make_tokenizer(corpus, division, params, output / TOKENIZER)
        encoder = Encoder(output / TOKENIZER)
        lossy = _lossy(corpus, division, encoder) if settings.tokenizer else 0
        dtype = DTYPES["uint16" if encoder.vocab_size <= 2**16 else "uint32"]
        spooled = spool(corpus, division.needed, output / TOKENIZER, dtype, scratch, params.engine)
        mixture = plan(corpus, division, spooled.length, settings, params.seed)
        manifest = _write(corpus, mixture, spooled, encoder, params, output)
        shutil.rmtree(scratch)
        Tokens.open(output)  # check that the result can be read
    tracker.artifact(place / MANIFEST)
    _note_vocabulary(encoder, params)
    _note_mixture(mixture, spooled)
    for warning in warnings:
        print(f"note: {warning}", flush=True)
    return _summary(corpus, mixture, spooled, manifest) | {
        "tokenizer_vocab_size": encoder.vocab_size,
        "tokenizer_sha256": encoder.sha256,
        "tokenizer_sample_bytes": sample_bytes,
        "lossy_documents": lossy,
        "warnings": warnings,
    }


def _main_languages(sizes: Mapping[str, int]) -> list[str]:
    """The languages with at least a fifth of the bytes, else the most frequent one."""
    return [code for code, size in sizes.items() if 5 * size >= sum(sizes.values())] or list(sizes)[:1]


def _own_share(corpus: Corpus, params: Params) -> tuple[TokenizationParams, list[str]]:
    """The settings with the minimum share of the user's own text, and a note about it. The English textbooks and exercises
    are left out if the corpus is in other languages.
    """
    settings = params.tokenization
    if settings.own_share is not None or settings.weights:
        return settings, []
    written = int(corpus.bytes[corpus.first & np.isin(corpus.kinds, [KINDS.index("web"), KINDS.index("prose")])].sum())
    if sum(corpus.foreign.values()) > FOREIGN * written:
        note = (
            f"the corpus is in {', '.join(_main_languages(corpus.foreign))}, so the English textbooks and exercises are not "
            f"trained on, and the English exam means little; to train on them: --set tokenization.own_share={OWN_SHARE}"
        )
        return settings.model_copy(update={"own_share": 1.0}), [note]
    share = OWN_SHARE if params.ingestion.names_own_text else 0.0
    return settings.model_copy(update={"own_share": share}), []


@contextmanager
def _reported_disk_full(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        free = shutil.disk_usage(place.parent).free
        raise StepError(
            f"disk full while writing {place} ({error.strerror}; {free / 1e6:,.0f} MB are free now); the unfinished output was "
            "removed; make room for about twice the size of the finished tokens, or raise the limit on file sizes"
        ) from error


def padded(entries: int, multiple: int) -> int:
    """The model's vocabulary: the tokenizer's entries, rounded up."""
    return -(-entries // multiple) * multiple


def _make_tokenizer(corpus: Corpus, division: Division, params: Params, output: Path) -> int:
    """Copy the named tokenizer, or train one; returns the bytes of its training text."""
    settings = params.tokenization
    if settings.tokenizer:
        tokenizer.take(Path(settings.tokenizer), output, settings.tokenizer_sha256)
        return 0
    sample = _sample(corpus, division, params)
    print(f"training a tokenizer on {corpus.bytes[sample].sum() / 1e6:.1f} MB of text", flush=True)
    cut = 0

    def learnt_from() -> Iterator[str]:
        nonlocal cut
        for _, text in texts(corpus, sample):
            cut += bpe.long_words(text)
            yield text

    with tokenizer.all_cores():
        tokenizer.train(learnt_from(), settings.vocab_size, output)
    if cut:
        print(
            f"note: the tokenizer learnt from {cut:,} words of more than {bpe.LONGEST} characters (such as DNA, or text without "
            "blanks) in pieces of that length; they are encoded whole",
            flush=True,
        )
    return int(corpus.bytes[sample].sum())


def _sample(corpus: Corpus, division: Division, params: Params) -> np.ndarray:
    """Training documents for the tokenizer, selected by hash up to SAMPLE_BYTES; bool (rows,). Held-out text is excluded.

    The kinds have their shares in a stream with one token per byte.
    """
    taken, _ = shares(corpus, division, corpus.bytes, params.tokenization)
    rows = np.concatenate([share.distinct for share in taken])
    rows = rows if len(rows) else np.flatnonzero(division.candidates)
    share = SAMPLE_BYTES / int(corpus.bytes[rows].sum())
    chosen = rows[uniform(corpus.keys[rows], "tokenizer sample") < share] if share < 1 else rows
    mask = np.zeros(len(corpus), dtype=bool)
    mask[chosen if len(chosen) else rows[:1]] = True
    return mask


def _write(
    corpus: Corpus, mixture: Mixture, spooled: Spool, encoder: Encoder, params: Params, output: Path
) -> Manifest:
    """Write both streams and the manifest."""
    kinds = tuple(KINDS[code] for code in np.unique(corpus.kinds[mixture.validation]))
    tokens = int(spooled.length[mixture.validation].sum())
    held_out = (Phase(kinds, len(mixture.validation), tokens),)
    splits = {
        split: write_split(output / split, order, phases, corpus, spooled, params.engine)
        for split, order, phases in (
            ("train", mixture.train, mixture.phases),
            ("validation", mixture.validation, held_out),
        )
    }
    content: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "dtype": spooled.dtype.name,
        "vocab_size": padded(encoder.vocab_size, params.tokenization.pad_vocab_to_multiple),
        "eos_token_id": encoder.eos_token_id,
        "tokenizer_sha256": encoder.sha256,
        "splits": splits,
    }
    manifest = Manifest(**content, fingerprint=Manifest(**content).compute_fingerprint())
    manifest.write(output)
    return manifest


def _lossy(corpus: Corpus, division: Division, encoder: Encoder) -> int:
    """The number of ROUND_TRIPS documents, chosen by hash, that an existing tokenizer does not restore exactly."""
    rows = np.flatnonzero(division.needed)
    wanted = np.zeros(len(corpus), dtype=bool)
    wanted[rows[np.argsort(uniform(corpus.keys[rows], "round trip"))[:ROUND_TRIPS]]] = True
    originals = [text for _, text in texts(corpus, wanted)]
    lost = sum(encoder.decode(ids) != text for text, ids in zip(originals, encoder.encode(originals), strict=True))
    if lost:
        print(f"note: the tokenizer does not restore {lost} of {len(originals)} documents exactly", flush=True)
    return lost


def _note_vocabulary(encoder: Encoder, params: Params) -> None:
    wanted = params.tokenization.vocab_size
    if not params.tokenization.tokenizer and encoder.vocab_size < wanted:
        print(
            f"note: the text supports {encoder.vocab_size:,} vocabulary entries, not the {wanted:,} of "
            "tokenization.vocab_size: every pair of tokens that occurs at least twice is merged",
            flush=True,
        )


def _note_mixture(mixture: Mixture, spooled: Spool) -> None:
    """Print the share of each kind, and the kind that limits a weighted stream."""
    total = int(spooled.length[mixture.train].sum())
    parts = [
        f"{share.kind} {share.tokens(spooled.length) / total:.1%} in {float(share.passes):.3g} passes"
        for share in mixture.shares
    ]
    limit = f"; limited by the cap of {mixture.limited_by}" if mixture.limited_by else ""
    print(f"mixture: {total:,} tokens, {', '.join(parts)}{limit}", flush=True)


def _summary(corpus: Corpus, mixture: Mixture, spooled: Spool, manifest: Manifest) -> dict[str, Any]:
    """Counts by split and kind. Rows read = duplicates + left out + distinct documents of both splits."""
    splits = manifest.splits
    distinct = {name: split["distinct_documents"] for name, split in splits.items()}
    duplicates = int((~corpus.first).sum())
    used = np.zeros(len(corpus), dtype=bool)
    used[mixture.train] = used[mixture.validation] = True
    left_out = int((corpus.first & ~used).sum())
    check_balance("tokenization", len(corpus), sum(distinct.values()), duplicates + left_out)
    train = splits["train"]
    text_tokens = train["tokens"] - train["documents"]
    figures = ("documents", "distinct_documents", "tokens", "bytes")
    return {
        "vocab_size": manifest.vocab_size,  # of the model; the tokenizer may have fewer entries
        "bytes_per_token": round(train["bytes"] / max(1, text_tokens), 4),  # without the end-of-text tokens
        "documents_read": len(corpus),
        "duplicates": duplicates,
        "left_out": left_out,  # by epochs, weights and fractions of a pass
        **{name: {figure: split[figure] for figure in figures} for name, split in splits.items()},
        "by_kind": {
            kind: {name: split["by_kind"][kind] for name, split in splits.items() if kind in split["by_kind"]}
            for kind in KINDS
            if any(kind in split["by_kind"] for split in splits.values())
        },
        # Of the training tokens.
        "shares": {
            kind: round(counts["tokens"] / train["tokens"], 4) for kind, counts in sorted(train["by_kind"].items())
        },
        "passes": {share.kind: round(float(share.passes), 6) for share in mixture.shares},
        "limited_by": mixture.limited_by,
        "phases": train["phases"],
    }
