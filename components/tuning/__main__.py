"""`python -m components.tuning`: fine-tune a checkpoint on answers, preferences, or text to unlearn."""

from components.running.cli import ANYTHING, Argument, Command, main

COMMAND = Command(
    step="tuning",
    description="Fine-tune a checkpoint on JSONL rows: answers (sft), preferences (dpo), or text to unlearn (npo, gradient_difference).",
    run="components.tuning.tune:run",
    inputs=(
        Argument("model", "checkpoint to tune"),
        Argument(
            "data",
            "JSONL files with messages, or prompt and completion; for dpo with prompt, chosen and rejected",
            many=True,
        ),
        Argument("retain", "JSONL files with answers to retain, when unlearning", required=False, many=True),
        Argument("tokens", "tokens directory, whose held-out text shows what is forgotten", required=False),
    ),
    outputs=(
        Argument("output", "directory for the tuned checkpoint, with the adapter in adapter/", holds="lineage.json"),
        Argument("curves", "CSV for one row per validation", required=False),
        Argument(
            "state", "folder for the states for resuming (default .phiforge/tuning)", required=False, holds=ANYTHING
        ),
    ),
    sections=("seed", "training", "tuning"),
)

if __name__ == "__main__":
    main(COMMAND)
