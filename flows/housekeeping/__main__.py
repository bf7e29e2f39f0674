"""`phiforge housekeeping [--dry-run]`, `make housekeeping` or `python -m flows.housekeeping`.

Exit status: 0 done, 1 refused.
"""

import argparse
import os
import sys

from components.errors import StepError
from flows import settings
from flows.housekeeping import tidy
from flows.housekeeping.compact import compact, in_use
from flows.server import connect

PROG = "python -m flows.housekeeping"


def parser(prog: str = PROG) -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog=prog,
        description=(
            "Remove leftovers of old runs that are no longer needed. The limits are in params.yaml (housekeeping)."
        ),
    )
    made.add_argument("--dry-run", action="store_true", help="show what would be removed without removing it")
    return made


def main(argv: list[str] | None = None, prog: str = PROG) -> int:
    """Remove what is no longer needed, from the command line; returns the exit status."""
    arguments = parser(prog).parse_args(argv)
    home = settings.project_root()
    settings.configure(home)
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
    try:
        server = connect(home)
        if server is not None:
            server.wait()
        report = tidy(home, arguments.dry_run)
        if server is not None:
            server.stop()
        if not arguments.dry_run and (reason := in_use(home)):
            report.remarks.append(f"The databases keep their size, since {reason}; new rows use the space.")
        elif not arguments.dry_run:
            report.add("databases, rewritten", 0, compact(home))
    except StepError as error:
        print(f"error: housekeeping: {error}", file=sys.stderr)
        return 1
    print(report.text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
