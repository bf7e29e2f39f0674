"""Jinja templates from other people: rendered in Jinja's sandbox, in a separate process, within limits.

A suite's prompt or a checkpoint's chat template is a foreign program. The sandbox protects Python's own objects, but does
not end a template that loops forever or fills the memory; the kernel ends such a process. Templates of this project are
rendered in the same sandbox, without a separate process.
"""

import atexit
import json
import math
import multiprocessing
import pickle
import re
import resource
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from components.errors import StepError

SECONDS = 5  # maximum CPU seconds of one rendering; a prompt needs a ten-thousandth
MEMORY = 1 << 30  # maximum bytes for renderings
CHARACTERS = 2_000_000  # maximum length of a rendered text
Render = Callable[[str, Any], str]
SHOWN = 80  # characters of a template in an error
ROOT = Path(__file__).parents[2]


def environment(**options: Any) -> Any:
    """Jinja's sandboxed environment; unknown names are errors."""
    from jinja2 import StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment

    return SandboxedEnvironment(undefined=StrictUndefined, **options)


def own_templates(*folders: Path, **options: Any) -> Any:
    """The environment for this project's own templates in some folders."""
    from jinja2 import FileSystemLoader

    return environment(loader=FileSystemLoader(folders), trim_blocks=True, lstrip_blocks=True, **options)


def render_prompt(template: str, values: Mapping[str, Any]) -> str:
    """Render a template with a row's values like `lm_eval.utils.apply_template`.

    Raises:
        StepError: the template exceeds the limits.
        jinja2.UndefinedError: it needs a value that is not in the row.
        jinja2.TemplateError: it fails in another way, or the sandbox forbids a part of it.
    """
    return _rendered_prompt(pickle.dumps((template, dict(values))))


@lru_cache(maxsize=1_000)  # worked examples are rendered again for every row
def _rendered_prompt(request: bytes) -> str:
    return _renderer("prompt").render(request)


def render_chat(
    template: str, messages: Sequence[Mapping[str, str]], tokens: Mapping[str, str], answered: bool = False
) -> str:
    """The prompt for the next answer of a conversation, rendered by transformers.

    Args:
        messages: each with `role` and `content`.
        tokens: special tokens by their role, such as `eos_token`.
        answered: the conversation ends with its last message; no next answer is asked for.

    Raises:
        the errors of `render_prompt`.
    """
    values = {"messages": list(messages), "tokens": dict(tokens), "ask": not answered}
    return _renderer("chat").render(pickle.dumps((template, values)))


class Renderer:
    """The process that renders. It starts at the first request, and again after a template ended it."""

    def __init__(self, kind: str, seconds: int = SECONDS) -> None:
        self.kind, self.seconds = kind, seconds
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None

    def render(self, request: bytes) -> str:
        """Like `render_prompt`; the request is a pickled pair of template and values."""
        from jinja2 import TemplateError, UndefinedError

        with self._lock:
            answer = self._ask(request)
        if answer is None or answer.get("error") == "MemoryError":
            shown = " ".join(pickle.loads(request)[0].split())  # noqa: S301 - our own
            shown = shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}..."
            raise StepError(
                f"the template {shown!r} cannot be rendered: it takes more than {self.seconds} s of CPU, {MEMORY >> 30} GiB of "
                f"memory or {CHARACTERS:,} characters; simplify it"
            )
        if "text" in answer:
            return answer["text"]
        if answer["error"] in ("UndefinedError", "KeyError"):
            raise UndefinedError(answer["message"])
        raise TemplateError(f"{answer['error']}: {answer['message']}")

    def _ask(self, request: bytes) -> dict[str, str] | None:
        """The process's answer; None if the template has ended it."""
        connection = self._running()
        try:
            connection.send_bytes(request)
            return json.loads(connection.recv_bytes())
        except (EOFError, OSError):
            self.close()
            return None
        except BaseException:
            self.close()  # interrupted: a late answer would look like the answer to the next request
            raise

    def _running(self) -> Connection:
        if self._connection is None:
            self._connection, theirs = multiprocessing.Pipe()
            start = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from components.foreign.templates import serve; serve(*sys.argv[1:])"
            command = [sys.executable, "-I", "-c", start, self.kind, str(self.seconds), str(theirs.fileno())]
            self._process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            theirs.close()
            try:
                self._connection.recv_bytes()
            except EOFError:
                self.close()
                raise StepError(
                    f"the process that renders templates does not start; run `{shlex.join(command[:-1])} 1` to see why"
                ) from None
        return self._connection

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._connection is not None:
            self._connection.close()
        self._process = self._connection = None


@cache
def _renderer(kind: str) -> Renderer:
    renderer = Renderer(kind)
    atexit.register(renderer.close)
    return renderer


def serve(kind: str, seconds: str, handle: str) -> None:
    """Run the process: answer requests until the other side closes the connection.

    Requests are pickled by this module. Answers are JSON, so that a template that leaves the sandbox cannot send a pickle to
    the other side.
    """
    connection = Connection(int(handle))
    render = {"prompt": _prompt_renderer, "chat": _chat_renderer}[kind]()
    _bound_memory()
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    connection.send_bytes(b"ready")
    while True:
        try:
            template, values = pickle.loads(connection.recv_bytes())  # noqa: S301 - from `Renderer`
        except EOFError:
            return
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(time.process_time()) + int(seconds), hard))
        connection.send_bytes(json.dumps(_answer(render, template, values)).encode())


def _answer(render: Render, template: str, values: Any) -> dict[str, str]:
    try:
        text = render(template, values)
    except Exception as error:  # noqa: BLE001 - a template may fail in any way
        return {"error": type(error).__name__, "message": " ".join(str(error).split())[:1_000]}
    return {"text": text} if len(text) <= CHARACTERS else {"error": "MemoryError"}


def _bound_memory() -> None:
    if (pages := Path("/proc/self/statm")).is_file():  # systems other than Linux ignore a memory limit
        used = int(pages.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def _prompt_renderer() -> Render:
    sandbox = environment(keep_trailing_newline=True)
    sandbox.filters["regex_replace"] = _regex_replace
    compiled = lru_cache(maxsize=1_000)(sandbox.from_string)
    return lambda template, values: compiled(template).render(**values)


def _regex_replace(string: str, pattern: str, repl: str, count: int = 0) -> str:
    """The only filter that lm-eval adds."""
    return re.sub(pattern, repl, string, count=count)


def _chat_renderer() -> Render:
    from transformers.utils.chat_template_utils import render_jinja_template

    def render(template: str, values: Any) -> str:
        rendered, _ = render_jinja_template(
            [values["messages"]], chat_template=template, add_generation_prompt=values["ask"], **values["tokens"]
        )
        return rendered[0]

    return render
