"""The tokenizer: a byte-level BPE trained on the corpus, or a copy of an existing one.

Text with the characters of a special token is encoded as ordinary text.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from components.errors import StepError, short
from components.files import parse_json, read_text, sha256_file, write_json
from components.foreign.tokenizer_file import MOST_BYTES, breaking, highest_id, open_tokenizer
from components.foreign.tokenizer_files import copy_tokenizer
from components.text import bpe
from components.text.bpe import END_OF_TEXT

MAX_VOCAB_SIZE = 2**20  # far more than any tokenizer in use


@contextmanager
def all_cores() -> Iterator[None]:
    """Let the tokenizers library use every core of this process, or RAYON_NUM_THREADS threads.

    The result does not depend on their number.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = os.environ.get("RAYON_NUM_THREADS") or str(cores)
    with _environment({"TOKENIZERS_PARALLELISM": "true", "RAYON_NUM_THREADS": threads}):
        yield


@contextmanager
def one_core() -> Iterator[None]:
    """Let the tokenizers library use only the calling thread, as for one of several workers."""
    with _environment({"TOKENIZERS_PARALLELISM": "false"}):
        yield


@contextmanager
def _environment(wanted: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def train(texts: Iterable[str], vocab_size: int, directory: Path) -> None:
    """Train a byte-level BPE (`components.text.bpe`) of at most `vocab_size` entries and write it to `directory`. Equal texts
    in equal order give equal bytes.
    """
    tokenizer = bpe.train(texts, vocab_size)
    directory.mkdir(parents=True)
    _save(tokenizer, directory / "tokenizer.json")
    _write_config(directory, {"tokenizer_class": "PreTrainedTokenizerFast"}, END_OF_TEXT)


def take(folder: Path, directory: Path, sha256: str = "") -> None:
    """Copy an existing tokenizer into `directory` in the format of transformers, without references to code.

    Args:
        sha256: required SHA-256 of the folder's tokenizer.json; empty allows any.

    Raises:
        StepError: the folder has no readable fast tokenizer, or the SHA-256 differs.
    """
    folder = Path(folder)
    if not (folder / "tokenizer.json").is_file():
        raise StepError(
            f"tokenization.tokenizer: {folder} has no tokenizer.json; expected the folder of a fast tokenizer, as "
            "transformers' save_pretrained writes it"
        )
    found = sha256_file(folder / "tokenizer.json")
    if sha256 and found != sha256:
        raise StepError(
            f"{folder / 'tokenizer.json'} has the SHA-256 {found}; tokenization.tokenizer_sha256 is {sha256}: "
            "restore the pinned tokenizer, or pin this one"
        )
    directory.mkdir(parents=True)
    copy_tokenizer(folder, directory)
    tokenizer = open_tokenizer(directory / "tokenizer.json", folder / "tokenizer.json")
    written = _read_config(directory, folder, "tokenizer.json")
    if written.get("truncation") or written.get("padding"):  # they would change texts without notice
        _save(tokenizer, directory / "tokenizer.json")
    # Older folders have a separate file for special tokens.
    config = _read_config(directory, folder, "special_tokens_map.json") | _read_config(directory, folder)
    _write_config(directory, config, _end_of_text(tokenizer, config, folder))


class Encoder:
    """The tokenizer in a directory: texts to ids."""

    def __init__(self, directory: Path) -> None:
        self._path = path = directory / "tokenizer.json"
        self._tokenizer = open_tokenizer(path)
        self._tokenizer.encode_special_tokens = True  # "<|endoftext|>" within a text is text
        config = _read_config(directory, directory)
        eos = self._tokenizer.token_to_id(_end_of_text(self._tokenizer, config, directory))
        assert eos is not None  # `_end_of_text` names an entry of the vocabulary
        self.eos_token_id = eos
        self.vocab_size = highest_id(self._tokenizer) + 1
        if self.vocab_size > MAX_VOCAB_SIZE:
            raise StepError(
                f"the tokenizer's highest id is {self.vocab_size - 1:,}, so a model would need {self.vocab_size:,} rows in "
                f"its embedding; at most {MAX_VOCAB_SIZE:,} are possible: renumber its entries without gaps"
            )
        self.sha256 = sha256_file(path)

    def encode(self, texts: list[str]) -> list[list[int]]:
        """The ids of each text, without special tokens."""
        with breaking(self._path):
            return [e.ids for e in self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)]

    def decode(self, ids: list[int]) -> str:
        with breaking(self._path):
            return self._tokenizer.decode(ids, skip_special_tokens=False)


def _save(tokenizer: Any, path: Path) -> None:
    # On a full disk, the library's `save` raises a plain Exception instead of an OSError.
    path.write_text(tokenizer.to_str(pretty=True), encoding="utf-8")


def _read_config(directory: Path, origin: Path, name: str = "tokenizer_config.json") -> dict[str, Any]:
    path = directory / name
    try:
        config = parse_json(read_text(path, MOST_BYTES)) if path.is_file() else {}
    except (OSError, ValueError) as error:
        raise StepError(f"{origin / path.name} is not JSON ({error})") from error
    if not isinstance(config, dict):
        raise StepError(f"{origin / path.name} contains a {type(config).__name__}; expected a JSON object")
    return config


def _write_config(directory: Path, config: dict[str, Any], eos: str) -> None:
    """Write tokenizer_config.json with the end-of-text token in every role without a token."""
    roles = {role: config.get(role) or eos for role in ("bos_token", "eos_token", "pad_token", "unk_token")}
    defaults = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    write_json(directory / "tokenizer_config.json", defaults | config | roles)


def _end_of_text(tokenizer: Any, config: dict[str, Any], folder: Path) -> str:
    """The end-of-text token: the configured one, or `<|endoftext|>`."""
    names = [_content(config["eos_token"])] if config.get("eos_token") else [END_OF_TEXT]
    if tokenizer.token_to_id(names[0]) is None:
        raise StepError(
            f"tokenization.tokenizer: {folder} has no end-of-text token ({short(names[0])} is not in its vocabulary); name "
            "one as eos_token in its tokenizer_config.json"
        )
    return names[0]


def _content(token: Any) -> str:
    """The text of a token in tokenizer_config.json, which may be an object with flags."""
    return str(token.get("content") if isinstance(token, dict) else token)
