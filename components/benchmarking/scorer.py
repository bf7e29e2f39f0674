"""An lm-eval model that computes log-probabilities and continuations from a checkpoint.

What is notable:
- the shared parts of prompts are computed once: the few-shot examples of a task, the question of several choices, and
  equal inputs, such as those of choices that differ only in their last token (layout.py).
- the vocabulary's logits and their log-softmax, in float32, are computed only at the continuation's positions, once per
  position.
- rows are sorted by length and padded on the right, where no token sees the padding. The batch size changes
  log-probabilities only by rounding (1e-5), and does not change the room for a continuation. A greedy choice between two
  tokens whose logits are equal to within that rounding may still differ.
- a prompt that is longer than the model's context is cut on the left; such prompts are counted.
- generation continues from the same shared stems with a cache of keys and values; finished rows leave the batch.
- a journal stores answers by content, so that an interrupted run resumes.
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from lm_eval.api.model import TemplateLM
from tokenizers import Tokenizer
from torch import Tensor

from components.benchmarking.journal import Journal
from components.benchmarking.layout import Batch, Row, Tokens, batches_of, is_plain, rows_of, tokens_of, visible_of
from components.benchmarking.shared_cache import SharedCache
from components.errors import StepError
from components.foreign.tokenizer_file import breaking
from components.phi.cache import KVCache
from components.phi.generation import choose
from components.running.progress import Progress

Request = tuple[tuple[str, str], list[int], list[int]]  # (context, continuation), their tokens
Module = Callable[..., Tensor]
LOGITS = 1 << 24  # maximum logits in memory at once
MAX_NEW_TOKENS = 256  # for tasks without a limit, as in lm-eval


class ChoiceScorer(TemplateLM):
    """Scores continuations with a causal model, and generates them.

    Args:
        hidden: maps tokens (batch, length), int64, and optionally `cache=`, to last hidden states (batch, length, width).
        head: maps hidden states (positions, width) to logits (positions, vocabulary); called only at scored positions.
        tokenizer: turns text into tokens, including those that it adds itself, as lm-eval's HFLM does.
        eos_token_id: end of text, for padding; None if the tokenizer has none.
        end_tokens: all tokens that end a continuation; None for `eos_token_id` alone.
        prefix_token_id: begins a text, and is the context of an empty prompt; None for `eos_token_id`.
        max_length: context length in tokens.
        batch_size: maximum rows in one forward pass.
        journal: stores answers; None stores them in this object only.
    """

    def __init__(
        self,
        hidden: Module,
        head: Module,
        tokenizer: Tokenizer,
        eos_token_id: int | None,
        max_length: int,
        batch_size: int,
        journal: Journal | None = None,
        device: str = "cpu",
        end_tokens: Sequence[int] | None = None,
        prefix_token_id: int | None = None,
    ) -> None:
        super().__init__()
        self.hidden, self.head, self.tokenizer = hidden, head, tokenizer
        self.max_length, self.batch_size = max_length, batch_size
        self.journal = journal or Journal(None, {})
        self.on = torch.device(device)
        self._eos = eos_token_id
        ends = (eos_token_id,) if end_tokens is None else end_tokens
        self.ends = frozenset(end for end in ends if end is not None)
        self._prefix = prefix_token_id
        self._begun = ""  # text that begins with the prefix already gets no second one
        if tokenizer is not None and prefix_token_id is not None and tokenizer.num_special_tokens_to_add(False):
            self._begun = tokenizer.decode([prefix_token_id], skip_special_tokens=False)
        self._stem: tuple[Tokens, KVCache | None] = ((), None)
        self._cut: set[Tokens] = set()
        self.empty_completions = 0

    @property
    def truncated(self) -> int:
        """The number of distinct prompts that were cut on the left so far."""
        return len(self._cut)

    @property
    def endless(self) -> bool:
        """Whether no token ends a text."""
        return not self.ends

    @property
    def eot_token_id(self) -> int:
        if self._eos is None:
            raise StepError(
                "the tokenizer has no end-of-text token, so an empty prompt cannot be scored; name one as eos_token in "
                "tokenizer_config.json and eos_token_id in config.json"
            )
        return self._eos

    @property
    def prefix_token_id(self) -> int:
        return self.eot_token_id if self._prefix is None else self._prefix

    @property
    def _padding(self) -> int:
        return self._eos or 0

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: Any) -> list[int]:
        return self._encode_all([string], add_special_tokens)[string]

    def _encode_all(self, texts: Sequence[str], special: bool | None = None) -> dict[str, list[int]]:
        """Tokens of each text.

        Args:
            special: whether to add the tokenizer's own tokens; None adds them if a text does not begin with the prefix.
        """
        found: dict[str, list[int]] = {}
        for adds in (True, False):
            own = [t for t in dict.fromkeys(texts) if adds == (self._adds(t) if special is None else special)]
            with breaking("the checkpoint's tokenizer"):
                encoded = self.tokenizer.encode_batch_fast(own, add_special_tokens=adds)
            found.update(zip(own, (e.ids for e in encoded), strict=True))
        return found

    def _adds(self, text: str) -> bool:
        return not self._begun or not text.startswith(self._begun)

    def loglikelihood(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """TemplateLM's method, but each distinct text is encoded once, all of them in one call of the tokenizer."""
        return self.score_pairs([request.args for request in requests])

    def score_pairs(self, texts: Sequence[tuple[str, str]]) -> list[tuple[float, bool]]:
        """For each (context, continuation): the continuation's log-probability in nats, and whether greedy decoding gives it."""
        pairs = [self._split(*pair) for pair in texts]
        encoded = self._encode_all([text for c, x in pairs if c for text in (c, c + x)])
        alone = self._encode_all([x for c, x in pairs if not c], special=False)
        ready = []
        for context, continuation in pairs:
            if context:
                start, whole = encoded[context], encoded[context + continuation]
            else:
                begins = alone[continuation][:1] == [self.prefix_token_id]
                start, whole = [self.prefix_token_id], [self.prefix_token_id] * (not begins) + alone[continuation]
            ready.append(((context, continuation), start, whole[len(start) :]))
        return self._loglikelihood_tokens(ready)

    @contextmanager
    def counting_no_truncation(self) -> Iterator[None]:
        """Within the block, prompts that are cut do not count towards `truncated`."""
        before = set(self._cut)
        try:
            yield
        finally:
            self._cut = before

    @staticmethod
    def _split(context: str, continuation: str) -> tuple[str, str]:
        """Move blanks at the end of the context to the continuation, since a token begins with its blank."""
        stripped = context.rstrip()
        return stripped, context[len(stripped) :] + continuation

    def _loglikelihood_tokens(self, requests: Sequence[Request], **kwargs: Any) -> list[tuple[float, bool]]:
        """(log-probability of the continuation, whether greedy decoding gives it) per request, in order."""
        asked: dict[Tokens, dict[int, list[int]]] = {}  # input: length of the continuation: requests
        sequences: dict[Tokens, int] = {}
        for index, request in enumerate(requests):
            tokens, length = self._input(request)
            asked.setdefault(tokens, {}).setdefault(length, []).append(index)
            sequences[tokens] = min(sequences.get(tokens, len(tokens)), len(tokens) - length)
        results: list[tuple[float, bool]] = [(0.0, False)] * len(requests)
        progress, done = Progress(len(requests)), 0
        for batch in batches_of(rows_of(sequences, self.max_length), self.batch_size):
            wanted = [
                (r, b, len(tokens) - length, requests[i][2], i)
                for r, row in enumerate(batch.rows)
                for b, tokens in enumerate(row.sequences())
                for length, indices in asked[tokens].items()
                for i in indices
            ]
            questions = sorted({(r, b, first, tuple(target)) for r, b, first, target, _ in wanted})
            answers = dict(zip(questions, self._answered(batch, questions), strict=True))
            for r, b, first, target, i in wanted:
                results[i] = answers[r, b, first, tuple(target)]
                if not math.isfinite(results[i][0]):
                    raise _diverged(requests[i][0][0], results[i][0])
            done += len(wanted)
            progress.update(done)
        return results

    def _input(self, request: Request) -> tuple[Tokens, int]:
        """The model's input for a request, cut on the left if necessary, and its number of scored positions."""
        texts, context, continuation = request
        if not continuation:
            raise StepError(
                f"the choice {texts[1]!r} has no token of its own after the prompt {texts[0][-60:]!r}; leave the task out of the suite (--suite)"
            )
        if len(continuation) > self.max_length:
            raise StepError(
                f"a choice of {len(continuation)} tokens exceeds the context of {self.max_length}: {texts[1][:60]!r}; leave the task out of the suite (--suite)"
            )
        whole = (*context, *continuation)
        tokens = whole[-(self.max_length + 1) : -1]
        if len(tokens) < len(whole) - 1:
            self._cut.add(tuple(context))
        return tokens, len(continuation)

    def _answered(self, batch: Batch, questions: Sequence[tuple[int, int, int, Tokens]]) -> list[tuple[float, bool]]:
        rows = [[row.trunk, row.branches] for row in batch.rows]
        key = Journal.key("score", batch.stem, rows, questions)
        found = self.journal.get(key)
        if found is None:
            found = self._score(batch, questions)
            if all(math.isfinite(logprob) for logprob, _ in found):
                self.journal.put(key, found)
        return [(float(logprob), bool(greedy)) for logprob, greedy in found]

    @torch.inference_mode()
    def _score(self, batch: Batch, questions: Sequence[tuple[int, int, int, Tokens]]) -> list[tuple[float, bool]]:
        """Score (row, branch, index of its first scored token's input, targets) with one forward pass."""
        states = self._states(batch)
        places: dict[tuple[int, int], int] = {}
        points, targets = [], []
        for r, b, first, target in questions:
            for index, token in enumerate(target, first):
                place = (r, batch.rows[r].place(b, index) - batch.stem)
                points.append(places.setdefault(place, len(places)))
                targets.append(token)
        rows, columns = (torch.tensor(x, device=self.on) for x in zip(*places, strict=True))
        logprobs, greedy = self._token_scores(states[rows, columns], points, targets)
        results, at = [], 0
        for *_, target in questions:
            end = at + len(target)
            # Sums in double precision do not depend on the number of neighbours.
            results.append((math.fsum(logprobs[at:end]), all(greedy[at:end])))
            at = end
        return results

    def _states(self, batch: Batch) -> Tensor:
        """Hidden states (B, T, D) of a batch after its stem."""
        tokens = torch.from_numpy(tokens_of(batch, self._padding)).to(self.on)
        if is_plain(batch):
            return self.hidden(tokens)
        positions, visible = (torch.from_numpy(x).to(self.on) for x in visible_of(batch))
        cache = SharedCache(self._stem_of(batch), keep=False)
        cache.expect(positions, visible)
        return self.hidden(tokens, cache=cache)

    def _stem_of(self, batch: Batch) -> KVCache | None:
        if not batch.stem:
            return None
        if self._stem[0] != batch.stem_tokens:
            cache = KVCache(room=batch.stem)
            self.hidden(torch.tensor([batch.stem_tokens], device=self.on), cache=cache)
            self._stem = batch.stem_tokens, cache
        return self._stem[1]

    def _token_scores(
        self, states_PD: Tensor, points: Sequence[int], targets: Sequence[int]
    ) -> tuple[list[float], list[bool]]:
        """Log-probability of each target at its point, an index into the states, and whether it is the most likely one."""
        point_N, target_N = torch.tensor(points, device=self.on), torch.tensor(targets, device=self.on)
        logprobs = torch.empty(len(points), dtype=torch.float32, device=self.on)
        greedy = torch.empty(len(points), dtype=torch.bool, device=self.on)
        at, step = 0, 1
        while at < len(states_PD):
            logits = self.head(states_PD[at : at + step]).float()  # (points, vocabulary)
            here = (point_N >= at) & (point_N < at + step)
            row, token = point_N[here] - at, target_N[here]
            logprobs[here] = logits[row, token] - logits.logsumexp(-1)[row]
            greedy[here] = logits.argmax(-1)[row] == token
            at, step = at + step, max(1, LOGITS // logits.shape[-1])
        return logprobs.double().tolist(), greedy.tolist()

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
        """Log-probability of whole texts, each after the end-of-text token. A text longer than the context is scored in
        windows that do not overlap, as in lm-eval's models."""
        encoded = self._encode_all([request.args[0] for request in requests])
        windows, owners = [], []
        for i, request in enumerate(requests):
            tokens = [self.prefix_token_id, *encoded[request.args[0]]]
            for start in range(1, len(tokens), self.max_length):
                target = tokens[start : start + self.max_length]
                end = start + len(target)
                context = tokens[max(0, end - self.max_length - 1) : start]
                windows.append((("", request.args[0]), context, target))
                owners.append(i)
        parts: list[list[float]] = [[] for _ in requests]
        for i, (logprob, _) in zip(owners, self._loglikelihood_tokens(windows), strict=True):
            parts[i].append(logprob)
        return [math.fsum(part) for part in parts]

    def perplexities(self, texts: Sequence[str]) -> list[float | None]:
        """exp of the mean negative log-probability of each text's tokens after its first; None for a text of one token.

        Only the beginning of a text longer than the context counts.
        """
        encoded = self._encode_all(texts)
        tokens = [encoded[text][: self.max_length + 1] for text in texts]
        long = [i for i, own in enumerate(tokens) if len(own) > 1]
        found = self._loglikelihood_tokens([((texts[i][:0], texts[i]), tokens[i][:1], tokens[i][1:]) for i in long])
        results: list[float | None] = [None] * len(texts)
        for i, (logprob, _) in zip(long, found, strict=True):
            results[i] = math.exp(-logprob / (len(tokens[i]) - 1))
        return results

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """Continuations up to, and without, the first of each request's `until` strings."""
        encoded = self._encode_all([request.args[0] for request in requests])
        kinds: dict[str, tuple[Mapping[str, Any], dict[Tokens, list[int]]]] = {}
        for i, request in enumerate(requests):
            choices = _choices(request.args[1])
            room = max(1, self.max_length - choices["max_gen_toks"], self.max_length // 2)
            prompt = tuple(encoded[request.args[0]]) or (self.prefix_token_id,)
            if len(prompt) > room:
                self._cut.add(prompt)
            prompt = prompt[-room:]
            # Prompts with unequal room do not share a batch: a longer one would end a shorter one's continuation.
            choices["max_gen_toks"] = min(choices["max_gen_toks"], max(1, self.max_length - len(prompt)))
            kinds.setdefault(repr(choices), (choices, {}))[1].setdefault(prompt, []).append(i)
        texts = [""] * len(requests)
        progress, done = Progress(len(requests)), 0
        for settings, prompts in kinds.values():
            rows = [Row(prompt, ((),), len(prompt) - 1) for prompt in prompts]
            if settings["temperature"]:  # each sample of a prompt is a separate row
                rows = [replace(row, draw=i) for row in rows for i in range(len(prompts[row.trunk]))]
            for batch in batches_of(rows, self.batch_size):
                for row, text in zip(batch.rows, self._continued(batch, settings), strict=True):
                    owners = prompts[row.trunk]
                    for i in owners[row.draw : row.draw + 1] if settings["temperature"] else owners:
                        texts[i] = text
                        done += 1
                progress.update(done)
        self.empty_completions += sum(not text.strip() for text in texts)
        return texts

    def _continued(self, batch: Batch, choices: Mapping[str, Any]) -> list[str]:
        key = Journal.key("generate", batch.stem, [(row.trunk, row.draw) for row in batch.rows], dict(choices))
        found = self.journal.get(key)
        if found is None:
            found = self._generate(batch, choices)
            self.journal.put(key, found)
        return found

    @torch.inference_mode()
    def _generate(self, batch: Batch, choices: Mapping[str, Any]) -> list[str]:
        until, temperature = choices["until"], choices["temperature"]
        draws = _draws(batch) if temperature else []
        cache = SharedCache(self._stem_of(batch), keep=True)
        positions, visible = (torch.from_numpy(x).to(self.on) for x in visible_of(batch))
        cache.expect(positions, visible)
        tokens = torch.from_numpy(tokens_of(batch, self._padding)).to(self.on)
        sizes = torch.tensor([row.size for row in batch.rows], device=self.on)
        states = self.hidden(tokens, cache=cache)
        states = states[torch.arange(len(batch.rows), device=self.on), sizes - batch.stem - 1]
        held = torch.arange(cache.length, device=self.on) < sizes[:, None]  # (B, S) where keys are not padding
        new: list[list[int]] = [[] for _ in batch.rows]
        rows, position = list(range(len(batch.rows))), sizes  # rows that have not ended
        most = min(choices["max_gen_toks"], self.max_length - max(row.size for row in batch.rows))
        for step in range(max(1, most)):
            logits = self.head(states).float()
            if not bool(logits.isfinite().all()):
                raise _diverged(self.tokenizer.decode(list(batch.rows[rows[0]].trunk[-20:])))
            following = choose(logits, temperature, 0, choices["top_p"], [draws[r] for r in rows] if draws else [])
            going = []
            for at, (row, token) in enumerate(zip(rows, following.tolist(), strict=True)):
                if token in self.ends:
                    continue
                new[row].append(token)
                if not self._stopped(new[row], until):
                    going.append(at)
            if not going or step + 1 >= most:
                break
            if len(going) < len(rows):
                index = torch.tensor(going, device=self.on)
                cache.keep_rows(index)
                rows = [rows[at] for at in going]
                following, held, position = following[index], held[index], position[index]
            held = torch.cat((held, torch.ones_like(held[:, :1])), 1)
            cache.expect(position[:, None], None if bool(held.all()) else held[:, None, :])
            states = self.hidden(following[:, None], cache=cache)[:, 0]
            position = position + 1
        return [cut_at_stops(self.tokenizer.decode(tokens), until) for tokens in new]

    def _stopped(self, tokens: Sequence[int], until: Sequence[str]) -> bool:
        """Whether a stop string has just been completed; only the end is checked, since the rest was before."""
        if not until:
            return False
        end = self.tokenizer.decode(list(tokens[-(max(map(len, until)) + 4) :]))
        return any(stop in end for stop in until)


def _choices(given: Mapping[str, Any]) -> dict[str, Any]:
    """A request's generation settings, completed with lm-eval's defaults."""
    until = given.get("until") or []
    sampling = bool(given.get("do_sample", False))
    return {
        "until": [until] if isinstance(until, str) else list(until),
        "max_gen_toks": int(given.get("max_gen_toks", MAX_NEW_TOKENS)),
        "temperature": float(given.get("temperature", 1.0)) if sampling else 0.0,
        "top_p": float(given.get("top_p", 1.0)),
    }


def _draws(batch: Batch) -> list[torch.Generator]:
    """One generator per row, seeded by its prompt and the number of the draw, so that it does not depend on the batch."""
    digests = [hashlib.sha256(repr((row.trunk, row.draw)).encode()).digest() for row in batch.rows]
    return [torch.Generator().manual_seed(int.from_bytes(digest[:6], "big")) for digest in digests]


def cut_at_stops(text: str, until: Sequence[str]) -> str:
    """A text up to the first of its stop strings."""
    return text[: min((at for at in map(text.find, until) if at >= 0), default=len(text))]


def _diverged(prompt: str, value: float = math.nan) -> StepError:
    given = "NaN" if math.isnan(value) else "a probability of 0, NaN or infinity"
    return StepError(
        f"the model gives {given} for the prompt {prompt[-60:]!r}; its training has diverged: "
        "lower the learning rate and train again"
    )
