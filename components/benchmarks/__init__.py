"""The benchmarks that suites name, and their data: for the step that asks them and for the one that keeps them out."""

from pathlib import Path

FOLDER = Path(__file__).parent / "definitions"  # of the suites that come with the project
