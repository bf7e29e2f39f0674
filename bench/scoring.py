"""Our scorer compared with lm-eval's HFLM: CPU time of the same requests in the same process, and a check of the answers.

    python -m bench.scoring --data-dir ../shared/data/benchmarks [--threads 1] [--rounds 3]

A Phi of 29 million random parameters, with a vocabulary of 51,200 and a context of 2,048, answers lm-eval's own requests in
both:

* 5-shot: `--questions` questions of MMLU from each of four subjects, with four choices.
* 0-shot: four times `--questions` questions of each of ARC-Easy, PIQA and BoolQ.

HFLM has the fastest of three batch sizes on a part of the requests; ours has its default. Requests are built beforehand, once
for both; the measured time goes from there to the log-probabilities, including tokenization. The two take turns, and a ratio is the
median over rounds.

Request building: lm-eval's own, and with prompt templates compiled once, as in components.benchmarking. The prompts must be
equal.
"""

import argparse
import contextlib
import itertools
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from bench.common import Report, in_turn, machine, parser, rate_rows
from components.errors import StepError

SUBJECTS = ("anatomy", "high_school_physics", "philosophy", "world_religions")
ZERO_SHOT = ("arc_easy", "piqa", "boolq")
TARGETS = {"5-shot": 7.0, "0-shot": 3.0, "building": 20.0}
BATCHES = (1, 8, 32)
VOCABULARY = 51_200
CONTENDER_BATCH = 32  # ours, as in params.yaml


def checkpoint(folder: Path, texts: list[str], shape: tuple[int, ...]) -> Path:
    """A random Phi with a tokenizer that was trained on the questions."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    from components.phi.checkpoint import save
    from components.phi.model import Phi, PhiConfig

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=min(16_384, shape[0]),
        special_tokens=["<|endoftext|>"],
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    (folder / "tokenizer").mkdir()
    tokenizer.save(str(folder / "tokenizer" / "tokenizer.json"))
    config = PhiConfig(*shape, max_position_embeddings=2048, initializer_range=0.05)
    save(Phi(config).initialize(1), folder / "model", folder / "tokenizer", {})
    return folder / "model"


def contenders(model: Path) -> tuple[Callable[[int], Any], Any]:
    """(HFLM by batch size, ours), over the same weights and tokenizer."""
    from lm_eval.models.huggingface import HFLM
    from tokenizers import Tokenizer
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

    from components.benchmarking.checkpoint import open_scorer

    loaded = AutoModelForCausalLM.from_pretrained(model, trust_remote_code=False)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_file(str(model / "tokenizer.json")), eos_token="<|endoftext|>"
    )

    def hflm(batch_size: int) -> Any:
        return HFLM(pretrained=loaded, tokenizer=tokenizer, batch_size=batch_size, softmax_dtype="float32")

    return hflm, open_scorer(model, CONTENDER_BATCH)


def built(data_dir: Path, names: tuple[str, ...], questions: int) -> dict[str, Any]:
    """lm-eval's tasks of the phi2 suite over the first questions."""
    from dataclasses import replace

    from components.benchmarking.data import Place
    from components.benchmarking.suites import plan
    from components.benchmarking.tasks import build_tasks

    try:
        tasks = [task for task in plan("phi2", Place(data_dir)).tasks if task.name in names]
    except StepError as error:
        sys.exit(str(error))
    missing = sorted(set(names) - {task.name for task in tasks})
    if missing:
        sys.exit(f"no data for {', '.join(missing)} in {data_dir}; its layout is in docs/benchmarking.md")
    return build_tasks([replace(t, splits=t.splits | {t.asked: t.rows[:questions]}) for t in tasks])


def build_requests(tasks: dict[str, Any]) -> list[Any]:
    for task in tasks.values():
        task._instances = None
        task.build_all_requests(rank=0, world_size=1)
    return [instance for task in tasks.values() for instance in task.instances]


@contextlib.contextmanager
def lm_eval_unchanged() -> Iterator[None]:
    """Prompt templates compiled for each row and rendered in this process, as in lm-eval without our changes."""
    from lm_eval import utils

    ours = utils.apply_template
    utils.apply_template = lambda template, doc: utils.env.from_string(template).render(**doc)
    try:
        yield
    finally:
        utils.apply_template = ours


def measure_building(report: Report, data_dir: Path, questions: int, rounds: int) -> None:
    tasks = built(data_dir, tuple(f"mmlu_{subject}" for subject in SUBJECTS), questions)

    def build(templates: contextlib.AbstractContextManager[None]) -> list[Any]:
        with templates:
            return [request.args for request in build_requests(tasks)]

    ways = {"ours": lambda: build(contextlib.nullcontext()), "lm-eval": lambda: build(lm_eval_unchanged())}
    seconds, prompts = in_turn(ways, rounds)
    assert prompts["lm-eval"] == prompts["ours"], "the prompts differ"
    count = len(prompts["ours"])
    rates = rate_rows(seconds, count)
    columns = ["who", "requests per CPU second", "ours is x"]
    rows = [[who, *rate] for who, rate in rates.items()]
    report.table(f"Building {count} requests of 5-shot MMLU, prompts equal", columns, rows)
    report.target("request building, times faster", rates["lm-eval"][1], TARGETS["building"])


def fastest_batch(hflm: Callable[[int], Any], requests: list[Any]) -> int:
    part = requests[:: max(1, len(requests) // 32)]
    ways = {str(size): partial(hflm(size).loglikelihood, part, disable_tqdm=True) for size in BATCHES}
    seconds, _ = in_turn(ways, 1)
    return int(min(seconds, key=seconds.__getitem__))


def measure_scoring(
    report: Report, name: str, requests: list[Any], hflm: Callable[[int], Any], ours: Any, rounds: int
) -> None:
    size = fastest_batch(hflm, requests)
    models = {"ours": ours, "HFLM": hflm(size)}
    ways = {who: partial(model.loglikelihood, requests, disable_tqdm=True) for who, model in models.items()}
    seconds, answers = in_turn(ways, rounds)
    worst = max(abs(p - q) for (p, _), (q, _) in zip(*answers.values(), strict=True))
    rates = rate_rows(seconds, len(requests))
    rows = [[who, batch, *rates[who]] for who, batch in (("HFLM", size), ("ours", CONTENDER_BATCH))]
    columns = ["who", "batch size", "requests per CPU second", "ours is x"]
    report.table(f"{name}, {len(requests)} requests, log-probabilities equal to {worst:.0e}", columns, rows)
    report.target(f"{name} scoring, times faster", rates["HFLM"][1], TARGETS[name])
    if worst > 1e-4:
        report.note(f"{name}: log-probabilities differ by {worst:.2e}")


def main() -> None:
    made = parser(__doc__, threads=1, rounds=3)
    made.add_argument("--data-dir", type=Path, required=True, help="folder of the benchmarks' data")
    made.add_argument("--questions", type=int, default=12, help="questions per subject")
    made.add_argument("--width", type=int, default=256, help=argparse.SUPPRESS)  # smaller: for a test of the script
    made.add_argument("--vocabulary", type=int, default=VOCABULARY, help=argparse.SUPPRESS)
    arguments = made.parse_args()
    from components.benchmarking.data import Place, offline
    from components.phi.machine import prepare

    offline(Place())
    prepare(arguments.threads)  # the allocator too, for both
    settings = machine(arguments.threads) | {"rounds": arguments.rounds, "times": "CPU seconds"}
    report = Report("Scoring multiple choice", settings)
    few = built(arguments.data_dir, tuple(f"mmlu_{subject}" for subject in SUBJECTS), arguments.questions)
    none = built(arguments.data_dir, ZERO_SHOT, 4 * arguments.questions)
    requests = {"5-shot": build_requests(few), "0-shot": build_requests(none)}
    texts = list(itertools.chain.from_iterable(request.args for every in requests.values() for request in every))
    shape = (arguments.vocabulary, arguments.width, 4 * arguments.width, 4, 4)
    with tempfile.TemporaryDirectory() as folder:
        hflm, ours = contenders(checkpoint(Path(folder), texts, shape))
    report.note(f"{hflm(1).model.num_parameters():,} parameters, vocabulary {arguments.vocabulary:,}")
    measure_building(report, arguments.data_dir, 8 * arguments.questions, arguments.rounds)
    for name, every in requests.items():
        measure_scoring(report, name, every, hflm, ours, arguments.rounds)
    sys.exit(report.finish(arguments))


if __name__ == "__main__":
    main()
