"""`phiforge try "HYPOTHESIS" --set KEY=VALUE --smallest D`: an experiment that cannot fool anyone; docs/experiments.md.

Registers the question, buys seeds one after the other until the difference is told apart or hopeless, and re-tests winners
on the sealed half of the exam. Without a hypothesis it prints the lab book. Exit status: 0 for any verdict, 1 refused or
failed, 130 stopped by Ctrl-C; an interrupted try resumes.
"""

import argparse
import getpass
import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from components.errors import StepError, short
from components.files import parse_json, read_text
from components.foreign.terminal import printable_text
from components.params import PARAMS_FILE, load_params, parse_overrides
from components.params.sizing import WIDTHS
from components.running.revision import git, read_revision
from components.trials.figures import METRICS
from components.trials.ledger import lab_book
from components.trials.tries import Question, close, read_question, register
from flows import settings
from flows.client.trials import ledger_of
from flows.definitions import PIPELINE
from flows.parameters import resolve
from flows.run import failure_of, served
from flows.sizes import Asked

PROG = "python -m flows.tries"


def main(argv: list[str] | None = None, prog: str = PROG) -> int:
    """Ask a question, or print the lab book; returns the exit status."""
    arguments = parser(prog).parse_args(argv)
    root = settings.project_root()
    try:
        if arguments.schema:
            print(json.dumps(Question.model_json_schema(), indent=2))
        elif arguments.close is not None:
            _print(close(ledger_of(root), arguments.close, arguments.reason).record(), arguments.json)
        elif arguments.hypothesis is None and arguments.question is None:
            refuse_unasked(arguments)
            tries = ledger_of(root).tries()
            listed = json.dumps([one.record() for one in tries], indent=2)
            print(listed if arguments.json else printable_text(lab_book(tries)))
        else:
            _print(ask(root, question_of(root, arguments), arguments.by), arguments.json)
    except KeyboardInterrupt:
        print("\nStopped. The try stays open; the same command resumes it.", file=sys.stderr)
        return 130
    except StepError as error:
        print(f"error: {printable_text(str(error))}", file=sys.stderr)
        return 1
    return 0


def refuse_unasked(arguments: argparse.Namespace) -> None:
    """Refuse options of a question that has no hypothesis, for which printing the lab book would look like an answer.

    Raises:
        StepError: such an option was given.
    """
    names = ("set", "base", "smallest", "metric", "direction", "most", "profile", "text", "size")
    if given := [f"--{name}" for name in names if getattr(arguments, name)]:
        raise StepError(f"try: {', '.join(given)} without a hypothesis; expected it in words; put it first")


def read_json_question(given: str | None) -> dict[str, Any]:
    """The JSON object of a file, or of standard input for `-`; empty without one.

    Raises:
        StepError: it is not a JSON object.
    """
    if not given:
        return {}
    try:
        found = parse_json(sys.stdin.read() if given == "-" else read_text(Path(given)))
    except (OSError, ValueError) as error:
        raise StepError(f"--question {given}: not a JSON object ({error}); --schema prints the form") from None
    if not isinstance(found, dict):
        raise StepError(f"--question {given}: {short(found)} is not a JSON object; --schema prints the form")
    return found


def question_of(root: Path, arguments: argparse.Namespace) -> Question:
    """The question of the command line, or of a JSON file; options take precedence.

    Raises:
        StepError: it is refused, or its parameters are.
    """
    values = read_json_question(arguments.question)
    given = {
        "hypothesis": arguments.hypothesis,
        "set": parse_overrides(arguments.set),
        "base": parse_overrides(arguments.base),
        **{name: getattr(arguments, name) for name in ("profile", "metric", "direction", "smallest", "most")},
    }
    values |= {name: value for name, value in given.items() if value not in (None, {})}
    question = read_question(values)
    asked = Asked(question.base, question.profile, tuple(arguments.text), arguments.size)
    if asked.texts or asked.size:
        question = question.model_copy(
            update={"base": resolve(root, asked, PIPELINE, Console(stderr=True), Path.cwd()).overrides}
        )
    arms: tuple[dict[str, Any], ...] = ({}, question.set)
    usual, tried = (load_params(root / PARAMS_FILE, {**question.base, **arm}, question.profile) for arm in arms)
    if usual == tried:
        raise StepError(
            f"--set: {short(question.set)} is what both arms have already; expected another value; correct it"
        )
    return question


def ask(root: Path, question: Question, by: str = "") -> dict[str, Any]:
    """Register a question and carry it out; returns the try's record.

    Raises:
        StepError: the question was answered, or a run failed.
    """
    revision = read_revision(root)
    source = {"tree": revision.tree, "commit": revision.commit, "description": revision.description}
    one = register(ledger_of(root), question, by or author(root), source)
    text = (
        f"try {one.number}: level {one.registered['level']:.4g}, {len(one.seeds)} seeds so far; {ledger_of(root).book}"
    )
    print(text, file=sys.stderr, flush=True)
    flow = served(root, "flows.trying").try_out
    if failure := failure_of(flow(one.number, return_state=True)):
        raise StepError(f"try {one.number}: {failure}\nThe try stays open; the same command resumes it.")
    return next(found for found in ledger_of(root).tries() if found.number == one.number).record()


def author(root: Path) -> str:
    """Git's name of the user, or the machine's."""
    try:
        return git(root, "config", "user.name")
    except StepError:
        return getpass.getuser()


def _print(found: dict[str, Any], as_json: bool) -> None:
    ending = f"{found['verdict']['outcome'].upper()}: {found['verdict']['text']}"
    print(json.dumps(found, indent=2) if as_json else printable_text(ending))


def parser(prog: str = PROG) -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog=prog,
        description="Test a hypothesis about parameters seed by seed, with a registered question and a false-discovery "
        "budget; without a hypothesis, print the lab book.",
        epilog=f"metrics: {', '.join(METRICS)}",
    )
    made.add_argument("hypothesis", nargs="?", metavar="HYPOTHESIS", help="the hypothesis in words")
    setting: dict[str, Any] = {"action": "append", "default": [], "metavar": "SECTION.KEY=VALUE"}
    made.add_argument("--set", help="parameter that the try changes; repeatable", **setting)
    made.add_argument("--base", help="parameter of both arms that differs from params.yaml; repeatable", **setting)
    made.add_argument(
        "--smallest", type=float, metavar="D", help="smallest difference of interest, in the metric's unit"
    )
    made.add_argument("--metric", metavar="METRIC", help="figure to compare (default small.exam_bits_per_byte)")
    made.add_argument("--direction", choices=("higher", "lower"), help="expected direction (default: the better one)")
    made.add_argument("--most", type=int, metavar="N", help="maximum number of seeds (default 8)")
    made.add_argument("--profile", metavar="NAME", help="apply profiles/NAME.yaml to both arms")
    made.add_argument("--text", action="append", default=[], metavar="PATHS", help="train both arms on this text")
    made.add_argument("--size", choices=("auto", *WIDTHS), help="size of the smaller model in both arms")
    made.add_argument("--by", default="", metavar="NAME", help="who asks, for the lab book (default: git's user name)")
    made.add_argument(
        "--question", metavar="FILE", help="read the question from a JSON file, or from - (standard input)"
    )
    made.add_argument("--close", type=int, metavar="N", help="end try N without an answer, such as one whose runs fail")
    made.add_argument("--reason", default="", metavar="TEXT", help="why --close ends it, for the lab book")
    made.add_argument("--schema", action="store_true", help="print the JSON schema of a question")
    made.add_argument("--json", action="store_true", help="print the result as JSON; progress goes to standard error")
    return made


if __name__ == "__main__":
    sys.exit(main())
