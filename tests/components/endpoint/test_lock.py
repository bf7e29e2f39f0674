"""A plan belongs to one process at a time."""

from pathlib import Path

import pytest

from components.endpoint.lock import alone
from components.errors import StepError


def test_a_plan_belongs_to_one_process_at_a_time(tmp_path: Path) -> None:
    lock = tmp_path / "plans" / "plan.lock"
    with alone(lock), pytest.raises(StepError, match="another process is writing the same plan"), alone(lock):
        pass
    with alone(lock):
        pass
