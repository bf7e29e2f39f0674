"""Log-probabilities of choices, as an lm-eval model.

What is notable:
- choices that differ in their last token only share one forward pass: the input is the context and all of the choice
  but its last token, and equal inputs are computed once. For choices of one token that is one pass a question.
- the vocabulary's logits and their log-softmax, in float32, are computed at the continuation's positions only, never at the context's.
- inputs are sorted by length and padded on the right, where a causal model cannot see the padding.
- a prompt that is longer than the model's context loses tokens on its left; how many did is counted.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from lm_eval.api.model import TemplateLM
from tokenizers import Tokenizer

from components.errors import StepError
from components.progress import Progress

Request = tuple[tuple[str, str], list[int], list[int]]  # (context, continuation), their tokens
Module = Callable[[torch.Tensor], torch.Tensor]


class ChoiceScorer(TemplateLM):
    """Scores continuations with any causal model.

    Args:
        hidden: tokens (batch, length), int64, to last hidden states (batch, length, width).
        head: hidden states (positions, width) to logits (positions, vocabulary); asked at scored positions only.
        tokenizer: turns text into tokens; adds none of its own.
        eos_token_id: end of text; also the padding, and the context of an empty prompt.
        max_length: tokens that the model can take at once.
        batch_size: inputs in one forward pass.
    """

    def __init__(
        self, hidden: Module, head: Module, tokenizer: Tokenizer, eos_token_id: int, max_length: int, batch_size: int
    ) -> None:
        super().__init__()
        self.hidden, self.head, self.tokenizer = hidden, head, tokenizer
        self.max_length, self.batch_size = max_length, batch_size
        self._eos = eos_token_id
        self.truncated = 0  # requests whose context was cut on the left
        self.forwarded = 0  # tokens that went through the model, without padding

    @property
    def eot_token_id(self) -> int:
        return self._eos

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: Any) -> list[int]:
        return self.tokenizer.encode(string, add_special_tokens=bool(add_special_tokens)).ids

    def loglikelihood(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """As TemplateLM's, with each distinct text encoded once and all of them in one call of the tokenizer."""
        pairs = [self._split(*request.args) for request in requests]
        texts = list(dict.fromkeys([c for c, _ in pairs if c] + [c + x for c, x in pairs]))
        encoded = dict(
            zip(texts, (e.ids for e in self.tokenizer.encode_batch(texts, add_special_tokens=False)), strict=True)
        )
        ready = []
        for context, continuation in pairs:
            whole = encoded[context + continuation]
            start = encoded[context] if context else []
            ready.append(((context, continuation), start or [self._eos], whole[len(start) :]))
        return self._loglikelihood_tokens(ready)

    @staticmethod
    def _split(context: str, continuation: str) -> tuple[str, str]:
        """Blanks at the end of the context go to the continuation, since a token begins with its blank."""
        stripped = context.rstrip()
        return stripped, context[len(stripped) :] + continuation

    def _loglikelihood_tokens(self, requests: Sequence[Request], **kwargs: Any) -> list[tuple[float, bool]]:
        """(log-probability of the continuation, whether it is what greedy decoding gives), in the order asked."""
        by_input: dict[tuple[int, ...], list[int]] = {}
        continuations = []
        for index, (texts, context, continuation) in enumerate(requests):
            if not continuation:
                raise StepError(f"the choice {texts[1]!r} has no token of its own after the prompt {texts[0][-60:]!r}")
            tokens = (context + continuation)[-(self.max_length + 1) :]
            if len(continuation) > self.max_length:
                raise StepError(
                    f"a choice of {len(continuation)} tokens exceeds the context of {self.max_length}: {texts[1][:60]!r}"
                )
            self.truncated += len(tokens) < len(context) + len(continuation)
            by_input.setdefault(tuple(tokens[:-1]), []).append(index)
            continuations.append(continuation)
        results: list[tuple[float, bool]] = [(0.0, False)] * len(requests)
        # Longest first: the first batch shows whether memory suffices.
        inputs = sorted(by_input, key=lambda tokens: (-len(tokens), tokens))
        progress = Progress(len(requests))
        done = 0
        for start in range(0, len(inputs), self.batch_size):
            batch = inputs[start : start + self.batch_size]
            asked = [(row, i) for row, tokens in enumerate(batch) for i in by_input[tokens]]
            for (_, i), result in zip(asked, self._score(batch, asked, continuations), strict=True):
                results[i] = result
                if result[0] != result[0]:
                    raise StepError(
                        f"the model gives NaN for the prompt {requests[i][0][0][-60:]!r}; its training has diverged: "
                        "lower the learning rate and train again"
                    )
            done += len(asked)
            progress.update(done)
        return results

    @torch.inference_mode()
    def _score(
        self, batch: Sequence[tuple[int, ...]], asked: Sequence[tuple[int, int]], continuations: Sequence[list[int]]
    ) -> list[tuple[float, bool]]:
        """Score (row of the batch, request) pairs with one forward pass."""
        longest = max(map(len, batch))
        tokens = torch.full((len(batch), longest), self._eos, dtype=torch.int64)
        for row, ids in enumerate(batch):
            tokens[row, : len(ids)] = torch.tensor(ids)
        self.forwarded += sum(map(len, batch))
        states = self.hidden(tokens)
        rows, positions, targets, sizes = [], [], [], []
        for row, request in asked:
            continuation = continuations[request]
            first = len(batch[row]) - len(continuation)
            rows += [row] * len(continuation)
            positions += range(first, first + len(continuation))
            targets += continuation
            sizes.append(len(continuation))
        chosen = self.head(states[rows, positions]).float()  # (continuation tokens, vocabulary)
        target = torch.tensor(targets, device=chosen.device)
        greedy = (chosen.argmax(-1) == target).tolist()
        # Sums in double precision do not depend on how many stand beside each other.
        logprobs = chosen.log_softmax(-1).gather(-1, target[:, None])[:, 0].double().tolist()
        results, at = [], 0
        for size in sizes:
            results.append((sum(logprobs[at : at + size]), all(greedy[at : at + size])))
            at += size
        return results

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
        raise NotImplementedError("no suite of this step asks for rolling log-likelihoods")

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        raise NotImplementedError("no suite of this step generates text")
