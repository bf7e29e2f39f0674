"""The command line of all steps: named inputs and outputs, `--params`, `--set`, `--summary`.

A step's `__main__.py` declares its `Command` and calls `main`. The rest is here: parameters are checked before
any work, outputs appear complete or not at all (steps write through `components.files`), the summary is written last, the
run is logged to MLflow, and a failure ends with one clear line.
"""

import argparse
import os
import pkgutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.errors import MESSAGE, Diverged, StepError, clipped, is_panic
from components.files import NO_ROOM, not_a_file, write_json
from components.foreign.addresses import without_secrets
from components.foreign.terminal import printable, printable_text
from components.params import PARAMS_FILE, Params, load_params
from components.running.options import Help
from components.sandbox import kernel
from components.tracking import Tracker, flat_numbers, track

ANYTHING = "*"  # `holds` of an output folder that is extended, not replaced
DIVERGED = 3  # exit status of a training run whose loss became NaN or infinite
TRACEBACK = 50_000  # maximum characters of a shown traceback
WITHIN = "PHIFORGE_WITHIN"  # set for steps that another step runs; only the outer step logs to MLflow

Paths = dict[str, Any]  # a Path, a list of Paths or None, by argument name
Run = Callable[[Paths, Paths, Params, Tracker], dict[str, Any]]


@dataclass(frozen=True)
class Argument:
    """One named argument of a step. `type` is Path for data; otherwise it is an option (`--seed`).

    Attributes:
        holds: makes an output a folder, which is replaced as a whole. It is the name (a pattern) of a file in all folders of
            this kind; other folders are not replaced. An output without `holds` is a file.
    """

    name: str
    help: str
    required: bool = True
    many: bool = False
    type: Callable[[str], Any] = Path
    default: Any = None
    choices: tuple[str, ...] | None = None
    holds: str | None = None


@dataclass(frozen=True)
class Command:
    """A step as a command: its name, its arguments, and the sections of params.yaml that it reads.

    `run(inputs, outputs, params, tracker)` does the work and returns the summary, a JSON object of facts about the data
    (no times): equal inputs give an equal summary. `inputs` also has the options, `outputs` the path of the `summary`,
    which is written for the step. Given as `module:function`, it is imported only when the step runs.
    """

    step: str
    description: str
    run: Run | str
    inputs: tuple[Argument, ...] = ()
    outputs: tuple[Argument, ...] = ()
    sections: tuple[str, ...] = ()
    tracked: bool = True  # False for a step that runs every time, mostly without news


def main(command: Command, argv: list[str] | None = None) -> None:
    """Run a step from the command line and exit with 0 (done), 1 (refused or failed), 2 (wrong arguments) or 3 (diverged)."""
    _die_with_parent()
    arguments = _parser(command).parse_args(argv)
    sys.exit(execute(command, arguments))


def execute(command: Command, arguments: argparse.Namespace) -> int:
    """Run a step with parsed arguments and return the exit status."""
    started, cpu = time.monotonic(), time.process_time()
    given = vars(arguments)
    inputs = {a.name: given[a.name] for a in command.inputs}
    outputs = {a.name: given[a.name] for a in command.outputs}
    try:
        params = load_params(arguments.params, arguments.set)
        _check_inputs(command, inputs)
        _check_outputs(command, inputs, arguments)
        dependencies = [str(p) for a in command.inputs if a.type is Path for p in _as_list(inputs[a.name])]
        sections = only(params, command.sections)
        tracked = command.tracked and WITHIN not in os.environ
        with track(command.step, sections, dependencies) if tracked else nullcontext(Tracker()) as tracker:
            run = pkgutil.resolve_name(command.run) if isinstance(command.run, str) else command.run
            summary = run(inputs, outputs | {"summary": arguments.summary}, params, tracker)
            seconds, cpu_seconds = time.monotonic() - started, time.process_time() - cpu
            tracker.metrics(flat_numbers(summary) | {"seconds": seconds, "cpu_seconds": cpu_seconds})
            if arguments.summary:
                write_json(arguments.summary, summary)
    except StepError as error:
        _say_failed(command, str(error))
        return DIVERGED if isinstance(error, Diverged) else 1
    except KeyboardInterrupt:
        _say_failed(command, "interrupted")
        return 128 + signal.SIGINT
    except BaseException as error:  # the last line must be clear for every failure
        if not isinstance(error, Exception) and not is_panic(error):
            raise
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            place = f" for {error.filename}" if error.filename else ""
            _say_failed(command, f"disk full{place}: {error.strerror}; free some space and run again")
            return 1
        if isinstance(error, OSError) and error.filename and _is_at(str(error.filename), outputs.values()):
            _say_failed(command, f"{error.filename} cannot be written ({error.strerror}); name another folder")
            return 1
        text = "".join(traceback.format_exception(error))
        print(printable_text(clipped(without_secrets(text), TRACEBACK)), file=sys.stderr)
        _say_failed(command, f"{type(error).__name__}: {error}")
        return 1
    print(f"{command.step}: done in {seconds:.1f} s", flush=True)
    return 0


def _say_failed(command: Command, reason: str) -> None:
    """Print the reason as one line without control characters."""
    line = printable(" ".join(clipped(without_secrets(reason), MESSAGE).split()))
    print(f"error: {command.step}: {line}", file=sys.stderr, flush=True)


def _is_at(name: str, outputs: Iterable[Path | None]) -> bool:
    """Whether a path is the folder of an output, or lies above it."""
    return any(Path(name) in path.resolve().parents for path in outputs if path)


def only(params: Params, sections: tuple[str, ...]) -> dict[str, Any]:
    """The sections that a step may read, for MLflow."""
    return {name: value for name, value in params.model_dump(mode="json").items() if name in sections}


def _parser(command: Command) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m components.{command.step}",
        description=command.description,
        formatter_class=Help,
    )
    for a in command.inputs + command.outputs:
        parser.add_argument(
            f"--{a.name.replace('_', '-')}",
            dest=a.name,
            help=a.help,
            required=a.required,
            type=a.type,
            default=a.default,
            choices=a.choices,
            nargs="+" if a.many else None,
            metavar=None if a.choices else "DIR" if a.type is Path else "VALUE",
        )
    parser.add_argument("--params", type=Path, default=PARAMS_FILE, metavar="FILE", help="parameters")
    parser.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override one parameter; repeatable"
    )
    parser.add_argument("--summary", type=Path, metavar="FILE", help="file for the summary (JSON)")
    return parser


def _check_inputs(command: Command, inputs: Mapping[str, Any]) -> None:
    for a in command.inputs:
        if a.type is Path:
            for path in _as_list(inputs[a.name]):
                option = f"--{a.name.replace('_', '-')}: {path}"
                if not path.exists():
                    raise StepError(f"{option} does not exist")
                if not path.is_dir() and (reason := not_a_file(path)):
                    raise StepError(f"{option} {reason}; name a file or a folder")


def _check_outputs(command: Command, inputs: Mapping[str, Any], arguments: argparse.Namespace) -> None:
    """Refuse, before any work, an output that cannot be written, or that would replace an input or other people's files."""
    given = [path for a in command.inputs if a.type is Path for path in _as_list(inputs[a.name])]
    folders = {path.resolve() for path in given if path.is_dir()}
    given = [path.resolve() for path in [*given, arguments.params]]
    needed = {Path.cwd(), *Path.cwd().parents, *given}.union(*(path.parents for path in given))
    seen: dict[Path, str] = {}
    for a in (*command.outputs, Argument("summary", "")):
        path = getattr(arguments, a.name)
        if path is None or a.type is not Path:
            continue
        option, place = f"--{a.name.replace('_', '-')}: {path}", path.resolve()
        if place in needed:
            raise StepError(
                f"{option} would be replaced as a whole, but it is or contains an input or the current folder; "
                "name another path"
            )
        if inside := folders & set(place.parents):
            raise StepError(f"{option} is inside the input {inside.pop()}; name another path")
        for other, name in seen.items():
            if place == other or place in other.parents or other in place.parents:
                raise StepError(f"{option} and --{name} overlap, so one would replace the other; name separate paths")
        seen[place] = a.name.replace("_", "-")
        _check_place(option, path, a.holds)


def _check_place(option: str, path: Path, holds: str | None) -> None:
    """Refuse a path that cannot be written, or with content of other origin."""
    if holds is None and path.is_dir():
        raise StepError(f"{option} is a folder; expected a file; name a file")
    if holds is None and path.exists() and not path.is_file():
        raise StepError(f"{option} is not a regular file; expected a path for a new file; name a file")
    if holds is not None and path.is_symlink():
        raise StepError(f"{option} is a link; expected a folder; name its target, {path.resolve()}")
    if holds is not None and path.exists() and not path.is_dir():
        raise StepError(f"{option} is a file; expected a folder; name a folder")
    if holds is not None and path.is_dir() and any(path.iterdir()) and not any(path.glob(holds)):
        raise StepError(
            f"{option} would be replaced as a whole, but it contains no {holds}, so another program made it; name a new "
            "folder, or empty this one yourself"
        )
    nearest = next(parent for parent in path.resolve().parents if parent.exists())
    if not nearest.is_dir():
        raise StepError(f"{option} cannot be written: {nearest} is a file")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise StepError(f"{option} cannot be written: {nearest} is not writable for this user")


def _as_list(value: Any) -> list[Path]:
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def _die_with_parent() -> None:
    """On Linux, end this step when DVC ends, so that a killed run leaves no processes."""
    if kernel.LINUX and (os.environ.get("DVC_STAGE") or os.environ.get(WITHIN)):
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGTERM)
