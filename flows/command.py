"""`phiforge`: every command of the project under one name, `phiforge run ~/notes`; `python -m flows.command` is the same.

Each command is a module of this package with `parser(prog, ...)` and `main(argv, prog, ...)`. Only the module of the
given command is imported, so that help is fast. `make` and `python -m flows.NAME` call the same functions. Exit status:
that of the command; 1 outside the project's folder, 2 for an unknown command.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Any

from components.errors import StepError
from components.foreign.terminal import printable_text

NAME = "phiforge"


@dataclass(frozen=True)
class Entry:
    """A command: one line of help, its module, and the arguments of that module's functions."""

    help: str
    module: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def load(self) -> ModuleType:
        return importlib.import_module(self.module)


COMMANDS = {
    "run": Entry(
        "train a pair of models on your text, from raw files to the report", "flows.run", {"flow": "pipeline"}
    ),
    "plan": Entry(
        "print the contents of your text and the plan of a run", "flows.run", {"flow": "pipeline", "plan": True}
    ),
    "corpus": Entry("bring the curated corpus up to date, without models", "flows.run", {"flow": "corpus"}),
    "chat": Entry("talk to a model in the terminal, or serve it to programs", "flows.chat"),
    "up": Entry("start the panel, Prefect with a worker, and MLflow on 127.0.0.1", "flows.up"),
    "champion": Entry("show which model is the champion, and every decision about it", "flows.champion"),
    "promote": Entry("make a version of the registered model the champion", "flows.champion", {"command": "promote"}),
    "rollback": Entry("make the previous champion the champion again", "flows.champion", {"command": "rollback"}),
    "trace": Entry("show where a result comes from, and where a document went", "flows.trace"),
    "records": Entry(
        "write the model card, training-content summary and bill of materials of a model", "flows.exports"
    ),
    "study": Entry("measure the gain of growing a small model", "flows.run", {"flow": "growth-study"}),
    "law": Entry("fit the law that predicts when growing pays", "flows.run", {"flow": "growth-law"}),
    "ablation": Entry("measure the value of each ingredient of the data", "flows.run", {"flow": "data-ablation"}),
    "tune": Entry("fine-tune a model on answers or preferences, and see what that changes", "flows.tune"),
    "compare": Entry("compare the runs that are here, folded over their seeds", "flows.comparing"),
    "sweep": Entry("try configurations of parameters and compare them over seeds", "flows.sweeps"),
    "try": Entry("test a hypothesis about parameters, seed by seed; or print the lab book", "flows.tries"),
    "without": Entry("retrain without some documents, and see what that changes", "flows.without"),
    "forget": Entry("remove documents from the data and the models, with a certificate", "flows.forget"),
    "safety": Entry("measure refusal, stereotypes and leaked secrets of a model", "flows.safety"),
    "step": Entry("run one step of the pipeline alone, with its paths named", "flows.step"),
    "housekeeping": Entry("remove results of earlier runs that are no longer needed", "flows.housekeeping.__main__"),
    "backup": Entry(
        "write databases, cache, registry and experiments to one file", "flows.backup", {"command": "backup"}
    ),
    "restore": Entry("put a backup back, and bring its databases up to date", "flows.backup", {"command": "restore"}),
    "pull": Entry("get the results that dvc.lock names from the remote, each checked", "flows.pull"),
    "token": Entry("create, list and revoke credentials of persons and machines", "flows.tokens"),
    "audit-log": Entry("print who launched, promoted, changed or deleted what", "flows.audit_log"),
    "audit": Entry("list known security advisories for the locked packages", "flows.audit"),
    "completion": Entry("print the completion script of bash or zsh", "flows.completion"),
}
ANYWHERE = {"completion"}  # needs no project


def main(argv: list[str] | None = None) -> int:
    """Run the command that the first word names; returns the exit status."""
    words = sys.argv[1:] if argv is None else argv
    if not words or words[0] not in COMMANDS:
        overview().parse_args(words or ["--help"])  # ends with help, the version, or a refusal
        return 2
    name, *rest = words
    entry = COMMANDS[name]
    try:
        if name not in ANYWHERE and not {"-h", "--help"} & set(rest):
            check_folder(Path.cwd())
    except StepError as error:
        print(f"error: {printable_text(str(error))}", file=sys.stderr)
        return 1
    return entry.load().main(rest, prog=f"{NAME} {name}", **entry.options)


def check_folder(here: Path) -> None:
    """Refuse a folder outside the project, in which it would be unclear which project is meant.

    Raises:
        StepError: `here` is outside the project's folder, and PHIFORGE_HOME is not set.
    """
    from flows import settings  # importing it takes half the time of a help text

    root = settings.project_root()
    if not os.environ.get(settings.HOME) and not here.resolve().is_relative_to(root):
        raise StepError(
            f"{NAME}: started in {here}; expected {root}, to which this command belongs, or a folder in it; change to it, or "
            f"set {settings.HOME} to it"
        )


def overview() -> argparse.ArgumentParser:
    """The parser of the first word alone."""
    lines = [f"  {name:<14}{entry.help}" for name, entry in COMMANDS.items()]
    parser = argparse.ArgumentParser(
        prog=NAME,
        usage="%(prog)s COMMAND [ARGUMENT ...]",
        description="From raw text to a benchmarked pair of small language models.",
        epilog="\n".join(
            [
                "commands:",
                *lines,
                "",
                f"`{NAME} COMMAND --help` explains a command. All work from the project's folder and every folder in it.",
            ]
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {_version()}", help="print the version")
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help=argparse.SUPPRESS)
    return parser


def _version() -> str:
    try:
        return version(NAME)
    except PackageNotFoundError:
        return "(not installed; run: make setup)"


if __name__ == "__main__":
    sys.exit(main())
