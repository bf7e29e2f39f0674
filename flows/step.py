"""`phiforge step NAME ...`: one step alone, `python -m components.NAME ...` in the project's folder."""

import argparse
import ast
import os
import sys
from difflib import get_close_matches
from pathlib import Path

from components.errors import StepError
from components.foreign.terminal import printable_text
from flows import settings

COMPONENTS = Path(__file__).parents[1] / "components"


def main(argv: list[str] | None = None, prog: str = "python -m flows.step") -> int:
    """Replace this process by the step; returns, with an exit status, only if the step does not exist."""
    arguments = parser(prog).parse_args(argv)
    try:
        check_name(arguments.name)
    except StepError as error:
        print(f"error: {printable_text(str(error))}", file=sys.stderr)
        return 1
    os.chdir(settings.project_root())
    command = [sys.executable, "-m", f"components.{arguments.name}", *arguments.rest]
    os.execve(sys.executable, command, os.environ | {"PYTHONPATH": str(COMPONENTS.parent)})  # replaces this process


def check_name(name: str) -> None:
    """Refuse a name that is not a command of `components`.

    Raises:
        StepError: the message names the most similar step, or all of them.
    """
    parts = name.split(".")
    place = COMPONENTS.joinpath(*parts) if all(map(str.isidentifier, parts)) else COMPONENTS
    files = [path for path in (place / "__main__.py", place.with_suffix(".py")) if path.is_file()]
    if not any('__name__ == "__main__"' in path.read_text(encoding="utf-8") for path in files):
        near = get_close_matches(name, steps(), 1) or [", ".join(steps())]
        raise StepError(f"step {name!r} does not exist; expected {near[0]}; correct the name")


def steps() -> dict[str, str]:
    """A description of each step, by name."""
    files = sorted(COMPONENTS.glob("*/__main__.py"))
    return {path.parent.name: _summary(path) for path in files}


def _summary(path: Path) -> str:
    """The first sentence of a step's help, from its source without an import."""
    calls = (node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call))
    words = (word for call in calls for word in call.keywords if word.arg == "description")
    text = next((str(word.value.value) for word in words if isinstance(word.value, ast.Constant)), "")
    return text.partition(". ")[0].removesuffix(".")


def parser(prog: str = "python -m flows.step") -> argparse.ArgumentParser:
    """The command line of one step alone."""
    listed = [f"  {name:<14}{about}" for name, about in steps().items()]
    made = argparse.ArgumentParser(
        prog=prog,
        description="Run one step alone on named paths, which are relative to the project's folder, as in dvc.yaml.",
        epilog="\n".join(["steps:", *listed]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("name", metavar="NAME", help="name of the step, or of a command in it, such as curation.why")
    made.add_argument("rest", nargs=argparse.REMAINDER, metavar="...", help="options of the step; --help lists them")
    return made


if __name__ == "__main__":
    sys.exit(main())
