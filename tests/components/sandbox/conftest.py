"""One sandbox for all tests of the package; machines without isolation skip them."""

from collections.abc import Iterator

import pytest

from components.errors import StepError
from components.sandbox import Limits, Sandbox


@pytest.fixture(scope="session")
def box() -> Iterator[Sandbox]:
    try:
        with Sandbox(Limits(cpu_seconds=2.0, wall_seconds=10.0)) as made:
            yield made
    except StepError as error:
        pytest.skip(f"no isolation on this machine: {error}")
