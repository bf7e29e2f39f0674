"""The one error that a person is meant to read.

Everything else that is raised is a defect and shows its traceback; a StepError shows only its sentence, which says
what was given, what was expected, where, and the remedy.
"""

from components.addresses import without_secrets


class StepError(Exception):
    """Input, parameter or environment that a step cannot work with. The message is complete in itself.

    Secrets in the addresses that it quotes are left out here, whoever wrote them into it.
    """

    def __init__(self, message: str) -> None:
        super().__init__(without_secrets(message))


class Diverged(StepError):
    """A training whose loss or gradient is no number any more. A sweep takes it as a result, not as a failure."""
