"""Benchmarks of suites and their data, for the step that scores them and the step that keeps them out of the corpus."""

from pathlib import Path

FOLDER = Path(__file__).parent / "definitions"  # of the project's own suites
