"""A local checkpoint as teacher: batches of the plan, the same texts whatever was there before, clear refusals."""

import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import pytest

from components.endpoint.budget import Budget
from components.endpoint.dispatch import Dispatcher, Policy
from components.endpoint.openai import OpenAIEndpoint
from components.endpoint.request import Reply, Request
from components.endpoint.store import Store
from components.endpoint.trace import CallSample
from components.errors import StepError
from components.params import TeacherParams
from components.synthesis.teachers.transformers import LocalAnswers, LocalModel, checkpoint_sha256

PARAMETERS = {"model": "m", "temperature": 1.0, "top_p": 0.95, "max_tokens": 24}


def requests(count: int, words: int = 1) -> list[Request]:
    return [Request(str(n), (("user", f"number {n} " * words),), PARAMETERS) for n in range(count)]


@dataclass
class FakeModel:
    """Answers with the batch's seed, so that a text tells which batch it comes from."""

    context: int = 100
    finish: str = "stop"
    batches: list[list[str]] = field(default_factory=list)

    def prompt_tokens(self, request: Request) -> int:
        return len(request.messages[0][1].split())

    def answer(self, batch, seed) -> list[Reply]:
        self.batches.append([request.job for request in batch])
        return [Reply(f"{request.job} of {seed}", "m", self.finish, 2, 3) for request in batch]


def fetch(path: Path, asked, model, accept=lambda request, reply: "", budget=0, attempts=2, calls=None):
    params = TeacherParams(kind="transformers", model="m", batch_size=4, attempts=attempts)
    with Store(path / "s.sqlite") as store:
        answers = LocalAnswers(params, store, "plan", Budget.of(store, "plan", budget, 0), model, calls)
        given_up = answers.fetch(asked, accept)
        return given_up, {request.job: store.get(request.key) for request in asked}


def test_calls_of_a_local_model_are_sampled_too(tmp_path):
    calls = CallSample(3)
    fetch(tmp_path, requests(8), FakeModel(), lambda request, reply: "no" * (request.job == "5"), calls=calls)
    assert sorted(call.outcome for call in calls) == ["answered"] * 3 + ["format"] * 2  # 5 is tried twice
    assert all(call.start_ns <= call.end_ns for call in calls)


def test_batches_are_those_of_the_plan_whatever_is_answered(tmp_path):
    _, whole = fetch(tmp_path / "a", requests(10), FakeModel())
    model = FakeModel()
    with pytest.raises(StepError, match="budget of this plan is spent"):
        fetch(tmp_path / "b", requests(10), model, budget=190)
    assert model.batches == [["0", "1", "2", "3"]]
    model = FakeModel()
    _, resumed = fetch(tmp_path / "b", requests(10), model)
    assert model.batches == [["4", "5", "6", "7"], ["8", "9"]]
    assert resumed == whole


def test_an_unusable_answer_is_asked_for_again_and_then_given_up(tmp_path):
    def accept(request, reply):
        return "wrong" if request.job in ("2", "5") else ""

    model = FakeModel()
    given_up, replies = fetch(tmp_path, requests(8), model, accept)
    assert model.batches == [["0", "1", "2", "3"], ["4", "5", "6", "7"], ["2", "5"]]
    assert [(one.job, one.kind) for one in given_up] == [("2", "format"), ("5", "format")]
    assert [job for job, reply in replies.items() if reply is None] == ["2", "5"]


def test_a_prompt_without_room_is_refused_and_the_rest_goes_on(tmp_path):
    asked = [*requests(3), Request("long", (("user", "word " * 90),), PARAMETERS)]
    given_up, replies = fetch(tmp_path, asked, FakeModel())
    assert [(one.job, one.kind) for one in given_up] == [("long", "refused")]
    assert replies["0"] is not None


@pytest.mark.parametrize(("finish", "words"), [("length", "truncated"), ("stop", "refused")])
def test_a_model_that_gives_nothing_usable_is_an_error(tmp_path, finish, words):
    context = 100 if finish == "length" else 10
    with pytest.raises(StepError, match=f"no usable answer to .*{words}"):
        fetch(tmp_path, requests(20), FakeModel(context=context, finish=finish))


def test_what_is_not_a_checkpoint_is_refused(tmp_path):
    with pytest.raises(StepError, match="is not a checkpoint; expected a folder with"):
        checkpoint_sha256(tmp_path)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    """A random Phi with a byte tokenizer and a chat template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    from components.phi.checkpoint import save
    from components.phi.model import Phi, PhiConfig

    root = tmp_path_factory.mktemp("checkpoint")
    alphabet = ["<|endoftext|>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    (root / "tokenizer").mkdir()
    tokenizer.save(str(root / "tokenizer" / "tokenizer.json"))
    config = PhiConfig(
        vocab_size=257,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=128,
        initializer_range=0.2,
    )
    save(Phi(config).initialize(1), root / "model", root / "tokenizer", {})
    about = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|endoftext|>"}
    about["chat_template"] = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    (root / "model" / "tokenizer_config.json").write_text(json.dumps(about))
    return root / "model"


def test_a_real_checkpoint_answers_the_same_each_time(checkpoint):
    model = LocalModel(checkpoint)
    assert model.prompt(requests(1)[0]) == "user: number 0 \n"
    first, second, other = (model.answer(requests(3), seed) for seed in (1, 1, 2))
    assert first == second != other
    for reply in first:
        assert reply.finish_reason in ("length", "stop")
        assert 0 < reply.completion_tokens <= 24
        assert reply.prompt_tokens == model.prompt_tokens(requests(1)[0])
    batched, (alone,) = model.answer(requests(3, words=3), 1), model.answer(requests(1, words=3), 1)
    assert batched[0].prompt_tokens == alone.prompt_tokens


SERVING = all(importlib.util.find_spec(name) for name in ("openai", "fastapi", "uvicorn", "accelerate"))


@pytest.mark.parametrize("template", ["{{ messages.__class__.__mro__ }}", "{% for %}", "{{ 'a' * 10**11 }}"])
def test_a_chat_template_is_rendered_in_a_sandbox_and_within_bounds(checkpoint, tmp_path, template):
    shutil.copytree(checkpoint, tmp_path / "foreign")
    (tmp_path / "foreign" / "chat_template.jinja").write_text(template)
    model = LocalModel(tmp_path / "foreign")
    with pytest.raises(StepError, match="cannot be rendered"):
        model.prompt(requests(1)[0])


def test_code_that_a_checkpoint_brings_is_not_run(checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint, tmp_path / "foreign")
    for name, kind in (("config.json", "AutoModelForCausalLM"), ("tokenizer_config.json", "AutoTokenizer")):
        values = json.loads((folder / name).read_text())
        values["auto_map"] = {kind: "evil.Evil" if "Model" in kind else ["evil.Evil", None]}
        (folder / name).write_text(json.dumps(values))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'mark')!r}, 'w')\n")
    LocalModel(folder)
    assert not (tmp_path / "mark").exists()


def test_a_checkpoint_with_a_link_that_leads_out_of_it_is_refused(checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint, tmp_path / "foreign")
    (folder / "vocab.txt").symlink_to("/etc/passwd")
    with pytest.raises(StepError, match=r"'vocab\.txt' is a link that leads out of its folder"):
        LocalModel(folder)


@pytest.mark.slow
@pytest.mark.skipif(not SERVING, reason="`transformers serve` needs transformers[serving] and accelerate")
def test_a_real_server_serves_our_checkpoint(checkpoint, tmp_path):
    """`transformers serve` with a checkpoint of ours, asked by the teacher `openai`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(Path(sys.executable).parent / "transformers"), "serve", str(checkpoint), "--host", "127.0.0.1"]
    server = subprocess.Popen([*command, "--port", str(port)], env=os.environ | {"HF_HUB_OFFLINE": "1"})
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(120):
            try:
                if httpx.get(f"{url}/health", timeout=2, trust_env=False).status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(1)
        parameters = PARAMETERS | {"model": str(checkpoint)}
        asked = [Request(str(n), (("user", f"hello {n}"),), parameters | {"seed": n}) for n in range(3)]
        params = TeacherParams(kind="openai", base_url=f"{url}/v1", model=str(checkpoint))
        with Store(tmp_path / "s.sqlite") as store:
            budget, policy = Budget.of(store, "plan", 0, 0), Policy(2, 3, 60.0, 60.0, "synthesis.teacher")
            endpoint = FullLength(params)
            Dispatcher(endpoint, store, "plan", budget, policy, lambda request, reply: "").run(asked)
            replies = [store.get(request.key) for request in asked]
    finally:
        server.terminate()
        server.wait()
    assert all(0 < reply.completion_tokens <= 24 and reply.prompt_tokens for reply in replies)
    assert len({reply.text for reply in replies}) > 1


class FullLength(OpenAIEndpoint):
    """A random model hardly ever ends by itself: here an answer of full length counts as one."""

    async def ask(self, request: Request, attempt: int) -> Reply:
        return replace(await super().ask(request, attempt), finish_reason="stop")
