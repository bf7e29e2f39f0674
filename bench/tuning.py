"""Fine-tuning with LoRA on the CPU: ours compared with trl alone; same checkpoint, rows, adapters, rate, schedule.

    python -m bench.tuning --model models/large --data rows.jsonl [--rows 1000] [--threads 1] [--rounds 3]

- `ours`: the whole step `components.tuning`: our loop and packing with peft's adapters
- `trl, as it comes`: `SFTTrainer` with the defaults of its SFTConfig
- `trl, best`: without recomputation, with as many rows per step as ours; float32, or bfloat16 by autocast

Each system has a process of its own, which reads a prompt and completion per row (plain text), trains for one epoch and saves the
adapter: once on a few rows, which is not counted and loads all libraries, then `--rounds` times on all. Times are CPU seconds of
the process, so that other load matters little. The loss is that of the answers' tokens on rows after the last, under
transformers with peft's adapter as each system saved it.
"""

import json
import statistics
import sys
import tempfile
from itertools import islice
from pathlib import Path
from typing import Any

from bench.common import Report, Row, in_a_process, machine, missing_peer, parse, parser

MODULE = "bench.tuning"
RANK, ALPHA, RATE, TOKENS = 16, 32, 2e-3, 2048
WARM, TEST = 40, 400  # rows
TARGETS = ["q_proj", "k_proj", "v_proj", "dense", "fc1", "fc2"]
PER_STEP = 72  # rows in 2,048 tokens of exercises
TRL: dict[str, dict[str, Any]] = {
    "trl, as it comes": {},
    "trl, best, float32": {"gradient_checkpointing": False, "bf16": False, "per_device_train_batch_size": PER_STEP},
    "trl, best, bfloat16": {"gradient_checkpointing": False, "bf16": True, "per_device_train_batch_size": PER_STEP},
}


def child(spec: Row) -> Row:
    """Train in this process; CPU seconds of each round, and the loss on the test rows, which is not counted."""
    import time

    import torch

    import components  # noqa: F401  - sets up threads before torch

    torch.set_num_threads(spec["threads"])
    seconds, train = [], ours if spec["system"] == "ours" else theirs
    rows = Path(spec["rows"]).read_text(encoding="utf-8").splitlines(keepends=True)
    for some in [rows[:WARM], *[rows] * spec["rounds"]]:
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "rows.jsonl").write_text("".join(some), encoding="utf-8")
            before = time.process_time()
            adapter = train(spec, Path(folder))
            seconds.append(time.process_time() - before)
            found = loss(spec, adapter) if len(seconds) > spec["rounds"] else 0.0
    return {"cpu": seconds[1:], "loss": found}


def ours(spec: Row, folder: Path) -> Path:
    from components.params import Params
    from components.tracking import Tracker
    from components.tuning import tune

    training = {"threads": spec["threads"], "validations": 1}
    tuning = {"rank": RANK, "alpha": ALPHA, "targets": TARGETS, "learning_rate": RATE, "batch_tokens": TOKENS}
    params = Params.model_validate({"training": training, "tuning": tuning | {"template": "plain", "held_out": 0}})
    inputs = {"model": Path(spec["model"]), "data": [folder / "rows.jsonl"]}
    tune.run(inputs, {"output": folder / "ours", "state": folder / "states"}, params, Tracker())
    return folder / "ours" / "adapter"


def theirs(spec: Row, folder: Path) -> Path:
    from datasets import Dataset
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    settings = SFTConfig(
        output_dir=str(folder / "trl"),
        use_cpu=True,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        num_train_epochs=1,
        learning_rate=RATE,
        lr_scheduler_type="cosine",
        warmup_steps=0.05,
        **TRL[spec["system"]],
    )
    lora = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=TARGETS, task_type="CAUSAL_LM")
    trainer = SFTTrainer(spec["model"], args=settings, train_dataset=Dataset.from_list(rows), peft_config=lora)
    trainer.train()
    trainer.save_model(str(folder / "trl" / "adapter"))
    return folder / "trl" / "adapter"


def loss(spec: Row, adapter: Path) -> float:
    """Mean cross-entropy of the answers' tokens of the test rows."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = AutoModelForCausalLM.from_pretrained(spec["model"], trust_remote_code=False, dtype=torch.float32)
    model = PeftModel.from_pretrained(base, adapter, trust_remote_code=False).eval()
    tokenizer = AutoTokenizer.from_pretrained(spec["model"], trust_remote_code=False)
    total = count = 0.0
    for line in Path(spec["test"]).read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        prompt = tokenizer(row["prompt"], add_special_tokens=False)["input_ids"]
        answer = [*tokenizer(row["completion"], add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        with torch.no_grad():
            logits = model(torch.tensor([[*prompt, *answer]])).logits[0, len(prompt) - 1 : -1]
        total += float(torch.nn.functional.cross_entropy(logits, torch.tensor(answer), reduction="sum"))
        count += len(answer)
    return total / count


def plain(line: str) -> str:
    """A row of exercises in the form of the exam, as text."""
    row = json.loads(line)
    return json.dumps({"prompt": f"Question: {row['prompt']}\nAnswer:", "completion": f" {row['completion']}"}) + "\n"


def main() -> int:
    options = parser(__doc__, threads=1, rounds=3)
    options.add_argument("--model", type=Path, default=Path("models/large"), help="checkpoint to tune")
    options.add_argument(
        "--data", type=Path, default=Path("data/tuning/rows.jsonl"), help="JSONL rows with prompt and completion"
    )
    options.add_argument("--rows", type=int, default=1000, help="number of rows")
    options.add_argument("--systems", nargs="+", default=["ours", *TRL], help="what is measured")
    given = parse(options, child)
    report = Report("Fine-tuning", machine(given.threads))
    if reason := missing_peer("trl"):
        report.note(reason)
        given.systems = ["ours"]
    with open(given.data, encoding="utf-8") as file:
        lines = [plain(line) for line in islice(file, given.rows + TEST)]
    found: dict[str, Row] = {}
    with tempfile.TemporaryDirectory() as folder:
        rows, test = Path(folder, "rows.jsonl"), Path(folder, "test.jsonl")
        rows.write_text("".join(lines[: given.rows]), encoding="utf-8")
        test.write_text("".join(lines[given.rows :]), encoding="utf-8")
        for name in given.systems:
            spec = {"system": name, "model": str(given.model), "rows": str(rows), "test": str(test)}
            spec |= {"threads": given.threads, "rounds": given.rounds}
            found[name] = in_a_process(MODULE, spec, OMP_NUM_THREADS=str(given.threads))
    each = {name: 1000 / given.rows * statistics.median(row["cpu"]) for name, row in found.items()}
    table = [[name, each[name], each[name] / each["ours"], row["loss"]] for name, row in found.items()]
    columns = ["", "CPU s per 1,000 rows", "times ours", "loss on other rows"]
    report.table("LoRA, answers only, one epoch; medians", columns, table)
    report.measurements = found
    return report.finish(given)


if __name__ == "__main__":
    sys.exit(main())
