"""On real data, with lm-eval's own prompts: what lm-eval's own HFLM gives, to 1e-4 a choice, and equal metrics."""

import gzip
import json
import logging
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
FILES = {  # definition of lm-eval: data, split, shots, changes of the definition that the local files need
    "piqa/piqa": ("piqa/validation", "validation", 0, {}),
    "winogrande/default": ("winogrande/validation", "validation", 0, {}),
    "arc/arc_easy": ("arc_easy/test", "test", 0, {}),
    "arc/arc_challenge": ("arc_challenge/test", "test", 0, {}),
    "siqa/siqa": ("siqa/validation", "validation", 0, {}),
    "openbookqa/openbookqa": ("openbookqa/test", "test", 0, {}),
    "super_glue/boolq/default": ("boolq/validation", "validation", 0, {"doc_to_target": "{{answer|int}}"}),
    "mmlu/default/mmlu_anatomy": ("mmlu/test", "test", 5, {}),
    "mmlu/default/mmlu_astronomy": ("mmlu/test", "test", 5, {}),
}


def rows(path):
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def build(data, limit):
    import lm_eval.tasks
    from datasets import Dataset
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.tasks._yaml_loader import load_yaml

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    tasks = {}
    for name, (file, split, shots, changes) in FILES.items():
        config = load_yaml(f"{lm_eval.tasks.__path__[0]}/{name}.yaml")
        subject = name.rpartition("mmlu_")[2] if "mmlu" in name else None
        splits = {split: rows(data / f"{file}.jsonl.gz")}
        if subject:
            splits["dev"] = rows(data / "mmlu/dev.jsonl.gz")
        kept = {
            key: Dataset.from_list([r for r in found if subject in (None, r.get("subject"))][:limit])
            for key, found in splits.items()
        }
        for key in ("tag", "dataset_path", "dataset_name", "training_split", "validation_split", "test_split"):
            config.pop(key, None)
        config |= changes | {"test_split": split, "num_fewshot": shots, "custom_dataset": lambda kept=kept, **_: kept}
        tasks[config["task"]] = ConfigurableTask(config=config)
    return tasks


@pytest.fixture(scope="module")
def model(shared_data, tmp_path_factory):
    """A Phi of 29 million random parameters, with a tokenizer that was trained on MMLU's questions."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    from components.phi.checkpoint import save
    from components.phi.model import Phi, PhiConfig

    folder = tmp_path_factory.mktemp("conformance")
    data = shared_data / "benchmarks"
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=8192, special_tokens=["<|endoftext|>"], show_progress=False)
    tokenizer.train_from_iterator((r["question"] for r in rows(data / "mmlu/test.jsonl.gz")[:3000]), trainer)
    (folder / "t").mkdir()
    tokenizer.save(str(folder / "t" / "tokenizer.json"))
    config = PhiConfig(51_200, 256, 1024, 4, 4, 2048, initializer_range=0.05)
    model = Phi(config).initialize(1)
    assert config.parameter_count() > 10_000_000
    save(model, folder / "m", folder / "t", {})
    return folder / "m"


def hflm(model, batch_size):
    from lm_eval.models.huggingface import HFLM
    from tokenizers import Tokenizer
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    return HFLM(
        pretrained=AutoModelForCausalLM.from_pretrained(model),
        tokenizer=PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>"),
        batch_size=batch_size,
        softmax_dtype="float32",
    )


def test_log_probabilities_and_metrics_are_those_of_hflm(shared_data, model):
    import torch

    from components.benchmarking.checkpoint import open_scorer
    from components.benchmarking.tasks import run_tasks

    torch.set_num_threads(1)
    data = shared_data / "benchmarks"
    limit = 6
    used = {}
    found = {}
    for name, lm in (("hflm", hflm(model, 8)), ("ours", open_scorer(model, 8))):
        tasks = build(data, limit)
        before = time.process_time()
        found[name] = run_tasks(lm, tasks, 0)
        used[name] = time.process_time() - before
    worst = 0.0
    for task, samples in found["hflm"]["samples"].items():
        for a, b in zip(samples, found["ours"]["samples"][task], strict=True):
            assert a["prompt_hash"] == b["prompt_hash"]
            for (p, greedy), (q, ours) in zip(a["filtered_resps"], b["filtered_resps"], strict=True):
                worst = max(worst, abs(p - q))
                assert greedy == ours
        assert found["hflm"]["results"][task] == found["ours"]["results"][task]
    print(f"\n{len(found['hflm']['samples'])} tasks, largest difference {worst:.2e}, CPU seconds {used}")
    assert worst < 1e-4


def test_continuations_are_those_of_hflm(shared_data, model):
    """Greedy text under a task's stop strings, one prompt at a time in HFLM, since its padding is not part of the question."""
    from dataclasses import replace

    from components.benchmarking.checkpoint import open_scorer
    from components.benchmarking.data import Place
    from components.benchmarking.programs import Judge
    from components.benchmarking.suites import plan
    from components.benchmarking.tasks import build_tasks

    names = ("bbh_navigate", "gsm8k", "squadv2", "humaneval", "mbpp")
    planned = [t for t in plan("phi2", Place(shared_data / "benchmarks")).tasks if t.name in names]
    tasks = build_tasks([replace(t, splits=t.splits | {t.asked: t.rows[:12]}) for t in planned], Judge(None))
    requests = []
    for task in tasks.values():
        task.build_all_requests(limit=3, rank=0, world_size=1)
        for instance in task.instances:
            instance.arguments[1]["max_gen_toks"] = 24
        requests += task.instances
    assert len(requests) == 15
    assert open_scorer(model, 4).generate_until(requests) == hflm(model, 1).generate_until(requests, disable_tqdm=True)


def test_the_suite_asks_what_the_harness_asks(shared_data):
    """The prompts of the suite's tasks, word by word those of lm-eval's definitions over the same rows."""
    from components.benchmarking.data import Place
    from components.benchmarking.suites import plan
    from components.benchmarking.tasks import build_tasks

    names = ("piqa", "winogrande", "arc_easy", "arc_challenge", "siqa", "openbookqa", "boolq")
    names += ("mmlu_anatomy", "mmlu_astronomy")
    planned = {task.name: task for task in plan("phi2", Place(shared_data / "benchmarks")).tasks}
    ours = build_tasks([planned[name] for name in names])
    for mine, theirs in zip(ours.values(), build(shared_data / "benchmarks", 5).values(), strict=True):
        for task in (mine, theirs):
            task.build_all_requests(limit=5, rank=0, world_size=1)
        assert [instance.args for instance in mine.instances] == [instance.args for instance in theirs.instances]
        assert len(mine.instances) >= 10


def test_forms_that_are_not_definitions_of_lm_eval_are_rated_as_hflm_rates_them(shared_data, model):
    """HellaSwag's cleaned rows, and both forms of OLMES with their five examples."""
    from components.benchmarking.checkpoint import open_scorer
    from components.benchmarking.data import Place
    from components.benchmarking.suites import plan
    from components.benchmarking.tasks import build_tasks, run_tasks

    place = Place(shared_data / "benchmarks")
    chosen = [task for task in plan("phi2", place).tasks if task.name == "hellaswag"]
    names = ("arc_easy_cloze", "arc_easy_letters", "winogrande_cloze", "winogrande_letters", "mmlu_anatomy_cloze")
    chosen += [task for task in plan("olmes", place).tasks if task.name in names]
    assert len(chosen) == 6
    theirs, ours = (run_tasks(lm, build_tasks(chosen), 3) for lm in (hflm(model, 8), open_scorer(model, 8)))
    for task, samples in theirs["samples"].items():
        for a, b in zip(samples, ours["samples"][task], strict=True):
            assert [p for p, _ in a["filtered_resps"]] == pytest.approx([p for p, _ in b["filtered_resps"]], abs=1e-4)
            assert a["prompt_hash"] == b["prompt_hash"]
        assert theirs["results"][task] == ours["results"][task]


def test_forty_tasks_beside_hflm(shared_data, model):
    command = [sys.executable, "-m", "bench.conformance", "--strict", "--limit", "1"]
    paths = ["--data-dir", str(shared_data / "benchmarks"), "--checkpoint", str(model)]
    done = subprocess.run(
        [*command, *paths], cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "40 tasks" in done.stdout


@pytest.mark.parametrize(
    ("settings", "begins"),
    [
        ({"bos_token": "<s>", "eos_token": "<|endoftext|>"}, False),
        ({"bos_token": "<s>", "eos_token": "<|endoftext|>"}, True),
        ({"bos_token": "<|endoftext|>", "eos_token": "</s>"}, False),
        ({"bos_token": "<s>", "eos_token": "<|endoftext|>", "add_bos_token": True}, False),
    ],
)
def test_tokens_that_begin_and_end_a_text_are_those_of_hflm(tmp_path, settings, begins):
    """With the tokenizer as transformers opens the checkpoint: several end tokens, and a tokenizer that begins each text."""
    from types import SimpleNamespace

    from lm_eval.models.huggingface import HFLM
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import AutoTokenizer, PhiForCausalLM

    from components.benchmarking.checkpoint import open_scorer
    from components.phi.checkpoint import save
    from components.phi.model import Phi, PhiConfig

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(["What is 3 + 7? It is 10."], trainer)
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in ("<s>", "</s>", *"BCDEFGHJKLMNOPQRS")])
    start = tokenizer.token_to_id("<s>")
    if begins:
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", start)])
    (tmp_path / "t").mkdir()
    tokenizer.save(str(tmp_path / "t" / "tokenizer.json"))
    settings = settings | {"tokenizer_class": "PreTrainedTokenizerFast"}
    (tmp_path / "t" / "tokenizer_config.json").write_text(json.dumps(settings))
    size = tokenizer.get_vocab_size()
    save(
        Phi(PhiConfig(size, 32, 64, 2, 2, 96, initializer_range=0.2)).initialize(2), tmp_path / "m", tmp_path / "t", {}
    )
    ends = [0, *(tokenizer.token_to_id(text) for text in "BCDEFGHJKLMNOPQRS")]
    (tmp_path / "m" / "generation_config.json").write_text(json.dumps({"eos_token_id": ends, "pad_token_id": 0}))
    loaded = PhiForCausalLM.from_pretrained(tmp_path / "m")
    theirs = HFLM(
        loaded, tokenizer=AutoTokenizer.from_pretrained(tmp_path / "m"), batch_size=1, softmax_dtype="float32"
    )
    ours = open_scorer(tmp_path / "m", 4)
    pairs = [("What is 3 + 7?", " 10"), ("", "It is 10."), ("It is ", "10"), ("<s>It", " is"), ("", "<s>It is")]
    asked = [SimpleNamespace(args=pair) for pair in pairs]
    # One at a time: its cache mixes up continuations of unequal length whose inputs are equal.
    expected, found = [theirs.loglikelihood([one], True)[0] for one in asked], ours.loglikelihood(asked)
    assert [p for p, _ in found] == pytest.approx([p for p, _ in expected], abs=1e-4)
    assert [greedy for _, greedy in found] == [greedy for _, greedy in expected]
    texts = [SimpleNamespace(args=(text,)) for text in ("It is 10.", "What " * 120)]
    assert ours.loglikelihood_rolling(texts) == pytest.approx(theirs.loglikelihood_rolling(texts, True), abs=1e-3)
    written = [SimpleNamespace(args=(text, {"until": [], "max_gen_toks": 20})) for text in ("It is", "What", "3 +")]
    assert ours.generate_until(written) == theirs.generate_until(written, True)
