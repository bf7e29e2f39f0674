"""A local checkpoint as the teacher: it answers prompts in batches with `transformers`, in this process, offline.

Batches are cut from the plan in its order, whether or not prompts are already answered, and each has its own seed. So a
killed run repeats at most its current batch, and produces the same texts.
"""

import hashlib
import time
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from components.endpoint.budget import Budget
from components.endpoint.dispatch import HOPELESS, Call, GivenUp
from components.endpoint.judge import fault_of
from components.endpoint.request import Accept, Reply, Request
from components.endpoint.store import Store
from components.endpoint.trace import CallSample
from components.errors import StepError
from components.foreign.confined import refuse_links_out
from components.foreign.templates import render_chat
from components.params import TeacherParams
from components.running.progress import Progress
from components.tracking import weights_sha256

LEAST_ANSWER = 16  # minimum tokens of context that a prompt must leave for the answer


@cache
def checkpoint_sha256(folder: Path) -> str:
    """Hex SHA-256 of a checkpoint's weights.

    Raises:
        StepError: the folder is not a checkpoint with safetensors, or has a link that leads out of it.
    """
    if not (folder / "config.json").is_file() or not list(folder.glob("*.safetensors")):
        raise StepError(
            f"synthesis.teacher.model {folder} is not a checkpoint; expected a folder with config.json and safetensors, "
            "as models/large or one that was downloaded"
        )
    refuse_links_out(folder)
    return weights_sha256(folder)


class LocalModel:
    """A causal language model with its tokenizer, on the GPU if there is one."""

    def __init__(self, folder: Path) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()
        checkpoint_sha256(folder)
        self.name = folder.name
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            self.model = AutoModelForCausalLM.from_pretrained(
                folder,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=torch.bfloat16 if self.device == "cuda" else torch.float32,
            )
        except (OSError, ValueError, KeyError) as error:
            raise StepError(f"{folder} cannot be loaded by transformers: {error}") from error
        self.model.to(self.device).eval()
        self.context = int(getattr(self.model.config, "max_position_embeddings", 0) or 1 << 20)
        self.tokenizer.padding_side = "left"
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token

    def prompt(self, request: Request) -> str:
        """The text that the model continues: the messages in its chat template, or joined if it has none."""
        from jinja2 import TemplateError

        if self.tokenizer.chat_template:
            messages = [{"role": role, "content": content} for role, content in request.messages]
            try:
                return render_chat(self.tokenizer.get_chat_template(), messages, self.tokenizer.special_tokens_map)
            except TemplateError as error:
                raise StepError(
                    f"synthesis.teacher.model {self.name}: its chat template cannot be rendered ({error}); use "
                    "another model"
                ) from error
        return "\n\n".join(content for _, content in request.messages) + "\n\n"

    def prompt_tokens(self, request: Request) -> int:
        return len(self.tokenizer(self.prompt(request))["input_ids"])

    def answer(self, requests: Sequence[Request], seed: int) -> list[Reply]:
        """Continue a batch of prompts that fit into the context."""
        import torch

        parameters = requests[0].parameters
        batch = self.tokenizer([self.prompt(request) for request in requests], return_tensors="pt", padding=True)
        width = batch["input_ids"].shape[1]
        torch.manual_seed(seed)
        sampled = parameters["temperature"] > 0
        with torch.inference_mode():
            output = self.model.generate(
                input_ids=batch["input_ids"].to(self.device),
                attention_mask=batch["attention_mask"].to(self.device),
                max_new_tokens=min(parameters["max_tokens"], self.context - width),
                do_sample=sampled,
                temperature=parameters["temperature"] if sampled else None,
                top_p=parameters["top_p"] if sampled else None,
                top_k=None,
                pad_token_id=self.tokenizer.pad_token_id,
            )
        prompts = batch["attention_mask"].sum(dim=1).tolist()
        return [self._reply(row[width:].tolist(), count) for row, count in zip(output.cpu(), prompts, strict=True)]

    def _reply(self, tokens: list[int], prompt_tokens: int) -> Reply:
        ends = self.model.generation_config.eos_token_id
        ends = set(ends if isinstance(ends, list) else [ends]) | {self.tokenizer.eos_token_id}
        stop = next((i for i, token in enumerate(tokens) if token in ends), None)
        told = tokens if stop is None else tokens[:stop]
        text = self.tokenizer.decode(told, skip_special_tokens=True)
        return Reply(
            text, self.name, "length" if stop is None else "stop", prompt_tokens, len(told) + (stop is not None)
        )


class LocalAnswers:
    """Fetches answers from a local checkpoint, one batch at a time."""

    def __init__(
        self,
        params: TeacherParams,
        store: Store,
        plan: str,
        budget: Budget,
        model: LocalModel | None = None,
        calls: CallSample | None = None,
    ) -> None:
        self.params, self.store, self.plan, self.budget = params, store, plan, budget
        self._model, self._calls = model, calls or CallSample(0)
        self._answered = 0

    @property
    def model(self) -> Any:
        if self._model is None:
            self._model = LocalModel(Path(self.params.model))
        return self._model

    def fetch(self, requests: Iterable[Request], accept: Accept) -> list[GivenUp]:
        """Answer all requests; those whose answers stay unusable are given up.

        Raises:
            StepError: none of the model's answers is usable, or the budget is spent.
        """
        waiting, given_up = list(requests), []
        self.store.forget_unusable(waiting, accept)
        progress = Progress(len(waiting))
        for attempt in range(self.params.attempts):
            last: list[tuple[Request, GivenUp]] = []
            for start in range(0, len(waiting), self.params.batch_size):
                last += self._batch(waiting[start : start + self.params.batch_size], attempt, accept)
                progress.update(min(self._answered, progress.total - 1))
                if not self._answered and len(last) >= HOPELESS and attempt == self.params.attempts - 1:
                    break
            given_up += [reason for _, reason in last if reason.kind == "refused"]
            waiting = [request for request, reason in last if reason.kind != "refused"]
            if not waiting or len(given_up) >= HOPELESS > self._answered:
                break
        given_up += [reason for _, reason in last if reason.kind != "refused"] if waiting else []
        if given_up and not self._answered:
            raise StepError(
                f"{self.params.model} gave no usable answer to {len(given_up)} requests (last: {given_up[-1].kind}, "
                f"{given_up[-1].detail}); a teacher must follow instructions and have room for synthesis.teacher.max_tokens"
            )
        progress.update(progress.total)
        return given_up

    def _batch(self, batch: Sequence[Request], attempt: int, accept: Accept) -> list[tuple[Request, GivenUp]]:
        """Answer a batch, unless the store has all its answers; returns the requests that are still open, with the reasons."""
        if all(self.store.has(request.key) for request in batch):
            self._answered += len(batch)
            return []
        room = {request.key: self.model.context - self.model.prompt_tokens(request) for request in batch}
        open_ = [
            (r, GivenUp(r.job, "refused", f"the prompt leaves {room[r.key]} of {self.model.context} tokens of context"))
            for r in batch
            if room[r.key] < LEAST_ANSWER
        ]
        fitting = [request for request in batch if room[request.key] >= LEAST_ANSWER]
        if not fitting:
            return open_
        if not all(self.budget.reserve(request) for request in fitting):
            raise StepError(
                f"the budget of this plan is spent ({self.budget.says()}); raise synthesis.teacher.budget_tokens or "
                "budget_money and run again to resume"
            )
        kept: list[tuple[Request, Reply, float]] = []
        start = time.time_ns()
        replies = self.model.answer(fitting, _seed(fitting, attempt))
        end = time.time_ns()
        for request, reply in zip(fitting, replies, strict=True):
            self.budget.settle(request, reply)
            fault = fault_of(request, reply, accept)
            self._calls.add(Call(request, fault.kind if fault else "answered", reply, start, end))
            if fault is None:
                kept.append((request, reply, 0.0))
            else:
                self.store.count_unusable(self.plan, request, reply, fault.kind, 0.0)
                open_.append((request, GivenUp(request.job, fault.kind, fault.detail)))
        self.store.keep(self.plan, kept)
        self._answered += len(kept)
        return open_


def _seed(batch: Sequence[Request], attempt: int) -> int:
    digest = hashlib.sha256(repr([attempt, *(request.key for request in batch)]).encode()).digest()
    return int.from_bytes(digest[:4], "big")
