"""Known advisories for the locked packages, and a bill of materials of what is installed: `make audit`, `phiforge audit`.

Both are written to `.phiforge/audit`: `sbom.json` (CycloneDX, made without network) and `advisories.json` (what OSV, the
database of open-source vulnerabilities, answered). `python -m flows.audit` exits with 0 if no advisory is known, 1 if
there are some, and 3 if the database did not answer, so that a missing answer is never mistaken for safety.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from components.errors import StepError
from flows import processes, settings

PROG = "python -m flows.audit"
NONE_KNOWN, SOME_KNOWN, NOT_ASKED = 0, 1, 3
LOCKS = ("requirements.lock", "requirements-cuda.lock", "docker/requirements.lock")
OSV = "https://api.osv.dev/v1/query"


class Advisory(NamedTuple):
    """One known weakness of one locked package."""

    package: str
    version: str
    name: str
    fixed_in: list[str]

    def __str__(self) -> str:
        fix = f"fixed in {', '.join(self.fixed_in)}" if self.fixed_in else "no fix is released"
        return f"{self.package} {self.version}: {self.name}, {fix}"


def write_bill(root: Path, folder: Path) -> Path:
    """Write the CycloneDX bill of this Python environment; returns its path."""
    bill = folder / "sbom.json"
    # --no-validate: validation against the schema takes half a minute.
    _tool(folder, "cyclonedx-py", "environment", sys.executable, "--pyproject", root / "pyproject.toml",
          "--output-reproducible", "--no-validate", "--output-file", bill)  # fmt: skip
    if not bill.is_file():
        raise StepError(f"audit: cyclonedx-py did not write {bill}; its log ends with:\n{processes.tail(_log(folder))}")
    return bill


def ask(root: Path, folder: Path, osv_url: str) -> list[Advisory]:
    """The advisories that a database of OSV's kind has for the lock files.

    Raises:
        StepError: it did not answer for every package.
    """
    answer = folder / "advisories.json"
    locks = [part for name in LOCKS for part in ("--requirement", root / name)]
    _tool(folder, "pip-audit", *locks, "--disable-pip", "--strict", "--vulnerability-service", "osv",
          "--osv-url", osv_url, "--format", "json", "--output", answer, "--progress-spinner", "off")  # fmt: skip
    # pip-audit exits with 1 both for advisories and for failures, but writes its answer only after a complete audit.
    if not answer.is_file():
        raise StepError(
            f"audit: nothing was checked, because {osv_url} did not answer for every package; try again with "
            f"network access, or name a mirror with --osv-url. The reason is in {_log(folder)}"
        )
    return [
        Advisory(package["name"], package["version"], weakness["id"], weakness["fix_versions"])
        for package in json.loads(answer.read_text(encoding="utf-8"))["dependencies"]
        for weakness in package["vulns"]
    ]


def main(argv: list[str] | None = None, prog: str = PROG) -> int:
    """Write the bill, print the advisories; returns the exit status."""
    arguments = parser(prog).parse_args(argv)
    root = settings.project_root()
    folder = settings.state_folder(root) / "audit"
    for name in ("sbom.json", "advisories.json"):  # of an earlier audit
        (folder / name).unlink(missing_ok=True)
    try:
        print(f"Bill of materials: {write_bill(root, folder)}", flush=True)
        advisories = ask(root, folder, arguments.osv_url)
    except StepError as error:
        print(f"error: {error}", file=sys.stderr)
        return NOT_ASKED
    for advisory in sorted(set(map(str, advisories))):
        print(advisory)
    print(f"{len(advisories) or 'No'} known advisories for the packages of {', '.join(LOCKS)}")
    return SOME_KNOWN if advisories else NONE_KNOWN


def _tool(folder: Path, name: str, *arguments: str | Path) -> None:
    """Run one of the tools that `make audit` installs; its output goes to the log."""
    program = folder / "bin" / name
    if not program.is_file():
        raise StepError(f"audit: {program} is not installed; run: make audit")
    with open(_log(folder), "w", encoding="utf-8") as log:
        subprocess.run([program, *arguments], stdout=log, stderr=subprocess.STDOUT, check=False)


def _log(folder: Path) -> Path:
    return folder / "audit.log"


def parser(prog: str = PROG) -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog=prog,
        description="List known advisories for the locked packages, and write a bill of materials of what is installed.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    made.add_argument("--osv-url", default=OSV, help="address of a database that speaks OSV's query API")
    return made


if __name__ == "__main__":
    sys.exit(main())
