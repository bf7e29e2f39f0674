"""The model card of an exported checkpoint: the model's shape, its training data, and commands for other tools."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from components.order import initial_lineage
from components.phi.model import PhiConfig
from components.results.tables import escape_markdown, markdown_table

# llama.cpp's names of ways to split text into words, by the pattern in tokenizer.json: two spellings of Qwen2's.
LLAMA_CPP_SPLITS = {
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+": "qwen2",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+": "qwen2",
}
FOLDER = "FOLDER"  # placeholder for the exported folder in a card, which has no paths
GGUF, MODELFILE = "model.gguf", "Modelfile"  # the converted model beside it, and Ollama's file
MOST = 1e100  # a larger number in a lineage is a mistake or an attack, and an integer may be too large for a float
SHAPE = (
    ("blocks", "num_hidden_layers"),
    ("width", "hidden_size"),
    ("feed-forward width", "intermediate_size"),
    ("attention heads", "num_attention_heads"),
    ("positions", "max_position_embeddings"),
    ("vocabulary", "vocab_size"),
)


def model_card(
    config: PhiConfig, lineage: Mapping[str, Any], pre_tokenizer: Any, dtype: str, license: str | None
) -> str:
    """The card as Markdown, with the front matter of the Hugging Face hub.

    Args:
        lineage: the checkpoint's lineage; unknown facts are left out.
        pre_tokenizer: that of tokenizer.json, which decides whether llama.cpp supports it.
        dtype: data type of the stored weights.
        license: SPDX name, or None.
    """
    front = {"library_name": "transformers", "pipeline_tag": "text-generation", "tags": ["phi"]}
    if license:
        front["license"] = license
    lines = ["---", *(f"{key}: {json.dumps(value)}" for key, value in sorted(front.items())), "---", ""]
    lines += ["# A Phi language model", "", *_about(config, dtype, license, lineage.get("step") == "tuning"), ""]
    lines += ["## Training", "", *_training(lineage), ""]
    lines += ["## Use", "", *_use(config), "", "### llama.cpp", "", *_llama_cpp(config, pre_tokenizer), ""]
    return "\n".join(lines)


def _about(config: PhiConfig, dtype: str, license: str | None, tuned: bool) -> list[str]:
    values = config.to_hf()
    trained = (
        "Fine-tuned, as described below; it"
        if tuned
        else "Pre-trained only: it continues text, has had no instruction tuning and no safety training, and"
    )
    lines = [
        "A decoder-only transformer of the Phi architecture: attention and feed-forward in parallel behind one LayerNorm, "
        "rotary positions on a part of each head, an untied output head. "
        f"{trained} often writes false statements.",
        "",
        "| | |",
        "|---|---|",
        f"| parameters | {config.parameter_count():,} |",
        *(f"| {label} | {values[key]:,} |" for label, key in SHAPE),
        f"| rotary dimensions per head | {config.rotary_dims} of {config.head_dim} |",
        f"| stored as | {dtype} |",
    ]
    if not license:
        lines += [
            "",
            "No license is stated here; the licenses of the training data decide what the model may be used for.",
        ]
    return lines


def _training(lineage: Mapping[str, Any]) -> list[str]:
    """Metrics of the checkpoint's training and of its start, and its data by kind."""
    lines: list[str] = []
    chain: Any = lineage
    while isinstance(chain, Mapping) and chain:
        lines.append(f"- {_stage(chain)}")
        chain = initial_lineage(chain)
    if not lines:
        return ["The checkpoint has no lineage, so its training is unknown."]
    return lines + _data(lineage if "by_kind" in lineage else initial_lineage(lineage))


def _data(lineage: Mapping[str, Any]) -> list[str]:
    """The content of the tokens, and how much of each kind the last training run read."""
    by_kind, read = lineage.get("by_kind"), lineage.get("tokens_read_by_kind")
    if not isinstance(by_kind, Mapping):
        return []
    counted = [(kind, row) for kind, row in sorted(by_kind.items()) if isinstance(row, Mapping)]
    rows = [[kind, _count(row.get("documents")), _count(row.get("tokens"))] for kind, row in counted]
    if not rows:
        return []
    head = ["training data", "documents", "tokens"]
    if isinstance(read, Mapping):
        head.append("read in training")
        rows = [[*row, _count(read.get(row[0], 0))] for row in rows]
    return ["", *markdown_table(head, rows).splitlines()]


def _count(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else "unknown"


def _stage(lineage: Mapping[str, Any]) -> str:
    """One step of the lineage in one line."""
    if lineage.get("step") == "transfer":
        return f"grown from a smaller checkpoint, operator {escape_markdown(str(lineage.get('operator')))}"
    facts = []
    for key, words in (
        ("training_tokens", "{:,} tokens"),
        ("steps", "{:,} steps"),
        ("flops", "{:.3g} training FLOPs"),
        ("validation_loss", "validation loss {:.4f} nats per token"),
        ("seed", "seed {}"),
    ):
        if isinstance(value := lineage.get(key), int | float) and abs(value) < MOST:
            facts.append(words.format(value))
    if lineage.get("step") == "tuning":
        tuning = lineage.get("tuning") or {}
        how = escape_markdown(", ".join(str(tuning.get(key)) for key in ("objective", "method") if tuning.get(key)))
        return f"fine-tuned ({how or 'adapter merged'})" + (f": {', '.join(facts)}" if facts else "")
    start = "a checkpoint" if lineage.get("initial") else "random weights"
    return f"trained from {start}" + (f": {', '.join(facts)}" if facts else "")


def _use(config: PhiConfig) -> list[str]:
    return f"""\
```python
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("{FOLDER}")
model = AutoModelForCausalLM.from_pretrained("{FOLDER}")
inputs = tokenizer("def add(a, b):", return_tensors="pt")
print(tokenizer.decode(model.generate(**inputs, max_new_tokens=32)[0]))
```

Prompt and answer together have {config.max_position_embeddings:,} positions. As a server with OpenAI's interface
(`/v1/completions`, and `/v1/chat/completions` through a template that writes a question and `Answer:`):

```sh
transformers serve {FOLDER} --host 127.0.0.1 --port 8000   # pip install "transformers[serving]"
{vllm_command(config, FOLDER)}
```""".splitlines()


def vllm_command(config: PhiConfig, folder: str) -> str:
    return f"vllm serve {folder} --host 127.0.0.1 --max-model-len {config.max_position_embeddings}"


def _llama_cpp(config: PhiConfig, pre_tokenizer: Any) -> list[str]:
    problems = llama_cpp_problems(config)
    if problems:
        return ["Its converter (`Phi2Model`) cannot convert this shape:", "", *(f"- {problem}" for problem in problems)]
    split = llama_cpp_split(pre_tokenizer)
    if not split:
        return [
            "The shape can be converted, but the way in which the tokenizer splits text is unknown here; see "
            "`get_vocab_base_pre` in the converter before trusting the converted model's tokens."
        ]
    known = "splits text as GPT-2's" if split == "gpt-2" else f"splits text as its `{split}`"
    return f"""\
The converter recognizes tokenizers by a hash of the tokens of a sample text, and stops at an unknown one
("BPE pre-tokenizer was not recognized"). This one {known}, so name that. Run this in llama.cpp's folder:

```sh
{llama_cpp_commands(split, FOLDER)}
```

### Ollama

It reads the converted model by the `Modelfile` beside it:

```sh
{ollama_commands(FOLDER)}
```""".splitlines()


def llama_cpp_commands(split: str, folder: str) -> str:
    """Commands that convert an exported folder for llama.cpp and talk to it, run in llama.cpp's folder."""
    return f"""\
python - {folder} --outfile {folder}/{GGUF} <<'END'
import runpy, sys
sys.path.insert(0, "gguf-py")
from conversion.base import TextModel
TextModel.get_vocab_base_pre = lambda self, tokenizer: "{split}"
sys.argv[0] = "convert_hf_to_gguf.py"
runpy.run_path(sys.argv[0], run_name="__main__")
END
llama-completion -m {folder}/{GGUF} -p "def add(a, b):" -n 64 --temp 0.7 -no-cnv
llama-cli -m {folder}/{GGUF} --temp 0.7   # chat"""


def ollama_commands(folder: str) -> str:
    return f"ollama create phiforge -f {folder}/{MODELFILE}\nollama run phiforge"


def modelfile(config: PhiConfig, asks_questions: bool, stops: Sequence[str | None] = ()) -> str:
    """The file that Ollama needs beside a converted model.

    Args:
        asks_questions: whether the chat template is the one that export writes; otherwise Ollama uses the converted
            model's own.
        stops: further tokens that end an answer.
    """
    lines = [f"FROM ./{GGUF}", f"PARAMETER num_ctx {config.max_position_embeddings}"]
    lines += [f"PARAMETER stop {json.dumps(stop, ensure_ascii=False)}" for stop in stops if stop]
    if asks_questions:
        lines += ['PARAMETER stop "Question:"', 'TEMPLATE """{{ if .System }}{{ .System }}', ""]
        lines += ["{{ end }}Question: {{ .Prompt }}", 'Answer:"""']
    return "\n".join(lines) + "\n"


def other_tools(config: PhiConfig, pre_tokenizer: Any, folder: str) -> list[tuple[str, str]]:
    """Tools for an exported folder, each with its commands, or the reason why it cannot read it."""
    vllm = ("vLLM", vllm_command(config, folder))
    split, problems = llama_cpp_split(pre_tokenizer), llama_cpp_problems(config)
    if problems:
        return [vllm, ("llama.cpp and Ollama", f"not this shape: {'; '.join(problems)}")]
    if not split:
        unknown = f"see {folder}/README.md: their names for this tokenizer are unknown"
        return [vllm, ("llama.cpp and Ollama", unknown)]
    llama_cpp = ("llama.cpp (from its folder)", llama_cpp_commands(split, folder))
    return [vllm, llama_cpp, ("Ollama (after that)", ollama_commands(folder))]


def llama_cpp_problems(config: PhiConfig) -> list[str]:
    """Assumptions of llama.cpp's converter that this Phi does not meet."""
    problems = []
    if config.intermediate_size != 4 * config.hidden_size:
        problems.append(
            f"it assumes a feed-forward width of 4 times the width; here it is {config.intermediate_size:,} for "
            f"{config.hidden_size:,}"
        )
    if config.rope_theta != 10_000:
        problems.append(f"it assumes 10,000 as the base of the rotary frequencies; here it is {config.rope_theta:,g}")
    return problems


def llama_cpp_split(pre_tokenizer: Any) -> str | None:
    """llama.cpp's name for the way in which a byte-level tokenizer splits text, or None if unknown."""
    parts = pre_tokenizer.get("pretokenizers", [pre_tokenizer]) if isinstance(pre_tokenizer, Mapping) else []
    patterns = [part.get("pattern", {}).get("Regex") for part in parts if part.get("type") == "Split"]
    byte_level = [part for part in parts if part.get("type") == "ByteLevel"]
    if len(parts) == 1 and byte_level and byte_level[0].get("use_regex", True):
        return "gpt-2"
    if len(parts) == 2 and byte_level and not byte_level[0].get("use_regex", True) and patterns:
        return LLAMA_CPP_SPLITS.get(patterns[0])
    return None
