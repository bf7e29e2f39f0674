"""`phiforge sweep --over KEY=VALUES ...`: which parameters are best, over seeds, the hopeless stopped early;
docs/experiments.md.

Exit status: 0 done, 1 refused or failed, 130 stopped by Ctrl-C. Finished runs are kept: the same sweep takes them from the
cache. On a schedule: `prefect deployment run sweep/local -p question='{"over": {...}}'`.
"""

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import Any

from components.errors import StepError
from components.foreign.terminal import printable_text
from components.params import PARAMS_FILE, load_params, parse_overrides
from components.trials.figures import METRICS
from components.trials.folding import table
from components.trials.sweep import Sweep, configurations, read_sweep
from flows import settings
from flows.client.trials import read_sweep as read_result
from flows.run import failure_of, served
from flows.tries import read_json_question

PROG = "python -m flows.sweeps"


def main(argv: list[str] | None = None, prog: str = PROG) -> int:
    """Run a sweep; returns the exit status."""
    arguments = parser(prog).parse_args(argv)
    root = settings.project_root()
    try:
        if arguments.schema:
            print(json.dumps(Sweep.model_json_schema(), indent=2))
            return 0
        asked = sweep_of(root, arguments)
        flow = served(root, "flows.sweeping").sweep
        state = flow(asked.model_dump(), return_state=True)
        if failure := failure_of(state):
            raise StepError(f"sweep: {failure}\nFinished runs are kept; the same command takes them from the cache.")
        found = read_result(root, state.state_details.flow_run_id)
        print(json.dumps(found, indent=2) if arguments.json else printable_text(ending(found)))
    except KeyboardInterrupt:
        print("\nStopped. Finished runs are kept; the same command takes them from the cache.", file=sys.stderr)
        return 130
    except StepError as error:
        print(f"error: {printable_text(str(error))}", file=sys.stderr)
        return 1
    return 0


def sweep_of(root: Path, arguments: argparse.Namespace) -> Sweep:
    """The sweep of the command line, or of a JSON file; options take precedence.

    Raises:
        StepError: it is refused, or its parameters are.
    """
    values = read_json_question(arguments.question)
    over = {}
    for given in arguments.over:
        key, equals, spread = given.partition("=")
        if not equals:
            raise StepError(f"--over {given}: has no value; expected KEY=VALUE,VALUE or KEY=LOW..HIGH; correct it")
        if key in over:
            raise StepError(f"--over {given}: {key} is given twice; expected all its values in one --over; join them")
        over[key] = spread
    options = ("profile", "metric", "method", "runs", "seeds", "rungs", "reduction")
    given = {"over": over, "base": parse_overrides(arguments.base)} | {
        name: getattr(arguments, name) for name in options
    }
    asked = read_sweep(values | {name: value for name, value in given.items() if value not in (None, {})})
    # Of a range, a drawn value stands for all.
    drawn = asked if asked.method == "grid" else asked.model_copy(update={"method": "random"})
    for one in configurations(drawn, 0):
        load_params(root / PARAMS_FILE, {**asked.base, **one}, asked.profile)
    return asked


def ending(found: dict[str, Any]) -> str:
    """The folded comparison and what to do next."""
    return f"{table(found['folded'])}\n\n{advice(found)}"


def advice(found: dict[str, Any]) -> str:
    """The best of many looks better than it is; the command that tests it afresh."""
    if not found["best"]:
        return "No configuration is ahead of the parameters as they are."
    words = ["phiforge", "try", "the sweep's best is better"]
    words += [f"--set={key}={json.dumps(value)}" for key, value in found["best"].items()]
    words += [f"--base={key}={json.dumps(value)}" for key, value in found["sweep"]["base"].items()]
    words += ["--metric", found["sweep"]["metric"], "--smallest"]
    return f"The best of many looks better than it is. To test it on its own: {shlex.join(words)} D"


def parser(prog: str = PROG) -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog=prog,
        description="Try configurations of parameters, stop the worse ones early, and compare the rest over seeds.",
        epilog=f"metrics: {', '.join(METRICS)}",
    )
    made.add_argument(
        "--over",
        action="append",
        default=[],
        metavar="KEY=VALUES",
        help="parameter to vary: KEY=V1,V2,... or KEY=LOW..HIGH, with :log at the end for a logarithmic range; repeatable",
    )
    made.add_argument(
        "--base",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="parameter of all runs that differs from params.yaml; repeatable",
    )
    made.add_argument("--profile", metavar="NAME", help="apply profiles/NAME.yaml to all runs")
    made.add_argument("--metric", metavar="METRIC", help="figure to compare (default small.exam_bits_per_byte)")
    made.add_argument(
        "--method", choices=("grid", "random", "optuna"), help="how configurations are chosen (default grid)"
    )
    made.add_argument(
        "--runs", type=int, metavar="N", help="number of configurations for random and optuna (default 8)"
    )
    made.add_argument("--seeds", type=int, metavar="N", help="seeds of those that reach the whole budget (default 3)")
    made.add_argument("--rungs", type=int, metavar="N", help="number of budgets, each a complete schedule (default 1)")
    made.add_argument("--reduction", type=int, metavar="N", help="factor between two budgets (default 3)")
    made.add_argument("--question", metavar="FILE", help="read the sweep from a JSON file, or from - (standard input)")
    made.add_argument("--schema", action="store_true", help="print the JSON schema of a sweep")
    made.add_argument("--json", action="store_true", help="print the result as JSON; progress goes to standard error")
    return made


if __name__ == "__main__":
    sys.exit(main())
