"""The connection to MLflow: its address, its client, and the error when it does not answer."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from components.errors import shortened
from components.foreign.addresses import without_secrets
from flows.client.values import MLFLOW, REMEDY, Unavailable
from flows.settings import mlflow_uri, project_root


class Tracking:
    """A tracking server or file. Methods of subclasses raise Unavailable if it does not answer.

    Args:
        uri: tracking address; else MLFLOW_TRACKING_URI, or the project's SQLite file.
    """

    def __init__(self, uri: str | None = None) -> None:
        self.uri = uri or mlflow_uri(project_root())

    def absent(self) -> bool:
        """Whether the SQLite file does not exist yet: reading must not create it."""
        path = self.uri.removeprefix("sqlite:///")
        return path != self.uri and not Path(path).exists()

    @cached_property
    def client(self) -> Any:
        # A server that is down should be reported in seconds, not after minutes of MLflow's retries.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        from mlflow.tracking import MlflowClient

        return MlflowClient(tracking_uri=self.uri)

    @contextmanager
    def errors(self) -> Iterator[None]:
        from mlflow.exceptions import MlflowException

        try:
            yield
        except MlflowException as error:
            raise Unavailable(f"MLflow at {without_secrets(self.uri)} {_trouble(error)}", MLFLOW) from error


def _trouble(error: Exception) -> str:
    """What is wrong with a server that did not answer, and the fix."""
    said = str(error)
    if "timed out" in said.lower() or "timeout" in said.lower():
        return (
            f"did not answer within {os.environ['MLFLOW_HTTP_REQUEST_TIMEOUT']} s: it is starting, overloaded or frozen. If that does not pass, stop the "
            "platform with Ctrl-C and start it again with `make up`."
        )
    return f"does not answer ({shortened(said)}). {REMEDY.format(variable='MLFLOW_TRACKING_URI')}"
