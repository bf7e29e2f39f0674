"""The benchmarks that suites name, and where their data is: for the step that asks them and the one that keeps them out."""

from pathlib import Path

FOLDER = Path(__file__).parent / "definitions"  # of the suites that come with the project
