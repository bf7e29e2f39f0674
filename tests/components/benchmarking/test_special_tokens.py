"""Tokens that begin and end a text come from the checkpoint's files, as in lm-eval's HFLM; stored answers depend on these files."""

import json
import shutil
from types import SimpleNamespace

import pytest
import torch

from components.benchmarking.benchmark import Job, benchmark
from components.benchmarking.checkpoint import open_scorer
from components.params import BenchmarkingParams

PARAMS = BenchmarkingParams(threads=1, batch_size=4)
TEXT = "What is 3 + 7?"


@pytest.fixture
def copy(checkpoint, tmp_path):
    """A Phi whose tokenizer has further special tokens: <s> is 384, </s> is 385, <|im_end|> is 386."""
    from dataclasses import replace

    from tokenizers import AddedToken, Tokenizer

    from components.phi.checkpoint import read_config, save
    from components.phi.model import Phi

    tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    assert tokenizer.get_vocab_size() == 384
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in ("<s>", "</s>", "<|im_end|>")])
    (tmp_path / "tokenizer").mkdir()
    tokenizer.save(str(tmp_path / "tokenizer" / "tokenizer.json"))
    model = Phi(replace(read_config(checkpoint), vocab_size=387)).initialize(3)
    save(model, tmp_path / "copy", tmp_path / "tokenizer", {})
    return tmp_path / "copy"


def change(path, **values):
    found = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps({key: value for key, value in (found | values).items() if value is not ...}))


@pytest.mark.parametrize(
    ("config", "generation", "tokenizer", "ends", "end"),
    [
        (0, 0, {}, {0}, 0),
        ([386, 0], ..., {}, {386, 0}, 386),
        ([7, 0], ..., {}, {7, 0}, 7),
        ([386, 0], ..., {"eos_token": "<|endoftext|>"}, {386, 0}, 0),
        (0, [0, 386], {}, {0, 386}, 0),
        ([0, 385], [0, 386], {}, {0, 386}, 0),  # as transformers: the generation configuration decides
        (0, 386, {"eos_token": "<|endoftext|>"}, {0, 386}, 0),
        (..., ..., {"eos_token": {"content": "</s>"}}, {385}, 385),
        (..., [386, 385], {"eos_token": "</s>"}, {386, 385}, 385),
        (5, 5, {}, set(), None),  # an ordinary token by itself ends nothing
    ],
)
def test_every_token_that_ends_an_answer_is_known(copy, config, generation, tokenizer, ends, end):
    change(copy / "config.json", eos_token_id=config)
    change(copy / "generation_config.json", eos_token_id=generation)
    change(copy / "tokenizer_config.json", **tokenizer)
    scorer = open_scorer(copy, 4)
    assert scorer.ends == ends
    assert scorer.endless == (not ends)
    if end is not None:
        assert scorer.eot_token_id == end


def test_a_continuation_ends_at_any_of_them(copy):
    prompts, free = ("What is", "up", "Sort 3,"), open_scorer(copy, 4)

    def plain(prompt, count, ends):
        tokens, new = free.tok_encode(prompt), []
        while len(new) < count and not ends & set(new):
            with torch.no_grad():
                new.append(int(free.head(free.hidden(torch.tensor([tokens + new])))[0, -1].argmax()))
        return new

    ends = {0, plain(prompts[0], 6, set())[-1], plain(prompts[1], 4, set())[-1]}
    change(copy / "config.json", eos_token_id=sorted(ends))
    change(copy / "generation_config.json", eos_token_id=...)
    expected = [[token for token in plain(prompt, 12, ends) if token not in ends] for prompt in prompts]
    assert min(map(len, expected)) < 6
    ask = [SimpleNamespace(args=(prompt, {"until": [], "max_gen_toks": 12})) for prompt in prompts]
    assert open_scorer(copy, 4).generate_until(ask) == [free.tokenizer.decode(tokens) for tokens in expected]


def test_a_tokenizer_that_begins_every_text_does_so_here(copy):
    """Log-probabilities by hand: <s> before a prompt, before a text without a prompt, and once where the prompt has it."""
    from tokenizers import Tokenizer, processors

    from components.phi.checkpoint import load

    path = copy / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(path))
    ids = [tokenizer.encode(text).ids for text in (TEXT, " 10")]
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 384)])
    tokenizer.save(str(path))
    change(copy / "tokenizer_config.json", bos_token="<s>", eos_token="<|endoftext|>")
    scorer, model = open_scorer(copy, 4), load(copy)

    def by_hand(context, continuation):
        with torch.no_grad():
            logits = model.head(model.hidden(torch.tensor([context + continuation])))[0].double().log_softmax(-1)
        return sum(float(logits[len(context) + i - 1, token]) for i, token in enumerate(continuation))

    asked = [(TEXT, " 10"), ("", TEXT), (f"<s>{TEXT}", " 10"), ("", f"<s>{TEXT}")]
    context, answer = ids
    expected = [by_hand([384, *context], answer), by_hand([384], context), by_hand([384, *context], answer)]
    expected.append(by_hand([384], context))
    assert [p for p, _ in scorer.score_pairs(asked)] == pytest.approx(expected, abs=1e-4)
    (rolling,) = scorer.loglikelihood_rolling([SimpleNamespace(args=(TEXT,))])
    assert rolling == pytest.approx(by_hand([384], [384, *context]), abs=1e-4)  # HFLM's own double start


def test_without_a_start_token_texts_begin_after_the_end_token(copy):
    change(copy / "tokenizer_config.json", eos_token="</s>")
    scorer = open_scorer(copy, 4)
    assert scorer.prefix_token_id == scorer.eot_token_id == 385
    change(copy / "tokenizer_config.json", bos_token="<s>")
    assert open_scorer(copy, 4).prefix_token_id == 384


DECIDES = {
    "config.json": {"rope_theta": 5000.0, "rope_parameters": {"partial_rotary_factor": 0.5, "rope_theta": 5000.0}},
    "generation_config.json": {"eos_token_id": [0, 386]},
    "tokenizer_config.json": {"bos_token": "<s>"},
    "special_tokens_map.json": {"bos_token": "<s>"},
    "model.safetensors.index.json": {"weight_map": {}},
}


@pytest.mark.parametrize("name", [*DECIDES, "model.safetensors", "tokenizer.json", "lineage.json", "README.md"])
def test_stored_answers_are_those_of_every_file_that_decides_them(copy, exam, tmp_path, capsys, name):
    def reused():
        capsys.readouterr()
        benchmark(Job(copy, "exam", exam, journals=tmp_path / "journals"), tmp_path / "s", PARAMS)
        return "reused from an earlier run" in capsys.readouterr().out

    reused()
    assert reused()
    if name in DECIDES and name.endswith("index.json"):
        from safetensors import safe_open

        with safe_open(copy / "model.safetensors", "pt") as weights:
            change(copy / name, weight_map=dict.fromkeys(weights.keys(), "model.safetensors"))
    elif name in DECIDES:
        change(copy / name, **DECIDES[name])
    elif name == "model.safetensors":
        from components.phi.checkpoint import load, read_lineage, save

        model = load(copy)
        model.head.bias.data[3] += 0.5
        save(model, tmp_path / "other", copy, read_lineage(copy))
        shutil.copy(tmp_path / "other" / name, copy / name)
    elif name == "tokenizer.json":
        values = json.loads((copy / name).read_text())
        values["added_tokens"] = values["added_tokens"][:-1]
        (copy / name).write_text(json.dumps(values))
    else:
        (copy / name).write_text("{}")
    assert reused() == (name in ("lineage.json", "README.md"))
