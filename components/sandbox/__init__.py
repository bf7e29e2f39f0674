"""Run Python code that nobody has read, such as a model's completions, and say whether it passed its tests."""

from components.sandbox.sandbox import Sandbox
from components.sandbox.types import Job, Limits, Outcome, Verdict

__all__ = ["Job", "Limits", "Outcome", "Sandbox", "Verdict"]
