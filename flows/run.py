"""The whole pipeline on the terminal: `phiforge run [TEXT ...]`, `make run`, `python -m flows.run [--text TEXT]`.

`phiforge study` and `make study` run the growth study (`python -m flows.run growth-study`), `phiforge law` and `make law`
the growth law (`growth-law`), `phiforge ablation` and `make ablation` the data ablation (`data-ablation`), `phiforge corpus`
and `make corpus` the pipeline's stages up to the curated corpus (`corpus`); `phiforge plan` stops after the plan (`--plan`).
`phiforge plan grow` advises whether to grow a small model (components.study.growth.law.advise).

Before any work it prints the contents of the text and the plan. Then it shows the stages, live on a terminal and otherwise
as plain lines, and ends with the result and next steps.
Exit status: 0 done, 1 failed or refused, 130 stopped by Ctrl-C, 143 by SIGTERM.
"""

import argparse
import importlib
import io
import os
import signal
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

from rich.console import Console

from components.errors import StepError
from components.foreign.terminal import printable_text
from components.params import parse_overrides
from components.params.sizing import WIDTHS
from flows import events, settings, step
from flows import plan as plans
from flows.definitions import DEFINITIONS, PIPELINE
from flows.parameters import resolve
from flows.screen import Screen, closing_screen
from flows.server import connect
from flows.sizes import Asked
from flows.unchanged import all_cached

PROG = "python -m flows.run"
GROW, ADVISOR = "grow", "study.growth.law.advise"  # `phiforge plan grow`; a folder of that name is ./grow


def main(
    argv: list[str] | None = None, prog: str = PROG, flow: str = "", plan: bool = False, screen: Screen | None = None
) -> int:
    """Run the pipeline from the command line, with the options of `parser`; returns the exit status.

    Args:
        screen: shows the run, and knows its folder afterwards.
    """
    words = sys.argv[1:] if argv is None else argv
    if plan and words[:1] == [GROW]:
        return step.main([ADVISOR, *words[1:]])
    arguments = parser(prog, flow, plan).parse_intermixed_args(words)
    root = settings.project_root()
    signal.signal(signal.SIGTERM, _terminate)
    started = time.monotonic()
    screen = screen or Screen()
    try:
        promotion = _promotion(arguments)
        texts = (*arguments.texts, *arguments.text)
        asked = Asked(parse_overrides(arguments.set), arguments.profile, texts, arguments.size)
        if plan:
            return _plan(root, asked, arguments, screen.console)
        overrides = resolve(root, asked, DEFINITIONS[arguments.flow], screen.console, Path.cwd()).overrides
        if arguments.plan:
            return 0
        settings.configure(root)
        with screen, events.listen(screen.on_event):
            definition = DEFINITIONS[arguments.flow]
            if all_cached(root, definition, overrides, arguments.profile, arguments.promote):
                failure = ""
            else:
                failure = failure_of(_run(root, arguments.flow, overrides, arguments.profile, promotion))
    except KeyboardInterrupt:
        print("\nStopped. Finished stages are kept; run again to resume.", file=sys.stderr)
        return 130
    except StepError as error:
        print(f"error: {printable_text(str(error))}", file=sys.stderr)
        return 1
    finally:
        # Only Prefect's last logs are still sent; a signal may end that without a message.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    if failure:
        print(f"error: {printable_text(failure)}", file=sys.stderr)
        return 1
    closing_screen(root, DEFINITIONS[arguments.flow], screen, time.monotonic() - started)
    return 0


def _run(root: Path, flow: str, overrides: dict[str, Any], profile: str | None, promotion: dict[str, bool]) -> Any:
    flows = served(root, "flows.pipeline").FLOWS
    return flows[flow](overrides=overrides, profile=profile, **promotion, return_state=True)


def served(root: Path, module: str) -> ModuleType:
    """A module of flows, imported while a Prefect server for them starts."""
    settings.configure(root)
    # Prefect reads its settings when it is imported. Its logs go to its server, but not to the terminal.
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    server = connect(root)
    found = importlib.import_module(module)  # takes a second or two
    if server is not None:
        from flows import recovery

        server.wait()
        recovery.close_orphans(root, lambda text: events.emit("note", text=text))
    return found


def _plan(root: Path, asked: Asked, arguments: argparse.Namespace, console: Console) -> int:
    """Print the plan of a run."""
    from components.planning.machines import machine

    other = None if arguments.on is None else machine(arguments.on)
    quiet = Console(file=io.StringIO()) if arguments.json else console
    found = resolve(root, asked, DEFINITIONS[arguments.flow], quiet, Path.cwd(), with_time=False)
    made = plans.plan_of(root, found.overrides, asked.profile, found.text_bytes, other)
    if arguments.json:
        print(plans.as_json(made))
    else:
        plans.show(made, console)
    return 0


def _promotion(arguments: argparse.Namespace) -> dict[str, bool]:
    """The flow's argument for promotion.

    Raises:
        StepError: the option was given for a flow other than the pipeline.
    """
    if arguments.promote is None:
        return {}
    if arguments.flow != PIPELINE.flow:
        raise StepError(
            f"--promote: {arguments.flow} does not register a model; expected {PIPELINE.flow}; leave the option out"
        )
    return {"promote": arguments.promote}


def failure_of(state: Any) -> str:
    """The message of the error with which the flow ended, or an empty string."""
    if state.is_completed():
        return ""
    error = state.result(raise_on_failure=False)
    return str(error) if isinstance(error, BaseException) else (state.message or state.name)


def _terminate(*_: object) -> None:
    sys.exit(143)


def parser(prog: str = PROG, flow: str = "", plan: bool = False) -> argparse.ArgumentParser:
    """The command line of a run.

    Args:
        flow: the flow to run; then the arguments are texts. If empty, the argument is the flow.
        plan: always stop after the plan.
    """
    title = DEFINITIONS[flow or PIPELINE.flow].title
    described = f"Print the plan of a run of {title}, without running it." if plan else f"Run {title} on the terminal."
    grow = (
        f"`{prog} {GROW}` advises whether to grow a small model; `{prog} {GROW} --help` explains it" if plan else None
    )
    made = argparse.ArgumentParser(prog=prog, description=described, epilog=grow)
    made.set_defaults(flow=flow, plan=plan, promote=None)
    if flow:
        made.add_argument(
            "texts", nargs="*", metavar="TEXT", help="train on this text: a folder, file, pattern or address"
        )
    else:
        made.set_defaults(texts=[])
        titles = "; ".join(f"{name}: {definition.title}" for name, definition in DEFINITIONS.items())
        made.add_argument(
            "flow",
            nargs="?",
            choices=tuple(DEFINITIONS),
            default=PIPELINE.flow,
            help=f"{titles} (default: {PIPELINE.flow})",
        )
    if plan:
        made.add_argument("--json", action="store_true", help="print the plan as JSON")
        made.add_argument(
            "--on",
            metavar="MACHINE",
            help="plan for another machine: h200, 8xh200, 96xa100 or a YAML file (components/planning/machines.yaml)",
        )
    else:
        made.add_argument(
            "--plan", action="store_true", help="print the contents of the text and the plan, then stop before any work"
        )
    made.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="override one parameter for this run, which then uses its own workspace; repeatable",
    )
    made.add_argument(
        "--text",
        action="append",
        default=[],
        metavar="PATHS",
        help="train on this text: folders, files, patterns or addresses, separated by commas or spaces; repeatable",
    )
    made.add_argument(
        "--size",
        choices=("auto", *WIDTHS),
        help="size of the smaller model of the pair, with vocabulary, tokens, batch and learning rates to match; auto fits the "
        "text and this machine (default: auto if the command line names your text, else the sizes in params.yaml)",
    )
    made.add_argument("--profile", metavar="NAME", help="apply profiles/NAME.yaml to params.yaml for this run")
    if flow in {"", PIPELINE.flow} and not plan:
        made.add_argument(
            "--promote",
            action=argparse.BooleanOptionalAction,
            help=(
                "compare the larger model with the registry's champion and promote it if it is better (default: "
                "only for runs without own text, size, profile or parameters)"
            ),
        )
    return made


if __name__ == "__main__":
    sys.exit(main())
