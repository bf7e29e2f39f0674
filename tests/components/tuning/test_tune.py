"""Fine-tuning: what is learned and what is not, adapters in peft's own hands, equal bytes, resuming, unlearning."""

import json
import os
import shutil
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from components.errors import StepError
from components.files import sha256_file
from components.params import Params
from components.phi import checkpoint
from components.phi.conversation import Conversation
from components.phi.export import export
from components.phi.model import IGNORE
from components.phi.template import QUESTIONS, read_template, render
from components.phi.text import TextModel, Wish
from components.tracking import Tracker
from components.tuning import merge, tune
from components.tuning.adapters import read_adapter
from components.tuning.examples import Writer
from components.tuning.objectives import answer_loss, log_probs
from components.tuning.packing import Packed, joined
from components.tuning.rows import read_rows
from tests.components.tuning.conftest import END, LENGTH, facts, params_of, tuned


@pytest.fixture(scope="module")
def lora(base: Path, answers: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lora") / "tuned"
    tuned(base, folder, answers)
    return folder


@pytest.fixture(scope="module")
def full(base: Path, answers: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("full") / "tuned"
    tuned(base, folder, answers, method="full", learning_rate=0.01, epochs=20)
    return folder


def packed(base: Path, data: Path, preferences: bool = False) -> Packed:
    writer = Writer.open(base, plain=False)
    return Packed(writer.examples(read_rows([data], preferences)), LENGTH, writer.end, 1)


def test_a_packed_example_gives_what_it_gives_alone(base: Path, preferences: Path) -> None:
    """Attention stays within an example, and only answers count."""
    model, packs = checkpoint.load(base), packed(base, preferences, True)
    batch = packs.batch(range(len(packs.bins)))
    together = log_probs(model, batch)
    members = [member for one in packs.bins for member in one]
    assert max(map(len, packs.bins)) > 1
    for place, member in enumerate(members):
        for side in (0, 1):
            tokens = torch.from_numpy(packs.examples[member].tokens[side])[None]
            targets = torch.from_numpy(packs.examples[member].targets[side])[None]
            alone = -model.token_losses(tokens, targets).sum()
            torch.testing.assert_close(together[2 * place + side], alone, atol=2e-5, rtol=1e-5)
    learned = batch.targets != IGNORE
    expected = model.token_losses(batch.tokens, batch.targets, batch.documents).sum() / learned.sum()
    torch.testing.assert_close(answer_loss(model, batch), expected)


def test_two_batches_joined_keep_their_answers_apart(base: Path, answers: Path) -> None:
    model, packs = checkpoint.load(base), packed(base, answers)
    first, second = packs.batch([0]), packs.batch([1])
    both = joined(first, second)
    torch.testing.assert_close(log_probs(model, both), torch.cat([log_probs(model, first), log_probs(model, second)]))
    assert both.kept is not None
    assert both.kept.tolist() == [False] * first.count + [True] * second.count


def test_only_answers_are_learned_and_they_end_with_the_end_of_text(
    base: Path, write_rows: Callable[[list[Any]], Path]
) -> None:
    chat = [("user", "One?"), ("assistant", "Yes."), ("user", "Two?"), ("assistant", "No.")]
    rows = [{"messages": [{"role": role, "content": text} for role, text in chat]}]
    writer = Writer.open(base, plain=False)
    (example,) = writer.examples(read_rows([write_rows(rows)], False))
    learned = example.targets[0][example.targets[0] != IGNORE]
    assert writer.tokenizer.decode(learned.tolist(), skip_special_tokens=False) == f" Yes.{END} No.{END}"
    whole = [*example.tokens[0].tolist(), example.targets[0][-1]]
    text = f"Question: One?\nAnswer: Yes.{END}Question: Two?\nAnswer: No.{END}"
    assert writer.tokenizer.decode(whole, skip_special_tokens=False) == text


@pytest.mark.parametrize("method", ["lora", "full"])
def test_the_tuned_model_answers_as_it_was_taught(base: Path, method: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(method)
    asked = [(render(folder, [{"role": "user", "content": question}]), right) for question, right, _ in facts()[::3]]
    before, after = (
        sum(TextModel.load(model).complete(prompt, Wish(max_tokens=8)).strip() == right for prompt, right in asked)
        for model in (base, folder)
    )
    assert (before, after) == (0, len(asked))


def test_the_tuned_checkpoint_chats_and_names_its_origin(base: Path, lora: Path) -> None:
    talk = Conversation(lambda name: TextModel.load(lora), lambda model: [], ["tuned"], Wish(max_tokens=8))
    assert talk.chats
    lineage = checkpoint.read_lineage(lora)
    assert lineage["step"] == "tuning"
    assert lineage["initial"]["lineage"] == checkpoint.read_lineage(base)


def test_an_exported_model_keeps_its_template_and_says_that_it_is_tuned(lora: Path, tmp_path: Path) -> None:
    export(lora, tmp_path / "exported")
    assert read_template(tmp_path / "exported") == QUESTIONS
    card = (tmp_path / "exported" / "README.md").read_text()
    assert "- fine-tuned (sft, lora): " in card
    assert "Pre-trained only" not in card


def test_peft_loads_the_adapter_with_equal_logits(base: Path, lora: Path, tmp_path: Path) -> None:
    """Our merged checkpoint, peft's adapter on transformers' Phi, and peft's own merge give the same logits."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(lora, trust_remote_code=False)
    chat = [{"role": "user", "content": facts()[0][0]}]
    ids = tokenizer.apply_chat_template(chat, return_tensors="pt", return_dict=True)["input_ids"]
    theirs = AutoModelForCausalLM.from_pretrained(base, trust_remote_code=False).eval()
    ours, before = checkpoint.load(lora), theirs(ids).logits
    with_adapter = PeftModel.from_pretrained(theirs, lora / "adapter", trust_remote_code=False).eval()
    with torch.no_grad():
        logits = with_adapter(ids).logits
        torch.testing.assert_close(ours(ids), logits, atol=1e-4, rtol=1e-5)
        torch.testing.assert_close(with_adapter.merge_and_unload()(ids).logits, logits, atol=1e-4, rtol=1e-5)
    assert (before - logits).abs().max() > 0.1


def test_an_adapter_is_merged_on_request_and_only_into_its_base(
    base: Path, lora: Path, answers: Path, tmp_path: Path
) -> None:
    alone = tmp_path / "alone"
    tuned(base, alone, answers, merge=False)
    assert not (alone / "model.safetensors").exists()
    merge.run({"model": base, "adapter": alone}, {"output": tmp_path / "merged"}, Params(), Tracker())
    assert sha256_file(tmp_path / "merged" / "model.safetensors") == sha256_file(lora / "model.safetensors")
    assert checkpoint.read_lineage(tmp_path / "merged") == checkpoint.read_lineage(lora)
    with pytest.raises(StepError, match=r"on which .* was trained; name that checkpoint"):
        merge.run({"model": lora, "adapter": alone}, {"output": tmp_path / "wrong"}, Params(), Tracker())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"r": 3}, r"has the shape \(4, 32\); expected \(3, 32\)"),
        ({"peft_type": "LOHA"}, "peft_type is 'LOHA'"),
        ({"use_dora": True}, "use_dora is True"),
        ({"lora_alpha": None}, "lora_alpha None"),
        ({"rank_pattern": {"fc1": 2}}, "rank_pattern is"),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused(
    base: Path, lora: Path, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    shutil.copytree(lora / "adapter", tmp_path / "adapter")
    path = tmp_path / "adapter" / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(StepError, match=said):
        read_adapter(tmp_path / "adapter", checkpoint.read_config(base))


def test_equal_inputs_give_equal_bytes(base: Path, lora: Path, answers: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    tuned(base, again, answers)
    for path in sorted(lora.rglob("*")):
        assert path.is_dir() or sha256_file(path) == sha256_file(again / path.relative_to(lora)), path.name


def test_micro_batches_change_a_step_only_by_rounding(base: Path, answers: Path, tmp_path: Path) -> None:
    losses = []
    for micro in (256, 64):
        params = params_of(epochs=1)
        training = params.training.model_copy(update={"micro_batch_tokens": micro})
        inputs = {"model": base, "data": [answers], "retain": None, "tokens": None}
        outputs = {"output": tmp_path / str(micro), "state": tmp_path / f"{micro}.states"}
        losses.append(tune.run(inputs, outputs, params.model_copy(update={"training": training}), Tracker())["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


class Interrupting(Tracker):
    """Ends the run like SIGTERM from outside, at a validation in its middle."""

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        if step and "held_out_loss" in values:
            os.kill(os.getpid(), signal.SIGTERM)


def test_a_killed_run_resumes_to_the_same_bytes(
    base: Path, lora: Path, answers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        tuned(base, tmp_path / "tuned", answers, tracker=Interrupting())
    assert ended.value.code == 128 + signal.SIGTERM
    assert not (tmp_path / "tuned").exists()
    tuned(base, tmp_path / "tuned", answers)
    assert "resuming after step" in capsys.readouterr().out
    assert sha256_file(tmp_path / "tuned" / "model.safetensors") == sha256_file(lora / "model.safetensors")


def test_preferences_are_learned(base: Path, preferences: Path, tmp_path: Path) -> None:
    summary = tuned(base, tmp_path / "dpo", preferences, objective="dpo", epochs=20)
    assert summary["held_out_loss"]["before"] == pytest.approx(0.6931, abs=1e-3)
    assert summary["loss"] < 0.5
    assert summary["preferred"]["after"] > 0.7
    model, packs = checkpoint.load(tmp_path / "dpo"), packed(base, preferences, True)
    chosen, rejected = log_probs(model, packs.batch(range(len(packs.bins)))).view(-1, 2).unbind(1)
    assert (chosen > rejected).float().mean() > 0.9


@pytest.mark.parametrize("objective", ["npo", "gradient_difference"])
def test_unlearning_forgets_what_it_should_and_keeps_the_rest(
    full: Path, tmp_path: Path, write_rows: Callable[[list[Any]], Path], objective: str
) -> None:
    """The rows to forget are those of one thing; without rows to retain much more is lost."""
    rows = [{"prompt": question, "completion": right} for question, right, _ in facts()]
    forget, retain = write_rows(rows[:6]), write_rows(rows[6:])
    changes = {}
    for name, kept in (("retained", retain), ("alone", None)):
        tuned(full, tmp_path / name, forget, kept, objective=objective, method="full", learning_rate=1e-3, epochs=20)
        for part, file in (("forget", forget), ("retain", retain)):
            packs = packed(full, file)
            batch = packs.batch(range(len(packs.bins)))
            with torch.no_grad():
                before, after = (answer_loss(checkpoint.load(model), batch) for model in (full, tmp_path / name))
            changes[name, part] = float(after - before)
    assert changes["retained", "forget"] > 0.5
    assert abs(changes["retained", "retain"]) < 0.1 < changes["alone", "retain"]


@pytest.mark.parametrize(
    ("row", "changes", "said"),
    [
        ({"prompt": f"a {END} b", "completion": "c"}, {}, "contains '<|endoftext|>', a special token"),
        ({"prompt": "a" * 2000, "completion": "c"}, {}, "longer than 64 tokens"),
        ({"prompt": "a", "completion": "c"}, {"objective": "dpo"}, "prompt, chosen and rejected"),
    ],
    ids=["special-token", "long", "wrong-form"],
)
def test_rows_that_cannot_be_learned_are_refused(
    base: Path, tmp_path: Path, write_rows: Callable[[list[Any]], Path], row: Any, changes: Any, said: str
) -> None:
    with pytest.raises(StepError) as error:
        tuned(base, tmp_path / "none", write_rows([row]), **changes)
    assert said in str(error.value)
    assert not (tmp_path / "none").exists()


def test_rows_to_retain_need_an_objective_that_reads_them(base: Path, answers: Path, tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"--retain is given, but tuning.objective is sft"):
        tuned(base, tmp_path / "none", answers, answers)
