"""The study's own refusals before it trains."""

from pathlib import Path
from typing import Any

import pytest

from components.errors import StepError
from components.files import write_json
from components.study.growth.training import source_of

OURS = {"seed": 1, "flops": 1e9, "training_tokens": 3072}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"flops": "1e9"}, "no lineage.json with the cost"),
        ({"training_tokens": [1]}, "no lineage.json with the cost"),
        ({"seed": 2}, "with seed 2; expected seed 1"),
        ({"seed": None}, "with seed None; expected seed 1"),
    ],
)
def test_a_small_model_of_another_origin_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    write_json(tmp_path / "lineage.json", OURS | changes)
    with pytest.raises(StepError, match=message):
        source_of(tmp_path, 1)


def test_the_lineage_of_a_small_model_is_returned(tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"no lineage\.json"):
        source_of(tmp_path, 1)
    write_json(tmp_path / "lineage.json", OURS)
    assert source_of(tmp_path, 1) == OURS
