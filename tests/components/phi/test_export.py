"""An exported folder is what transformers, its server, vLLM and llama.cpp's converter expect."""

import importlib.metadata
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from components.errors import StepError
from components.phi import checkpoint
from components.phi.card import LLAMA_CPP_SPLITS, llama_cpp_problems, llama_cpp_split, model_card
from components.phi.export import export, next_steps
from components.phi.model import Phi, PhiConfig
from tests.components.phi.generated import generate

TINY = PhiConfig(300, 64, 256, 2, 2, 48)
SERVER = ("openai", "accelerate", "fastapi", "uvicorn")
LINEAGE = {
    "step": "training",
    "training_tokens": 1000,
    "steps": 10,
    "flops": 12_000_000,
    "seed": 1,
    "by_kind": {"code": {"documents": 3, "tokens": 600}, "prose": {"documents": 4, "tokens": 400}},
    "initial": {"weights_sha256": "0", "lineage": {"step": "transfer", "operator": "exact", "initial": None}},
}


@pytest.fixture(scope="module")
def trained(lively: Callable[..., Phi], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with a byte-level tokenizer as the pipeline trains it; id 0 ends a text."""
    from components.tokenization import tokenizer

    folder = tmp_path_factory.mktemp("trained")
    texts = ["def add(a, b):\n    return a + b\n", "Question: What is 2 + 3?\nAnswer: 5\n"] * 3
    tokenizer.train(texts, 300, folder / "tokenizer")
    checkpoint.save(lively(TINY), folder / "model", folder / "tokenizer", LINEAGE)
    return folder / "model"


@pytest.mark.parametrize(("dtype", "shards"), [("float32", 1), ("float32", 4), ("bfloat16", 1), ("float16", 2)])
def test_transformers_computes_and_writes_the_same(trained: Path, tmp_path: Path, dtype: str, shards: int) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    limit = None if shards == 1 else -(-TINY.parameter_count() * checkpoint.DTYPES[dtype].itemsize // shards) + 60_000
    found = export(trained, tmp_path / "out", dtype, limit)
    weights = sorted((tmp_path / "out").glob("*.safetensors"))
    assert len(weights) == shards
    assert found["parameters"] == TINY.parameter_count()
    assert {t.dtype for path in weights for t in load_file(path).values()} == {checkpoint.DTYPES[dtype]}
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert theirs.dtype == checkpoint.DTYPES[dtype]
    theirs, tokenizer = theirs.float(), AutoTokenizer.from_pretrained(tmp_path / "out")
    ours = checkpoint.load(tmp_path / "out")
    inputs = tokenizer("def add(a, b):", return_tensors="pt")
    tokens = inputs["input_ids"]
    with torch.no_grad():
        torch.testing.assert_close(ours(tokens), theirs(tokens).logits, rtol=1e-4, atol=2e-4)
        assert generate(ours, tokens, 20).tolist() == theirs.generate(**inputs, max_new_tokens=20).tolist()
        assert theirs.generate(**inputs).shape[1] <= tokens.shape[1] + 24  # half of the positions
    assert (tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.model_max_length) == (0, 0, 48)


def test_chat_is_written_as_the_exercises_are(trained: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    export(trained, tmp_path / "out")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    talk = [("system", "Sums."), ("user", "What is 2 + 3?"), ("assistant", "5"), ("user", "And 1 + 1?")]
    messages = [{"role": role, "content": content} for role, content in talk]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert text == "Sums.\n\nQuestion: What is 2 + 3?\nAnswer: 5\n\nQuestion: And 1 + 1?\nAnswer:"


def test_an_index_is_as_transformers_writes_it(trained: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    export(trained, tmp_path / "ours", "float32", 200_000)
    AutoModelForCausalLM.from_pretrained(trained).save_pretrained(tmp_path / "theirs", max_shard_size="200KB")
    ours, theirs = (
        json.loads((tmp_path / name / "model.safetensors.index.json").read_text()) for name in ("ours", "theirs")
    )
    assert ours["metadata"] == theirs["metadata"]
    assert ours["weight_map"].keys() == theirs["weight_map"].keys()
    assert {len(name) for name in ours["weight_map"].values()} == {len(name) for name in theirs["weight_map"].values()}


def test_equal_checkpoints_give_equal_folders(trained: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        export(trained, tmp_path / name, "bfloat16", 100_000, "mit")
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "b").iterdir())
    assert all((tmp_path / "a" / n).read_bytes() == (tmp_path / "b" / n).read_bytes() for n in names)


def test_the_card_says_what_is_known(trained: Path, tmp_path: Path) -> None:
    from ruamel.yaml import YAML

    export(trained, tmp_path / "out", license="mit")
    _, front, body = (tmp_path / "out" / "README.md").read_text().split("---\n", 2)
    assert YAML(typ="safe").load(front) == {
        "library_name": "transformers",
        "license": "mit",
        "pipeline_tag": "text-generation",
        "tags": ["phi"],
    }
    for fact in (
        f"{TINY.parameter_count():,}",
        "1,000 tokens, 10 steps, 1.2e+07 training FLOPs, seed 1",
        "operator exact",
        "| code          |         3 |    600 |",
        "splits text as its `qwen2`",
    ):
        assert fact in body
    assert str(tmp_path) not in body


def test_a_checkpoint_without_a_lineage_has_an_honest_card(lively, tokenizer_dir: Path, tmp_path: Path) -> None:
    checkpoint.save(lively(PhiConfig(97, 64, 160, 2, 2, 40)), tmp_path / "m", tokenizer_dir, {})
    export(tmp_path / "m", tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "so its training is unknown" in card
    assert "No license is stated" in card
    assert "feed-forward width of 4 times the width; here it is 160 for 64" in card


def test_a_figure_that_no_run_can_have_stays_out_of_the_card() -> None:
    huge = {key: 10**400 for key in ("training_tokens", "steps", "flops", "validation_loss", "seed")}
    assert "- trained from random weights\n" in model_card(TINY, huge, None, "float32", None)


@pytest.mark.parametrize(
    "lineage",
    [
        {"initial": "x"},
        {"initial": {"lineage": [1]}},
        {"by_kind": {"code": 3}},
        {"by_kind": [1, 2]},
        {"by_kind": {"code": {"documents": "many"}}, "tokens_read_by_kind": {"code": None}},
    ],
)
def test_a_foreign_lineage_leaves_out_what_it_does_not_tell(lineage: dict[str, Any]) -> None:
    card = model_card(TINY, lineage, None, "float32", None)
    assert "- trained from " in card
    assert not re.search(r"\| code +\| +\d", card)


def test_a_broken_tokenizer_config_is_named(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "broken")
    (tmp_path / "broken" / "tokenizer_config.json").write_text("{bad")
    with pytest.raises(StepError, match=r"tokenizer_config\.json cannot be read as JSON"):
        export(tmp_path / "broken", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_llama_cpp_takes_for_granted() -> None:
    """Read in its converter (conversion/phi.py, Phi2Model)."""
    assert llama_cpp_problems(PhiConfig(51200, 2560, 10240, 32, 32, 2048, partial_rotary_factor=0.4)) == []
    assert "here it is 5,000" in llama_cpp_problems(PhiConfig(97, 64, 256, 2, 2, 48, rope_theta=5000.0))[0]
    assert "here it is 160 for 64" in llama_cpp_problems(PhiConfig(97, 64, 160, 2, 2, 48))[0]


def test_the_split_of_text_has_the_name_that_llama_cpp_knows() -> None:
    from components.text.bpe import PATTERN

    assert LLAMA_CPP_SPLITS[PATTERN] == "qwen2"

    def split(pattern: str, use_regex: bool = False) -> dict[str, Any]:
        parts = [{"type": "Split", "pattern": {"Regex": pattern}}, {"type": "ByteLevel", "use_regex": use_regex}]
        return {"type": "Sequence", "pretokenizers": parts}

    assert llama_cpp_split(split(PATTERN)) == "qwen2"
    assert llama_cpp_split(split(PATTERN, use_regex=True)) is None
    assert llama_cpp_split(split(r"\w+")) is None
    assert llama_cpp_split({"type": "ByteLevel", "add_prefix_space": False}) == "gpt-2"  # as CodeGen's
    assert llama_cpp_split({"type": "Whitespace"}) is None
    assert llama_cpp_split(None) is None


def test_the_commands_for_other_tools_name_a_folder_with_blanks_whole(trained: Path, tmp_path: Path) -> None:
    import shlex

    folder = tmp_path / "two words"
    export(trained, folder)
    lines = next_steps(folder).splitlines()
    for start, place in (("vllm", 2), ("llama-cli", 2), ("ollama create", 4)):
        words = shlex.split(next(line for line in lines if line.startswith(start)))
        assert words[place].startswith(str(folder))
    talk = shlex.split(next(line for line in lines if line.startswith("make chat")))
    assert shlex.split(talk[2].removeprefix("ARGS=")) == [str(folder)]  # as the shell of make reads it again


def test_a_shape_that_llama_cpp_cannot_take_is_said(lively, tokenizer_dir: Path, tmp_path: Path) -> None:
    checkpoint.save(lively(PhiConfig(97, 64, 160, 2, 2, 40)), tmp_path / "m", tokenizer_dir, {})
    export(tmp_path / "m", tmp_path / "out")
    assert "llama.cpp and Ollama:\nnot this shape: it assumes a feed-forward width" in next_steps(tmp_path / "out")


@pytest.mark.parametrize(("template", "asks"), [(None, True), ("{{ messages[0].content }}", False)])
def test_the_modelfile_asks_as_the_chat_template_does(
    trained: Path, tmp_path: Path, template: str | None, asks: bool
) -> None:
    given = tmp_path / "given.jinja" if template else None
    if template:
        given.write_text(template)
    export(trained, tmp_path / "out", chat_template=given)
    text = (tmp_path / "out" / "Modelfile").read_text()
    assert text.startswith("FROM ./model.gguf\nPARAMETER num_ctx 48\n")
    assert ('Question: {{ .Prompt }}\nAnswer:"""' in text) == asks


def test_all_end_tokens_are_exported(trained: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(trained, tmp_path / "copy")
    (copy / "generation_config.json").write_text(json.dumps({"eos_token_id": [0, 7]}))
    export(copy, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "generation_config.json").read_text())["eos_token_id"] == [0, 7]


def test_end_tokens_of_the_configuration_are_exported_too(trained: Path, tmp_path: Path) -> None:
    """Whichever file names them; the tokenizer's own end of text stays the one of padding and of empty prompts."""
    copy = shutil.copytree(trained, tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"eos_token_id": [7, 0]}))
    (copy / "generation_config.json").unlink()
    settings = json.loads((copy / "tokenizer_config.json").read_text())
    assert settings["eos_token"] == checkpoint.load_tokenizer(copy).id_to_token(0)
    export(copy, tmp_path / "out")
    found = {
        name: json.loads((tmp_path / "out" / f"{name}.json").read_text()) for name in ("config", "generation_config")
    }
    assert found["config"]["eos_token_id"] == found["generation_config"]["eos_token_id"] == [7, 0]
    assert found["config"]["bos_token_id"] == found["generation_config"]["pad_token_id"] == 0
    stop = json.dumps(checkpoint.load_tokenizer(copy).id_to_token(7), ensure_ascii=False)
    assert f"PARAMETER stop {stop}\n" in (tmp_path / "out" / "Modelfile").read_text()
    assert checkpoint.read_end_tokens(tmp_path / "out", checkpoint.read_config(tmp_path / "out")) == (7, 0)


def test_what_cannot_be_exported_is_refused(lively, tokenizer_dir: Path, tmp_path: Path) -> None:
    small = lively(PhiConfig(50, 64, 160, 2, 2, 40))
    checkpoint.save(small, tmp_path / "small", tokenizer_dir, {})
    with pytest.raises(StepError, match="the tokenizer's highest id is 96, but the model has 50 entries"):
        export(tmp_path / "small", tmp_path / "out")
    checkpoint.save(small, tmp_path / "bare", None, {})
    with pytest.raises(StepError, match=r"has no tokenizer\.json"):
        export(tmp_path / "bare", tmp_path / "out")
    large = lively(PhiConfig(97, 64, 160, 2, 2, 40))
    with torch.no_grad():
        large.head.bias[3] = 1e5
    checkpoint.save(large, tmp_path / "large", tokenizer_dir, {})
    with pytest.raises(StepError, match=r"lm_head\.bias has the value 100000; expected at most 65504 of float16"):
        export(tmp_path / "large", tmp_path / "out", "float16")
    assert not (tmp_path / "out").exists()


def test_the_command_exports(trained: Path, root: Path, tmp_path: Path) -> None:
    arguments = ["--checkpoint", trained, "--output", tmp_path / "out", "--dtype", "bfloat16", "--max-shard-size", "1"]
    command = [sys.executable, "-m", "components.phi", *map(str, arguments), "--summary", str(tmp_path / "s.json")]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for words in (
        f"make chat ARGS={tmp_path}/out",
        f"vllm serve {tmp_path}/out --host 127.0.0.1 --max-model-len 48",
        f"python - {tmp_path}/out --outfile {tmp_path}/out/model.gguf <<'END'",
        'lambda self, tokenizer: "qwen2"',
        f"llama-completion -m {tmp_path}/out/model.gguf -p",
        f"llama-cli -m {tmp_path}/out/model.gguf",
        f"ollama create phiforge -f {tmp_path}/out/Modelfile",
    ):
        assert words in done.stdout
    assert json.loads((tmp_path / "s.json").read_text())["dtype"] == "bfloat16"
    assert (tmp_path / "out" / "config.json").is_file()


def post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)


def installed(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


@pytest.mark.slow
def test_transformers_serve_answers_from_the_folder(trained: Path, tmp_path: Path) -> None:
    """Its plain completion is our greedy text, and chat goes through the template."""
    if missing := [package for package in SERVER if not installed(package)]:
        pytest.skip(f"`transformers serve` needs {', '.join(missing)}, which are not installed")
    folder = tmp_path / "out"
    export(trained, folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    host, port = address.split(":")
    words = ["serve", str(folder), "--host", host, "--port", port, "--device", "cpu", "--dtype", "float32"]
    command = [sys.executable, "-m", "transformers.cli.transformers", *words]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home")}
    with open(tmp_path / "log", "w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_for(server, f"http://{address}/health", tmp_path / "log")
        asked = {"model": str(folder), "max_tokens": 8}
        plain = post(f"http://{address}/v1/completions", asked | {"prompt": "def add(a, b):"})["choices"][0]
        chat = post(
            f"http://{address}/v1/chat/completions", asked | {"messages": [{"role": "user", "content": "2 + 3?"}]}
        )["choices"][0]
    finally:
        server.terminate()
        server.wait(30)
    ours, tokenizer = checkpoint.load(folder), checkpoint.load_tokenizer(folder)
    for prompt, text in (
        ("def add(a, b):", plain["text"]),
        ("Question: 2 + 3?\nAnswer:", chat["message"]["content"]),
    ):
        tokens = torch.tensor([tokenizer.encode(prompt).ids])
        assert text == tokenizer.decode(generate(ours, tokens, 8)[0, tokens.shape[1] :].tolist())


def wait_for(server: subprocess.Popen, url: str, log: Path) -> None:
    end = time.monotonic() + 180
    while time.monotonic() < end:
        assert server.poll() is None, log.read_text()[-3000:]
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            time.sleep(0.3)
    raise AssertionError(f"no answer at {url}: {log.read_text()[-3000:]}")


def foreign(trained: Path, folder: Path) -> Path:
    """The checkpoint as somebody may hand it over: with code of its own and a chat template."""
    shutil.copytree(trained, folder)
    for name in ("config.json", "tokenizer_config.json", "generation_config.json"):
        values = json.loads((folder / name).read_text())
        values |= {"auto_map": {"AutoModelForCausalLM": "evil.Model", "AutoTokenizer": ["evil.Tokenizer", None]}}
        values |= {"custom_generate": "evil.py", "tokenizer_class": "EvilTokenizer", "chat_template": "{{ evil }}"}
        (folder / name).write_text(json.dumps(values))
    (folder / "chat_template.jinja").write_text("{{ evil }}")
    (folder / "evil.py").write_text("raise SystemExit")
    return folder


def test_nothing_that_names_code_travels_with_an_export(trained: Path, tmp_path: Path) -> None:
    export(foreign(trained, tmp_path / "foreign"), tmp_path / "out")
    export(trained, tmp_path / "own")
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "own").iterdir())
    for name in names:
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "own" / name).read_bytes(), name


@pytest.mark.parametrize("name", ["special_tokens_map.json", "merges.txt", "lineage.json", "config.json", "notes/x"])
def test_a_checkpoint_with_a_link_that_leads_out_of_it_is_not_exported(
    trained: Path, tmp_path: Path, name: str
) -> None:
    shutil.copytree(trained, tmp_path / "linked")
    path = tmp_path / "linked" / name
    path.parent.mkdir(exist_ok=True)
    (tmp_path / "secret").write_bytes(path.read_bytes() if path.is_file() else b"{}")
    path.unlink(missing_ok=True)
    path.symlink_to(tmp_path / "secret")
    with pytest.raises(StepError, match=f"'{name}' is a link that leads out of its folder"):
        export(tmp_path / "linked", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_snapshot_of_the_hubs_cache_is_exported(trained: Path, tmp_path: Path) -> None:
    """Its files are links to the blobs beside it."""
    repository = tmp_path / "models--owner--name"
    (repository / "blobs").mkdir(parents=True)
    (repository / "snapshots" / "0123").mkdir(parents=True)
    for path in trained.iterdir():
        shutil.copyfile(path, repository / "blobs" / path.name)
        (repository / "snapshots" / "0123" / path.name).symlink_to(f"../../blobs/{path.name}")
    export(repository / "snapshots" / "0123", tmp_path / "out")
    assert not [path for path in (tmp_path / "out").iterdir() if path.is_symlink()]


def test_a_chat_template_travels_when_a_person_names_it_and_it_renders(trained: Path, tmp_path: Path) -> None:
    template = tmp_path / "mine.jinja"
    template.write_text("{% for m in messages %}{{ m.role }}: {{ m.content }}{{ eos_token }}{% endfor %}")
    export(trained, tmp_path / "out", chat_template=template)
    config = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())
    assert config["chat_template"] == template.read_text()
    for number, wrong in enumerate(("{{ ''.__class__.__mro__ }}", "{% for %}", "{{ 'a' * 10**11 }}")):
        template.write_text(wrong)
        with pytest.raises(StepError, match="cannot be rendered"):
            export(trained, tmp_path / f"wrong-{number}", chat_template=template)
        assert not (tmp_path / f"wrong-{number}").exists()
