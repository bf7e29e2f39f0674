"""Exports a checkpoint to a folder that AutoModelForCausalLM, `transformers serve`, vLLM and llama.cpp's converter read.

config.json  generation_config.json  model.safetensors, or its shards and their index
tokenizer.json  tokenizer_config.json (with a chat template) ...  README.md (model card)  lineage.json
"""

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.errors import StepError
from components.files import atomic_directory, write_json
from components.foreign.templates import render_chat
from components.foreign.tokenizer_files import CONFIG, ROLES, copy_tokenizer
from components.phi import checkpoint
from components.phi.card import MODELFILE, model_card, modelfile, other_tools
from components.phi.model import PhiConfig
from components.phi.template import QUESTIONS, read_template
from components.phi.weights import CheckpointWeights, write_state

NEW_TOKENS = 256  # default number of tokens to generate, if the model has the positions
# Chat in the form of the exercises, the only dialogue that a model without instruction tuning knows.
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'user' -%}{{ 'Question: ' + message['content'] + '\\nAnswer:' }}"
    "{%- elif message['role'] == 'assistant' -%}{{ ' ' + message['content'] + '\\n\\n' }}"
    "{%- else -%}{{ message['content'] + '\\n\\n' }}{%- endif -%}"
    "{%- endfor -%}"
)


def run(inputs: dict[str, Any], outputs: dict[str, Path], params: Any, tracker: Any) -> dict[str, Any]:
    """The command `components.phi`: see `export`. Prints how to use the folder."""
    output = outputs["output"]
    done = export(
        inputs["checkpoint"],
        output,
        inputs["dtype"],
        inputs["max_shard_size"] * 10**6,
        inputs["license"],
        inputs["chat_template"],
    )
    print(next_steps(output), flush=True)
    return done


def next_steps(output: Path) -> str:
    """Commands for an exported folder, with absolute paths, since other tools run in other folders."""
    folder = shlex.quote(str(output.resolve()))
    split = checkpoint.read_json(output / "tokenizer.json").get("pre_tokenizer")
    steps = [
        ("Talk to it", f"make chat ARGS={shlex.quote(folder)}"),
        ("Serve it (OpenAI's interface, this machine only)", f"make chat ARGS={shlex.quote(f'{folder} --serve')}"),
        *other_tools(checkpoint.read_config(output), split, folder),
    ]
    return "\n".join(f"{title}:\n{commands}\n" for title, commands in steps)


def export(
    source: Path,
    output: Path,
    dtype: str = "float32",
    max_shard_bytes: int | None = None,
    license: str | None = None,
    chat_template: Path | None = None,
) -> dict[str, Any]:
    """Write the exported folder, completely or not at all; returns a summary of its content.

    Args:
        source: a checkpoint with its tokenizer.
        dtype: data type of the stored weights: "float32", "bfloat16" or "float16".
        max_shard_bytes: maximum size of a file of weights; None writes one file.
        license: SPDX name for the model card; None if unknown.
        chat_template: file with the chat template to export; None for ours, a tuned checkpoint's for one that was tuned
            with it. Another template of the checkpoint is a program, so it is copied only if it is named here.

    Raises:
        StepError: the checkpoint cannot be read, a weight is too large for float16, the tokenizer is missing or has more
            entries than the model, or the chat template cannot be rendered.
    """
    config = checkpoint.read_config(source)
    tokenizer = checkpoint.load_tokenizer(source)
    checkpoint.check_tokenizer(config, tokenizer, source)
    weights, lineage = CheckpointWeights(source, config), checkpoint.read_lineage(source)
    with atomic_directory(output) as folder:
        ends = checkpoint.read_end_tokens(source, config)
        given = checkpoint.read_json(Path(source) / "config.json").get("eos_token_id")
        several = {"eos_token_id": given} if isinstance(given, list) and len(given) > 1 else {}
        write_json(folder / "config.json", config.to_hf(dtype) | several)
        write_json(folder / checkpoint.GENERATION, generation_config(config, ends))
        write_state(config, weights, folder, checkpoint.DTYPES[dtype], max_shard_bytes)
        copy_tokenizer(source, folder)
        own = QUESTIONS if read_template(Path(source)) == QUESTIONS else CHAT_TEMPLATE
        write_json(folder / CONFIG, tokenizer_config(folder, config, tokenizer, chat_template, own))
        write_json(folder / "lineage.json", lineage)
        split = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8")).get("pre_tokenizer")
        card = model_card(config, lineage, split, dtype, license)
        (folder / "README.md").write_text(card, encoding="utf-8")
        asks_questions = chat_template is None
        # Ollama ends an answer at the tokenizer's own end of text only.
        stops = [tokenizer.id_to_token(end) for end in ends if end != config.eos_token_id]
        (folder / MODELFILE).write_text(modelfile(config, asks_questions, stops), encoding="utf-8")
        files = sorted(path.name for path in folder.iterdir())
        size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    return {"parameters": config.parameter_count(), "dtype": dtype, "weights_bytes": size, "files": files}


def generation_config(config: PhiConfig, end_tokens: tuple[int, ...]) -> dict[str, Any]:
    """generation_config.json: greedy decoding of limited length, at most half of the model's positions."""
    eos = config.eos_token_id
    return {
        "bos_token_id": eos,
        "eos_token_id": end_tokens[0] if len(end_tokens) == 1 else list(end_tokens),
        "pad_token_id": eos,
        "do_sample": False,
        "max_new_tokens": max(1, min(NEW_TOKENS, config.max_position_embeddings // 2)),
    }


def tokenizer_config(
    folder: Path, config: PhiConfig, tokenizer: Any, chat_template: Path | None = None, own: str = CHAT_TEMPLATE
) -> Mapping[str, Any]:
    """tokenizer_config.json with every role filled, the model's length and a chat template."""
    path = folder / CONFIG
    values = checkpoint.read_json(path) if path.is_file() else {}
    end = tokenizer.id_to_token(config.eos_token_id)
    if end is None:
        raise StepError(f"the model ends a text with token {config.eos_token_id}, which its tokenizer does not have")
    filled: dict[str, Any] = {
        f"{role}_token": values.get(f"{role}_token") or end for role in ("eos", "bos", "pad", "unk")
    }
    filled["tokenizer_class"] = values.get("tokenizer_class") or "PreTrainedTokenizerFast"
    filled["model_input_names"] = ["input_ids", "attention_mask"]  # generate() refuses token types
    filled["model_max_length"] = config.max_position_embeddings
    filled["chat_template"] = read_chat_template(chat_template, filled) if chat_template else own
    return values | filled


def read_chat_template(path: Path, roles: Mapping[str, Any]) -> str:
    """A chat template from a file, after a test that it renders a conversation.

    Args:
        roles: special tokens, which templates use.

    Raises:
        StepError: the template cannot be read or rendered.
    """
    from jinja2 import TemplateError

    tokens = {role: roles[role]["content"] if isinstance(roles[role], dict) else roles[role] for role in ROLES[:4]}
    try:
        template = path.read_text(encoding="utf-8")
        render_chat(template, [{"role": "user", "content": "Hello"}], tokens)
    except (OSError, UnicodeDecodeError, TemplateError) as error:
        raise StepError(
            f"--chat-template {path} cannot be rendered ({error}); correct it or leave the option out"
        ) from error
    return template
