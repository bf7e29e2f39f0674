"""The one error that a person is meant to read.

Everything else that is raised is a defect and shows its traceback; a StepError shows only its sentence, which says
what was given, what was expected, where, and the remedy.
"""


class StepError(Exception):
    """Input, parameter or environment that a step cannot work with. The message is complete in itself."""


class Diverged(StepError):
    """A training whose loss or gradient is no number any more. A sweep takes it as a result, not as a failure."""
