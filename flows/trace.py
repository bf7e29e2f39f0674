"""`phiforge trace WHAT`: where a result comes from, where a document went, or which documents a text repeats."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from components.errors import StepError
from components.files import read_text
from components.foreign.terminal import printable_text
from components.tracing.kinds import KINDS
from flows import settings

PROG = "python -m flows.trace"


def main(argv: list[str] | None = None, prog: str = PROG) -> int:
    """Print a trace; returns the exit status."""
    made = parser(prog)
    arguments = made.parse_args(argv)
    if (arguments.what is None) == (arguments.text is None):
        made.error("give WHAT, or --text FILE")
    if arguments.shown < 0:
        made.error(f"--shown {arguments.shown} is negative; expected 0 or more")
    root = settings.project_root()
    try:
        found = _found(root, arguments)
    except StepError as error:
        print(f"error: {printable_text(str(error))}", file=sys.stderr)
        return 1
    if arguments.json:
        print(json.dumps(found, ensure_ascii=False, default=str))  # on one line: indented, it takes 50 times as long
        return 0
    from components.tracing.words import lines

    for line in lines(found):
        print(printable_text(line))
    return 0


def _found(root: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    from flows.client import origins

    project = origins.open_project(root)
    if arguments.text is None:
        return origins.trace(project, arguments.what, arguments.kind, arguments.shown)
    from components.tracing.spans import longest_spans

    return longest_spans(project, _text(arguments.text), arguments.model, arguments.shown)


def _text(path: Path) -> str:
    try:
        return sys.stdin.read() if str(path) == "-" else read_text(path)
    except OSError as error:
        raise StepError(
            f"--text: {path} cannot be read ({error.strerror}); name a text file, or - for input"
        ) from error
    except ValueError as error:
        raise StepError(f"--text: {path} is not UTF-8 text ({error}); name another file, or - for input") from error


def parser(prog: str = PROG) -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog=prog,
        description="Show where a result comes from, where documents went, or which documents a text repeats.",
        epilog="Backward: version or alias of the registered model, model (`large`), checkpoint folder, scores or report by "
        "path, id of an exam question, id or name of a run in MLflow or Prefect. Forward, to every checkpoint that has read "
        "it: id of a document, source, licence, teacher or prompt.",
    )
    made.add_argument(
        "what", nargs="?", metavar="WHAT", help="what to trace, such as champion, reports/final or PSF-2.0"
    )
    made.add_argument(
        "--kind", choices=KINDS, default="", metavar="KIND", help="what WHAT is, if several fit: " + ", ".join(KINDS)
    )
    made.add_argument(
        "--text",
        type=Path,
        metavar="FILE",
        help="find the longest spans of this text in the training tokens; - reads input",
    )
    made.add_argument(
        "--model",
        default="",
        metavar="WHAT",
        help="the model whose training tokens --text searches (default: large, of the latest run)",
    )
    made.add_argument(
        "--shown", type=int, default=5, metavar="N", help="maximum documents shown one by one (default: 5)"
    )
    made.add_argument("--json", action="store_true", help="print everything as JSON")
    return made


if __name__ == "__main__":
    sys.exit(main())
