"""The files of a tokenizer that may be copied to another folder.

Anybody may have made a tokenizer's folder. Only data is copied: vocabulary, merges, special tokens. References to code are
not: `auto_map`, a class that transformers does not have, a chat template (a program).
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.errors import StepError
from components.files import read_json, write_json
from components.foreign.confined import inside, open_inside

TOKENIZER, CONFIG = "tokenizer.json", "tokenizer_config.json"
ROLES = ("bos_token", "eos_token", "pad_token", "unk_token", "sep_token", "cls_token", "mask_token")
SPECIAL = frozenset({*ROLES, "additional_special_tokens", "extra_special_tokens"})
SETTINGS = SPECIAL | {
    "add_bos_token",
    "add_eos_token",
    "add_prefix_space",
    "added_tokens_decoder",
    "clean_up_tokenization_spaces",
    "errors",
    "model_input_names",
    "model_max_length",
    "padding_side",
    "split_special_tokens",
    "tokenizer_class",
    "trim_offsets",
    "truncation_side",
}
CLASSES = frozenset(  # classes of transformers that read tokenizer.json unchanged
    {
        "CodeGenTokenizer",
        "CodeGenTokenizerFast",
        "GPT2Tokenizer",
        "GPT2TokenizerFast",
        "PreTrainedTokenizerFast",
        "TokenizersBackend",
    }
)
UNCHANGED = (TOKENIZER, "vocab.json", "merges.txt", "added_tokens.json")


def copy_tokenizer(source: Path, target: Path) -> None:
    """Copy the allowed files of a tokenizer.

    Raises:
        StepError: `source` has no tokenizer.json, a file is a link that leads out of it, or a settings file is not a JSON object.
        OSError: a file cannot be read, or became such a link meanwhile.
    """
    if not (source / TOKENIZER).is_file():
        raise StepError(f"{source} has no tokenizer.json; expected the folder of a fast tokenizer")
    for name in UNCHANGED:
        if (path := inside(source, name, str(source))).is_file():
            with open_inside(path, source) as file, open(target / name, "wb") as copy:
                shutil.copyfileobj(file, copy)
    for name, keys in ((CONFIG, SETTINGS), ("special_tokens_map.json", SPECIAL)):
        if (path := inside(source, name, str(source))).is_file():
            values = read_json(path, "expected the folder of a tokenizer", "copy it again")
            write_json(target / name, safe_settings(values, keys))


def safe_settings(values: Mapping[str, Any], keys: frozenset[str] = SETTINGS) -> dict[str, Any]:
    """The settings of a tokenizer without references to code."""
    kept = {key: value for key, value in values.items() if key in keys}
    named = kept.get("tokenizer_class")
    if not isinstance(named, str) or named not in CLASSES:
        kept.pop("tokenizer_class", None)  # PreTrainedTokenizerFast, the default, reads tokenizer.json unchanged
    return kept
