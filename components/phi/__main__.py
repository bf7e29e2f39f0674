"""`python -m components.phi`: export a checkpoint for transformers, vLLM and llama.cpp's converter."""

from components.running.cli import Argument, Command, main


def megabytes(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError(text)
    return value


COMMAND = Command(
    step="phi",
    description="Export a checkpoint as a folder that transformers, vLLM and llama.cpp's converter can read.",
    run="components.phi.export:run",
    inputs=(
        Argument("checkpoint", "checkpoint to export"),
        Argument(
            "dtype",
            "data type of the stored weights",
            required=False,
            type=str,
            default="float32",
            choices=("float32", "bfloat16", "float16"),
        ),
        Argument(
            "max_shard_size", "maximum megabytes per file of weights", required=False, type=megabytes, default=5000
        ),
        Argument("license", "SPDX license name for the model card, if known", required=False, type=str),
        Argument(
            "chat_template",
            "Jinja file with the chat template to export, such as the checkpoint's own chat_template.jinja if "
            "you trust it (default: Phiforge's)",
            required=False,
        ),
    ),
    outputs=(Argument("output", "directory for the exported model", holds="lineage.json"),),
    tracked=False,
)

if __name__ == "__main__":
    main(COMMAND)
