"""Talk to a model in the terminal: `phiforge chat [MODEL] [--beside MODEL]`, `make chat`, `python -m flows.chat`.

On a terminal it takes prompts and commands until /quit or Ctrl-D. Piped text is one prompt; lines at its beginning that
start with / are commands. Answers are written to standard output, everything else to standard error.
Exit status: 0 done, 1 refused, 130 stopped by Ctrl-C.
"""

import argparse
import contextlib
import os
import re
import sys
from typing import TYPE_CHECKING, Any

from components.errors import StepError
from components.files import scratch_directory
from components.foreign.terminal import printable
from components.running.options import Help
from flows.models import find_model
from flows.server import port_taken
from flows.settings import project_root, state_folder

if TYPE_CHECKING:
    from components.phi.conversation import Conversation
    from components.phi.passages import Passage
    from components.phi.text import TextModel

PROG = "python -m flows.chat"
READY = 10  # held-out texts to continue
PORT = 8000


def main(argv: list[str] | None = None, prog: str = PROG) -> int:
    """Talk until the person quits; returns the exit status."""
    arguments = parser(prog).parse_args(argv)
    given: Any = sys.stdin
    shown: Any = sys.stdout
    given.reconfigure(errors="surrogateescape")  # a prompt that is not UTF-8 is refused in words
    shown.reconfigure(errors="backslashreplace")
    try:
        if arguments.serve:
            return _serve(arguments)
        talk = _conversation(arguments)
        (_interactive if sys.stdin.isatty() else _piped)(talk)
    except StepError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `make chat | head`
        sys.stderr.close()
        return 0
    return 0


def _conversation(arguments: argparse.Namespace) -> "Conversation":
    root = project_root()
    folder = find_model(arguments.model or "", root)  # refuses a missing model before torch is imported
    folders = {arguments.model or folder.name: folder}
    if arguments.beside in folders:
        raise StepError(f"--beside {arguments.beside}: it is already the first model; name another")
    if arguments.beside:
        folders[arguments.beside] = find_model(arguments.beside, root)
    from components.phi import machine

    machine.prepare()
    from components.phi.conversation import Conversation, unescaped
    from components.phi.generation import Sampling
    from components.phi.text import TextModel, Wish

    def open_model(name: str) -> "TextModel":
        return TextModel.load(folders.get(name) or find_model(name, root))

    sampling = Sampling(arguments.temperature, arguments.top_k, arguments.top_p, arguments.seed)
    wish = Wish(arguments.max_tokens, sampling, tuple(map(unescaped, arguments.stop)))
    return Conversation(open_model, _passages, folders, wish, arguments.complete)


def _interactive(talk: "Conversation") -> None:
    """Take lines from a person. A mistake is explained, Ctrl-C ends an answer, and the conversation continues."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 - input() then edits lines and remembers them
    while not talk.ended:
        try:
            line = input("> ")
        except EOFError:
            print(file=sys.stderr)
            return
        try:
            if line.strip():
                talk.take(line)
        except StepError as error:
            print(f"error: {printable(str(error))}", file=sys.stderr)
        except KeyboardInterrupt:
            print("\n(stopped)", file=sys.stderr)


def _piped(talk: "Conversation") -> None:
    """Take everything as one prompt, after the commands that it begins with."""
    text = sys.stdin.read()
    given = bool(text.strip())
    while text.startswith("/") and not text.startswith("//") and not talk.ended:
        line, _, text = text.partition("\n")
        talk.take(line)
    if text.strip() and not talk.ended:
        talk.take(text.removesuffix("\n"))
    elif not given:
        raise StepError('standard input is empty; pipe a prompt (echo "def f(" | make chat), or start from a terminal')


def _passages(model: "TextModel") -> "list[Passage]":
    passages, own = passages_of(model, READY)
    if not own:
        name = printable(model.folder.name)
        print(f"({name} was not trained on this data split, so it may have seen these texts)", file=sys.stderr)
    return passages


def passages_of(model: "TextModel", count: int) -> "tuple[list[Passage], bool]":
    """Held-out texts of the run that made a model, or else of the project; and whether the model was trained on the other
    part of that data.

    Raises:
        StepError: there are no tokens.
    """
    from components.phi.checkpoint import read_lineage
    from components.phi.passages import held_out_passages
    from components.tokens import Tokens

    own = model.folder.resolve().parent.parent
    place = next((p for p in (own, project_root()) if (p / "data" / "tokens").is_dir()), None)
    if place is None:
        raise StepError("there is no held-out text: data/tokens does not exist; run `make run` first")
    tokens = Tokens.open(place / "data" / "tokens")
    trained_on = read_lineage(model.folder).get("tokens_fingerprint")
    return held_out_passages(tokens, count), trained_on == tokens.manifest.fingerprint


def _serve(arguments: argparse.Namespace) -> int:
    """Serve the model until it is stopped. It is exported first, which adds our chat template if it has none."""
    root = project_root()
    source = find_model(arguments.model or "", root)
    from components.phi import serve
    from components.phi.export import export
    from components.phi.template import read_template

    serve.check_packages()
    if not 0 < arguments.port < 65536 or port_taken(arguments.port):
        raise StepError(f"--port {arguments.port} is taken, or not a port; choose another from 1 to 65535")
    served = state_folder(root) / "served" / re.sub(r"[^\w.-]", "-", source.resolve().name)
    with scratch_directory(state_folder(root)) as scratch:
        own = read_template(source)  # a person who names a checkpoint trusts its template; export tests it first
        given = None
        if own is not None:
            given = scratch / "chat_template.jinja"
            given.write_text(own, encoding="utf-8")
        export(source, served, chat_template=given)
    address = f"http://{serve.HOST}:{arguments.port}/v1"
    key = f"the key in {serve.KEY}" if os.environ.get(serve.KEY) else f"no key; set {serve.KEY} to require one"
    print(
        f"Serving {source} as {served.name!r} at {address}, to this machine only, with {key}. Stop with Ctrl-C.\n"
        f"  curl {address}/completions -H 'Content-Type: application/json' "
        f"""-d '{{"model": "{served.name}", "prompt": "def add(a, b):", "max_tokens": 32}}'""",
        file=sys.stderr,
        flush=True,
    )
    serve.serve(served, arguments.port)
    return 0


def parser(prog: str = PROG) -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog=prog,
        description="Talk to a model: it continues text, or chats if its checkpoint has a chat template.",
        formatter_class=Help,
    )
    add: Any = made.add_argument
    named = (
        "small, large, control, a checkpoint folder, models:/NAME/3, models:/NAME@ALIAS, or an alias such as champion"
    )
    add("model", nargs="?", help=f"model to talk to: {named} (default: large, else small, of the last run)")
    add("--beside", metavar="MODEL", help="second model that answers the same prompts next to the first")
    add("--temperature", type=float, default=0.7, help="sampling temperature; 0 = greedy decoding")
    add(
        "--top-p",
        type=float,
        default=0.95,
        help="sample only from the most likely tokens that together reach this probability",
    )
    add("--top-k", type=int, default=0, help="sample only from this many most likely tokens; 0 = all")
    add("--seed", type=int, default=1, help="seed of the sampling; the same seed gives the same answer")
    add("--max-tokens", type=int, default=128, help="maximum answer length in tokens")
    add(
        "--stop",
        action="append",
        default=[],
        metavar="TEXT",
        help=r"end an answer before this text (\n: end of line); repeatable",
    )
    add("--complete", action="store_true", help="continue text even if the checkpoint has a chat template")
    add("--serve", action="store_true", help="serve the model with an OpenAI-compatible API on 127.0.0.1 instead")
    add("--port", type=int, default=PORT, help="port of --serve")
    return made


if __name__ == "__main__":
    sys.exit(main())
