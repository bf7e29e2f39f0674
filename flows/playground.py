"""The playground's worker: answers requests about models, one JSON object per line on standard input and output.

A process of its own, so that the panel needs no memory for models, and a crash there costs nobody a page. Everybody who looks
shares it. It ends with its input, and after some idle minutes; whoever asks starts another (flows/client/playground.py).

A request has `id` and `do`; its events have the same `id`, and the last one has `end` or `error`. `{"id": 3, "do": "stop"}`
ends the request 3.
"""

import json
import os
import select
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.errors import StepError
from flows.models import NAMED, find_model
from flows.settings import project_root

if TYPE_CHECKING:
    from components.inside.switches import Switches
    from components.phi.text import TextModel
    from components.tracing.spans import Spans

IDLE_S = 600  # seconds without a request after which the process ends
AT_ONCE = 2  # requests that are answered at the same time; further ones wait
MEMORY_SHARE = 0.25  # of the machine's memory, for all models together
ALTERNATIVES = 6  # of each token
PROMPTS = 12  # held-out texts to continue
SEEN = 48  # last tokens of a prompt that are looked at
SPANS = 12  # of an answer, the longest first
CORPORA = 2  # kept open to search: those of two models side by side
Event = dict[str, Any]
Request = Mapping[str, Any]


class Models:
    """The models in memory, the last used at the end. The first leave when a new one needs their room."""

    def __init__(self, bound: float) -> None:
        self.bound, self._lock = bound, threading.Lock()
        self._loaded: OrderedDict[tuple[str, Path, int], tuple[TextModel, int]] = OrderedDict()

    def get(self, folder: Path, purpose: str = "") -> "TextModel":
        """The model of a folder, as it is on disk now. Each purpose has its own copy, so that what switches parts of a model
        off disturbs nobody who talks to it.

        Raises:
            StepError: the folder is not a Phi with its tokenizer, or takes more than the bound.
        """
        from components.phi import checkpoint
        from components.phi.text import TextModel

        key = (purpose, folder.resolve(), (folder / "config.json").stat().st_mtime_ns if folder.is_dir() else 0)
        with self._lock:
            if key not in self._loaded:
                size = 4 * checkpoint.read_config(folder).parameter_count()
                if size > self.bound:
                    raise StepError(
                        f"{folder} takes {size / 1e9:.1f} GB, but the playground uses at most {self.bound / 1e9:.1f} GB, "
                        f"{MEMORY_SHARE:.0%} of this machine's memory; talk to it with: phiforge chat {folder}"
                    )
                while self._loaded and size + sum(taken for _, taken in self._loaded.values()) > self.bound:
                    self._loaded.popitem(last=False)
                self._loaded[key] = TextModel.load(folder), size
            self._loaded.move_to_end(key)
            return self._loaded[key][0]

    @property
    def taken(self) -> int:
        """Bytes of weights in memory."""
        return sum(size for _, size in self._loaded.values())


class Worker:
    """Answers requests.

    Args:
        root: the project's main folder.
        write: takes an event; called from several threads.
    """

    def __init__(self, root: Path, write: Callable[[Event], None], bound: float) -> None:
        self.root, self.write, self.models = root, write, Models(bound)
        self.stopped: set[int] = set()
        self.active = 0
        self._pool = ThreadPoolExecutor(AT_ONCE)
        self._lock = threading.Lock()
        self._spans: OrderedDict[tuple[str, int], Spans] = OrderedDict()
        self._searching = threading.Lock()  # the first search of a corpus takes seconds
        self._inside = threading.Lock()  # parts are off for everybody who uses a model

    def take(self, request: Request) -> None:
        """Begin a request, or stop one."""
        if request["do"] == "stop":
            self.stopped.add(request["id"])
            return
        with self._lock:
            self.active += 1
        self._pool.submit(self._serve, request)

    def _serve(self, request: Request) -> None:
        number = request["id"]
        try:
            for event in self._events(request):
                if number in self.stopped:
                    break
                self.write({"id": number} | event)
            self.write({"id": number, "end": True})
        except StepError as error:
            self.write({"id": number, "error": str(error)})
        except Exception as error:  # noqa: BLE001 - one request's defect must not end those of others
            self.write({"id": number, "error": f"the playground's worker failed: {type(error).__name__}: {error}"})
        finally:
            self.stopped.discard(number)
            with self._lock:
                self.active -= 1

    def _events(self, request: Request) -> Iterator[Event]:
        return REQUESTS[request["do"]](self, **request["given"])

    def answer(
        self, model: str, prompt: str, messages: Any, wish: Mapping[str, Any], prefix: str = ""
    ) -> Iterator[Event]:
        """The answer to a prompt, a token at a time; to messages, if the model has a chat template.

        Args:
            prefix: the answer's beginning.
        """
        from components.phi.generation import Sampling
        from components.phi.template import read_template, render
        from components.phi.text import Wish

        loaded = self.models.get(find_model(model, self.root))
        chats = bool(messages) and read_template(loaded.folder) is not None
        asked = render(loaded.folder, messages) if chats else prompt
        settings = dict(wish)
        sampling = Sampling(**{name: settings.pop(name) for name in ("temperature", "top_k", "top_p", "seed")})
        answer = loaded.answer(
            asked + prefix, Wish(settings["max_tokens"], sampling, tuple(settings["stop"]), ALTERNATIVES)
        )
        told = 0
        for _ in answer:
            yield {"text": answer.text, "steps": [asdict(step) for step in answer.steps[told:]]}
            told = len(answer.steps)
        yield {"text": answer.text, "steps": [asdict(step) for step in answer.steps[told:]]}
        yield {"tokens": answer.tokens, "forgotten": answer.forgotten, "chats": chats}

    def about(self, model: str) -> Iterator[Event]:
        """Size and form of a model."""
        from components.phi.template import read_template

        folder = find_model(model, self.root)
        loaded = self.models.get(folder)
        yield {
            "parameters": loaded.phi.config.parameter_count(),
            "layers": loaded.phi.config.num_hidden_layers,
            "heads": loaded.phi.config.num_attention_heads,
            "width": loaded.phi.config.hidden_size,
            "positions": loaded.positions,
            "chats": read_template(folder) is not None,
        }

    def prompts(self, model: str) -> Iterator[Event]:
        """Held-out texts to continue."""
        from flows.chat import passages_of

        found, _ = passages_of(self.models.get(find_model(model, self.root)), PROMPTS)
        yield {"passages": [asdict(passage) for passage in found]}

    def look(
        self, model: str, prompt: str, off: Mapping[str, Any], head: Sequence[int], tokens: int
    ) -> Iterator[Event]:
        """What a prompt does inside a model some of whose parts are off.

        Args:
            off: `blocks`, `heads` as pairs, and `new`.
            head: block and head whose attention is shown.
            tokens: of the continuation.
        """
        from components.inside.lens import logit_lens
        from components.inside.looking import look
        from components.inside.switches import switched_off
        from components.phi.text import Wish

        with self._inside:
            loaded, switches, old = self._prepared(model, off)
            ids = loaded.encode(prompt)[-SEEN:]
            seen = look(loaded.phi, ids, switches, old)
            best = logit_lens(loaded.phi, seen.residual).softmax(-1).max(-1)
            following = seen.logits[-1].softmax(-1).topk(ALTERNATIVES)
            with switched_off(loaded.phi, switches, old):
                text = loaded.complete(prompt, Wish(tokens)) if tokens else ""
        write = loaded.tokenizer.decode
        yield {
            "tokens": [write([token]) for token in ids],
            "lens": [
                [[write([int(token)]), float(p)] for token, p in zip(tokens, shares, strict=True)]
                for tokens, shares in zip(best.indices, best.values, strict=True)
            ],
            "attention": seen.attention[head[0], head[1]].tolist(),
            "next": [
                [write([int(token)]), float(p)] for token, p in zip(following.indices, following.values, strict=True)
            ],
            "text": text,
        }

    def families(self, model: str, off: Mapping[str, Any], each: int) -> Iterator[Event]:
        """Of the first questions of each family of the exam, the share that a model has right, some of its parts off."""
        from components.inside.questions import log_probabilities, read_questions
        from components.inside.switches import switched_off

        with self._inside:
            loaded, switches, old = self._prepared(model, off)
            asked = read_questions(_scores(loaded.folder), loaded.tokenizer, each)
            with switched_off(loaded.phi, switches, old):
                found = log_probabilities(loaded.phi, asked)
        right: dict[str, list[bool]] = {}
        for question, values in zip(asked, found, strict=True):
            right.setdefault(question.family, []).append(max(values) == values[question.answer])
        yield {"families": {name: sum(each) / len(each) for name, each in right.items()}}

    def _prepared(self, model: str, off: Mapping[str, Any]) -> tuple["TextModel", "Switches", Any]:
        """A model, what is to be off, and its parameters as growth left them, if those are asked for."""
        from components.inside.switches import Switches, before_training

        loaded = self.models.get(find_model(model, self.root), "inside")
        switches = Switches(
            frozenset(off["blocks"]), frozenset((block, head) for block, head in off["heads"]), off["new"]
        )
        old = before_training(loaded.phi, loaded.folder.resolve().parent / "grown") if switches.new else None
        return loaded, switches, old

    def spans(self, model: str, text: str, least: int) -> Iterator[Event]:
        """The spans of a text that stand in the model's training tokens, with their documents."""
        from components.tracing.spans import Spans
        from flows.client import origins

        key = (model, self.models.get(find_model(model, self.root)).folder.stat().st_mtime_ns)
        with self._searching:
            if key not in self._spans:
                self._spans[key] = Spans(origins.open_project(self.root), model)
                while len(self._spans) > CORPORA:
                    self._spans.popitem(last=False)
            self._spans.move_to_end(key)
            found = self._spans[key]
        yield {"traced": found.of(text, SPANS, least)}


def _scores(folder: Path) -> Path:
    """The scores of a model on its run's exam, else those of another model of the run, which was asked the same."""
    scores = folder.resolve().parents[1] / "reports" / "scores"
    names = (folder.name, *NAMED)
    return next((scores / name for name in names if (scores / name / "scores.json").exists()), scores / folder.name)


REQUESTS: dict[str, Callable[..., Iterator[Event]]] = {
    "answer": Worker.answer,
    "about": Worker.about,
    "families": Worker.families,
    "look": Worker.look,
    "prompts": Worker.prompts,
    "spans": Worker.spans,
}


def main() -> int:
    """Answer until the input ends, or nobody asks any more."""
    import psutil

    from components.phi import machine

    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not stand among the events
    machine.prepare()
    lock = threading.Lock()

    def write(event: Event) -> None:
        with lock:
            out.write(json.dumps(event) + "\n")
            out.flush()

    worker = Worker(project_root(), write, MEMORY_SHARE * psutil.virtual_memory().total)
    unread = b""
    while True:
        ready, _, _ = select.select([0], [], [], IDLE_S)
        if not ready:
            if worker.active:
                continue
            return 0
        given = os.read(0, 1 << 16)
        if not given:
            os._exit(0)  # whoever asked has ended; what is being answered interests nobody
        *lines, unread = (unread + given).split(b"\n")
        for line in lines:
            worker.take(json.loads(line))


if __name__ == "__main__":
    sys.exit(main())
