"""The scorer against a plain forward pass of transformers, and against itself."""

import math
from types import SimpleNamespace

import pytest
import torch

from components.benchmarking.checkpoint import open_scorer
from components.benchmarking.exam import load_exam
from components.benchmarking.scorer import ChoiceScorer
from components.errors import StepError


def requests(exam):
    return [
        SimpleNamespace(args=(f"Question: {row['question']}\nAnswer:", f" {choice}"))
        for data in load_exam(exam)
        for row in data.rows
        for choice in row["choices"]
    ]


def test_log_probabilities_are_those_of_transformers(checkpoint, exam):
    from transformers import AutoModelForCausalLM

    reference = AutoModelForCausalLM.from_pretrained(checkpoint).eval()
    scorer = open_scorer(checkpoint, batch_size=5)
    asked = requests(exam)
    for request, (logprob, greedy) in zip(asked, scorer.loglikelihood(asked), strict=True):
        context, whole = (scorer.tok_encode(text) for text in (request.args[0], "".join(request.args)))
        with torch.no_grad():
            logits = reference(torch.tensor([whole])).logits[0].float()
        span = range(len(context), len(whole))
        expected = sum(float(logits[i - 1].log_softmax(-1)[whole[i]]) for i in span)
        assert logprob == pytest.approx(expected, abs=1e-4)
        assert greedy == all(int(logits[i - 1].argmax()) == whole[i] for i in span)


def test_batch_size_and_order_change_nothing(checkpoint, exam):
    asked = requests(exam)
    reference = open_scorer(checkpoint, batch_size=1).loglikelihood(asked)
    for batch_size in (3, 64):
        found = open_scorer(checkpoint, batch_size).loglikelihood(asked[::-1])[::-1]
        assert [p for p, _ in found] == pytest.approx([p for p, _ in reference], abs=1e-5)
        assert [g for _, g in found] == [g for _, g in reference]


def test_choices_of_one_token_share_a_forward_pass(checkpoint):
    scorer = open_scorer(checkpoint, batch_size=8)
    asked = [SimpleNamespace(args=("What is", f" {choice}")) for choice in ("1", "2", "3")]
    hidden, sizes = scorer.hidden, []

    def counted(tokens, **options):
        sizes.append(tokens.numel())
        return hidden(tokens, **options)

    scorer.hidden = counted
    scorer.loglikelihood(asked)
    together = sum(sizes)
    scorer.loglikelihood(asked[:1])
    assert sum(sizes) == 2 * together


def test_probabilities_of_all_next_tokens_add_up(checkpoint):
    scorer = open_scorer(checkpoint, batch_size=8)
    context = scorer.tok_encode("Question:")
    every = [(("Question:", str(i)), context, [i]) for i in range(384)]
    assert math.fsum(math.exp(p) for p, _ in scorer._loglikelihood_tokens(every)) == pytest.approx(1, abs=1e-5)


def test_a_long_prompt_is_cut_on_the_left_and_counted(checkpoint):
    scorer = open_scorer(checkpoint, batch_size=8)
    context, answer = scorer.tok_encode("Sort 3, 2, 1. " * 40), scorer.tok_encode(" nothing at all")
    (long,) = scorer._loglikelihood_tokens([(("", ""), context, answer)])
    assert scorer.truncated == 1
    kept = context[-(64 + 1 - len(answer)) :]
    (short,) = scorer._loglikelihood_tokens([(("", ""), kept, answer)])
    assert scorer.truncated == 1
    assert long == short


def test_a_choice_longer_than_the_context_is_refused(checkpoint):
    scorer = open_scorer(checkpoint, batch_size=8)
    with pytest.raises(StepError, match="exceeds the context of 64"):
        scorer.loglikelihood([SimpleNamespace(args=("Sort", " 1" * 200))])


def test_blanks_at_the_end_of_a_prompt_go_to_the_choice(checkpoint):
    scorer = open_scorer(checkpoint, batch_size=8)
    ask = [SimpleNamespace(args=("Answer: ", "1")), SimpleNamespace(args=("Answer:", " 1"))]
    first, second = scorer.loglikelihood(ask)
    assert first == second


def test_an_empty_prompt_is_scored_after_end_of_text(checkpoint):
    scorer = open_scorer(checkpoint, batch_size=8)
    (empty,) = scorer.loglikelihood([SimpleNamespace(args=("", "What"))])
    (after,) = scorer._loglikelihood_tokens([(("", "What"), [0], scorer.tok_encode("What"))])
    assert empty == after


def test_a_model_that_gives_nan_is_refused():
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    scorer = ChoiceScorer(
        lambda tokens: torch.full((*tokens.shape, 2), math.nan), lambda states: states, tokenizer, 0, 8, 4
    )
    with pytest.raises(StepError, match="gives NaN for the prompt 'a'; its training has diverged"):
        scorer.loglikelihood([SimpleNamespace(args=("a", " b"))])


def test_a_tokenizer_of_another_model_is_refused(checkpoint, tmp_path):
    import shutil

    from tokenizers import Tokenizer

    copy = tmp_path / "model"
    shutil.copytree(checkpoint, copy)
    tokenizer = Tokenizer.from_file(str(copy / "tokenizer.json"))
    tokenizer.add_tokens([f"new{i}" for i in range(300)])
    tokenizer.save(str(copy / "tokenizer.json"))
    with pytest.raises(StepError, match="it belongs to another model"):
        open_scorer(copy, 8)
