"""The selection of documents for both splits, their repetition and their order.

All of it depends on hashes of document ids, never on the stored order of documents:

- Held-out documents (`held_out`) depend on the corpus alone, so runs with another seed, mixture or curriculum are measured
  on the same text.
- A kind with 2.5 passes is read twice in full and once in part: its documents in the order of their hash, with at most
  half of its tokens. So a larger share contains a smaller one, and a kind misses its share by less than one document.
- The order of training depends on the id, the pass and the seed. Within a phase each kind is distributed evenly, and all
  its documents are read once before any is repeated. Phases follow one another.

Without weights, `epochs` is the number of passes of each kind. With `own_share`, the user's own kinds have at least one
pass, and the generated kinds only as many as leave the user's text that share, in the held-out stream too. With weights,
`epochs` are caps: the stream is as long as possible with exactly the shares of `weights` and without exceeding a cap.
Arithmetic is exact (fractions of the decimal numbers as written), so 0.3 of ten tokens are three.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from components.documents import KINDS
from components.errors import StepError
from components.params import TokenizationParams
from components.tokenization.corpus import Corpus
from components.tokenization.held_out import OWN, held_out, uniform


@dataclass(frozen=True)
class Division:
    """Held-out documents, and candidates for training from the kinds in the mixture."""

    held_out: np.ndarray  # bool (rows,)
    candidates: np.ndarray  # bool (rows,)

    @property
    def needed(self) -> np.ndarray:
        """Rows whose tokens are counted before planning; bool (rows,)."""
        return self.held_out | self.candidates


@dataclass(frozen=True)
class Share:
    """The part of one kind in the training stream."""

    kind: str
    rows: np.ndarray  # int64, its candidates in the order of their hash
    passes: Fraction
    partial: int  # number of `rows` in the last pass, if `passes` is not a whole number

    @property
    def distinct(self) -> np.ndarray:
        """The rows that are read at least once."""
        return self.rows if self.passes >= 1 else self.rows[: self.partial]

    def tokens(self, lengths: np.ndarray) -> int:
        """Tokens of all its passes; `lengths` is int64 (rows of the corpus,)."""
        return int(self.passes) * int(lengths[self.rows].sum()) + int(lengths[self.rows[: self.partial]].sum())


@dataclass(frozen=True)
class Phase:
    """A part of the training stream: its kinds, documents and tokens."""

    kinds: tuple[str, ...]
    documents: int
    tokens: int


@dataclass(frozen=True)
class Mixture:
    """The two streams as row numbers of a Corpus; a repeated row occurs in `train` once per repetition."""

    train: np.ndarray  # int64
    validation: np.ndarray  # int64
    phases: tuple[Phase, ...]
    shares: tuple[Share, ...]
    limited_by: str  # the kind that limits a weighted stream; empty without weights


def divide(corpus: Corpus, params: TokenizationParams) -> Division:
    """Hold documents out, and select the kinds for training.

    Raises:
        StepError: there are fewer than two documents, the mixture has no documents for training, or weights or the
            curriculum do not match the corpus.
    """
    validation = held_out(corpus, params)
    left = corpus.first & ~validation
    counts = {kind: int((left & (corpus.kinds == code)).sum()) for code, kind in enumerate(KINDS)}
    _check_weights(counts, params)
    used = [code for code, kind in enumerate(KINDS) if counts[kind] and _wanted(kind, params)]
    if not used:
        raise StepError(
            f"tokenization.epochs {dict(params.epochs)} leaves none of {int(left.sum()):,} documents to train on; "
            "raise the epochs of a kind that the corpus has"
        )
    _check_curriculum([KINDS[code] for code in used], params)
    return Division(held_out=validation, candidates=left & np.isin(corpus.kinds, used))


def plan(corpus: Corpus, division: Division, tokens: np.ndarray, params: TokenizationParams, seed: int) -> Mixture:
    """Distribute and order the documents as described in the module's docstring.

    Args:
        tokens: int64 (rows,), length of each document with its end-of-text token.

    Raises:
        StepError: the shares are so small that a phase, or the whole stream, has no document.
    """
    taken, limited_by = shares(corpus, division, tokens, params)
    validation = np.flatnonzero(division.held_out)
    validation = validation[np.argsort(uniform(corpus.keys[validation], "validation order"), kind="stable")]
    validation = validation[_within_share(corpus.kinds[validation], tokens[validation], params)]
    orders: list[np.ndarray] = []
    phases: list[Phase] = []
    wanted: Sequence[Sequence[str]] = params.curriculum or [KINDS]
    for names in wanted:
        here = [share for share in taken if share.kind in names]
        order = _order(corpus, here, seed)
        present = tuple(share.kind for share in here if len(share.distinct))
        if not len(order):
            _refuse_empty(names, len(phases), params)
        orders.append(order)
        phases.append(Phase(kinds=present, documents=len(order), tokens=int(tokens[order].sum())))
    return Mixture(np.concatenate(orders), validation, tuple(phases), tuple(taken), limited_by)


def shares(
    corpus: Corpus, division: Division, tokens: np.ndarray, params: TokenizationParams
) -> tuple[list[Share], str]:
    """The share of each kind in the training stream, and the kind that limits it (empty without weights)."""
    rows_of = {kind: np.flatnonzero(division.candidates & (corpus.kinds == code)) for code, kind in enumerate(KINDS)}
    sizes = {kind: int(tokens[rows].sum()) for kind, rows in rows_of.items() if len(rows)}
    passes, limited_by = passes_of(sizes, params)
    taken = []
    for kind in sizes:
        rows = rows_of[kind]
        rows = rows[np.argsort(uniform(corpus.keys[rows], "share"), kind="stable")]
        budget = int((passes[kind] % 1) * sizes[kind])
        partial = int(np.searchsorted(np.cumsum(tokens[rows]), budget, side="right"))
        taken.append(Share(kind, rows, passes[kind], partial))
    return taken, limited_by


def passes_of(tokens: Mapping[str, int], params: TokenizationParams) -> tuple[dict[str, Fraction], str]:
    """Passes over each kind (`epochs`, or the maximum with the shares of `weights`), and the limiting kind.

    With caps c, tokens n and shares w, the stream has T = min(c * n / w) tokens, and each kind w * T / n passes.
    """
    caps = {kind: _fraction(_cap(kind, params)) for kind in tokens}
    if not params.weights:
        return _own_first(caps, tokens, params), ""
    weights = {kind: _fraction(params.weights[kind]) for kind in tokens}
    total = sum(weights.values())
    lengths = {kind: caps[kind] * tokens[kind] * total / weights[kind] for kind in tokens}
    limited_by = min(lengths, key=lambda kind: lengths[kind])
    length = lengths[limited_by]
    return {kind: weights[kind] * length / (total * tokens[kind]) for kind in tokens}, limited_by


def _own_first(
    passes: dict[str, Fraction], tokens: Mapping[str, int], params: TokenizationParams
) -> dict[str, Fraction]:
    """Passes with at least `own_share` of the tokens, and at least one pass, for the user's own kinds."""
    if not params.own_share:
        return passes
    passes = {kind: max(count, Fraction(1)) if kind in OWN else count for kind, count in passes.items()}
    own = sum(passes[kind] * tokens[kind] for kind in passes if kind in OWN)
    generated = sum(passes[kind] * tokens[kind] for kind in passes if kind not in OWN)
    room = _room(own, params.own_share)
    if not own or generated <= room:
        return passes
    return {kind: count if kind in OWN else count * room / generated for kind, count in passes.items()}


def _within_share(kinds: np.ndarray, tokens: np.ndarray, params: TokenizationParams) -> np.ndarray:
    """The held-out documents that keep the share of the user's own text at `own_share` of the tokens; bool (rows,)."""
    own = np.isin(kinds, [KINDS.index(kind) for kind in OWN])
    if not params.own_share or params.weights or not own.any():
        return np.ones(len(kinds), dtype=bool)
    return own | (np.cumsum(np.where(own, 0, tokens)) <= int(_room(int(tokens[own].sum()), params.own_share)))


def _room(own: int | Fraction, own_share: float) -> Fraction:
    """Maximum tokens of generated text next to `own` tokens of the user's text."""
    share = _fraction(own_share)
    return own * (1 - share) / share


def _cap(kind: str, params: TokenizationParams) -> float:
    """The maximum number of passes over a kind; 1 if `epochs` does not name it."""
    return params.epochs.get(kind, 1.0)


def _fraction(value: float) -> Fraction:
    return Fraction(str(value))  # the decimal number as written, not the nearest double


def _wanted(kind: str, params: TokenizationParams) -> bool:
    return (_cap(kind, params) > 0 or bool(params.own_share and kind in OWN)) and (
        not params.weights or params.weights.get(kind, 0) > 0
    )


def _check_weights(counts: Mapping[str, int], params: TokenizationParams) -> None:
    """Check that every kind with a weight exists and has a cap above 0."""
    for kind, weight in params.weights.items():
        if weight and not counts[kind]:
            has = ", ".join(f"{count:,} of {name}" for name, count in counts.items() if count)
            raise StepError(
                f"tokenization.weights gives {kind} a share of {weight:g}, but there is no document of that kind to "
                f"train on (there are {has}); take it out of the weights or add such text"
            )
        if weight and not _cap(kind, params):
            raise StepError(
                f"tokenization.weights gives {kind} a share of {weight:g}, but tokenization.epochs.{kind} is 0, and "
                "epochs are the caps of weights; raise it or take the kind out of the weights"
            )


def _check_curriculum(used: Iterable[str], params: TokenizationParams) -> None:
    """Check that each kind in training belongs to a phase, and that each phase has such a kind."""
    if not params.curriculum:
        return
    used = set(used)
    without = [kind for kind in KINDS if kind in used and not any(kind in phase for phase in params.curriculum)]
    if without:
        raise StepError(
            f"tokenization.curriculum has no phase for {', '.join(without)}, but there are such documents to train on; "
            f"name it in a phase or set tokenization.epochs.{without[0]} to 0"
        )
    for number, names in enumerate(params.curriculum):
        if not used & set(names):
            _refuse_empty(names, number, params)


def _refuse_empty(names: Sequence[str], number: int, params: TokenizationParams) -> None:
    given = "tokenization.weights and epochs" if params.weights else "tokenization.epochs"
    where = f"phase {number + 1} of tokenization.curriculum ({', '.join(names)})" if params.curriculum else "the stream"
    raise StepError(
        f"{where} has no document to train on: the corpus has none of these kinds, or {given} give them less than one "
        "document; add such text, raise its share or leave the phase out"
    )


def _order(corpus: Corpus, taken: list[Share], seed: int) -> np.ndarray:
    """Rows of one phase in stream order, int64.

    Pass p of a kind with E passes covers [p/E, min(p+1, E)/E) of the phase, at random places, so its density is the same
    everywhere.
    """
    rows, places = [np.empty(0, dtype=np.int64)], [np.empty(0)]
    for share in taken:
        total, whole = float(share.passes), int(share.passes)
        for number in range(whole + 1):
            width = 1.0 if number < whole else total - whole
            chosen = share.rows if number < whole else share.rows[: share.partial]
            numbers = uniform(corpus.keys[chosen], f"order {seed} {number}")
            rows.append(chosen)
            places.append((number + numbers * width) / max(total, 1e-300))
    return np.concatenate(rows)[np.argsort(np.concatenate(places), kind="stable")]
