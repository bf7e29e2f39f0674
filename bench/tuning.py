"""Fine-tuning with LoRA on the CPU: ours compared with trl alone; same checkpoint, rows, adapters, rate, schedule.

    python -m bench.tuning --model models/large --data rows.jsonl [--rows 400 2000] [--threads 1] [--rounds 3]

- `ours`: the whole `python -m components.tuning`: our loop and packing with peft's adapters
- `trl, as it comes`: `SFTTrainer` with the defaults of its SFTConfig
- `trl, best`: without recomputation, with as many rows per step as ours; float32, or bfloat16 by autocast

Each measurement is a process of its own that reads a prompt and completion per row (plain text) and trains for one epoch. The
CPU seconds per 1,000 rows are the slope between two numbers of rows, which leaves out imports and loading; those of the whole
process stand beside them. The loss is that of the answers' tokens on the rows after the last, under transformers with peft's
adapter as each system saved it.
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
RANK, ALPHA, RATE, TOKENS, TEST = 16, 32, 2e-3, 2048, 400
TARGETS = ["q_proj", "k_proj", "v_proj", "dense", "fc1", "fc2"]
PER_STEP = 72  # rows in 2,048 tokens of exercises
TRL: dict[str, dict[str, Any]] = {
    "trl, as it comes": {},
    "trl, best, float32": {"gradient_checkpointing": False, "bf16": False, "per_device_train_batch_size": PER_STEP},
    "trl, best, bfloat16": {"gradient_checkpointing": False, "bf16": True, "per_device_train_batch_size": PER_STEP},
}


def child(spec: Row) -> Row:
    """Train in this process; CPU seconds, and the loss on the test rows, which is not counted."""
    import time

    import torch

    import components  # noqa: F401  - sets up threads before torch

    torch.set_num_threads(spec["threads"])
    folder = Path(spec["folder"])
    adapter = ours(spec, folder) if spec["system"] == "ours" else theirs(spec, folder)
    seconds = time.process_time()
    return {"cpu": seconds, "loss": loss(spec, adapter)}


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
    for line in Path(spec["folder"], "test.jsonl").read_text(encoding="utf-8").splitlines():
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
    options.add_argument("--rows", type=int, nargs=2, default=[400, 2000], help="numbers of rows, the smaller first")
    options.add_argument("--systems", nargs="+", default=["ours", *TRL], help="what is measured")
    given = parse(options, child)
    report = Report("Fine-tuning", machine(given.threads))
    if reason := missing_peer("trl"):
        report.note(reason)
        given.systems = ["ours"]
    with open(given.data, encoding="utf-8") as file:
        lines = [plain(line) for line in islice(file, max(given.rows) + TEST)]
    found: dict[str, dict[int, list[Row]]] = {name: {rows: [] for rows in given.rows} for name in given.systems}
    for _ in range(given.rounds):
        for rows in given.rows:
            for name in given.systems:
                with tempfile.TemporaryDirectory() as folder:
                    Path(folder, "rows.jsonl").write_text("".join(lines[:rows]), encoding="utf-8")
                    Path(folder, "test.jsonl").write_text("".join(lines[-TEST:]), encoding="utf-8")
                    spec = {"system": name, "model": str(given.model), "folder": folder, "threads": given.threads}
                    found[name][rows].append(in_a_process(MODULE, spec, OMP_NUM_THREADS=str(given.threads)))
    few, many = given.rows
    slopes = {
        name: [1000 * (b["cpu"] - a["cpu"]) / (many - few) for a, b in zip(by_rows[few], by_rows[many], strict=True)]
        for name, by_rows in found.items()
    }
    table = [
        [
            name,
            statistics.median(slopes[name]),
            statistics.median(theirs / own for own, theirs in zip(slopes["ours"], slopes[name], strict=True)),
            statistics.median(row["cpu"] for row in by_rows[many]),
            statistics.median(row["loss"] for row in by_rows[many]),
        ]
        for name, by_rows in found.items()
    ]
    columns = ["", "CPU s per 1,000 rows", "times ours", f"whole process, {many:,} rows", "loss on other rows"]
    report.table("LoRA, answers only, one epoch; medians", columns, table)
    report.measurements = {
        name: {str(rows): list_ for rows, list_ in by_rows.items()} for name, by_rows in found.items()
    }
    return report.finish(given)


if __name__ == "__main__":
    sys.exit(main())
