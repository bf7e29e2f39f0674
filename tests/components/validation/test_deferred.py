"""What a gate does not load, and that it loads when it is used after all."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from components.validation.deferred import DEFERRED, LEFT_OUT

GATE = """
import sys
from pathlib import Path
from components.params import Params
from components.validation.suites import suite
from components.validation.validate import validate

assert validate({asset!r}, Path({folder!r}), suite({asset!r}, Params().validation))["facts"]
"""


def run(code: str, root: Path) -> str:
    return subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("asset", ["raw", "tokens"])
def test_a_gate_loads_neither_charts_nor_statistics_nor_databases(
    asset: str, documents: Any, tokens: Path, root: Path
) -> None:
    folder = documents() if asset == "raw" else tokens
    ask = (
        f"loaded = [name for name in {DEFERRED + LEFT_OUT!r} "
        "if name in sys.modules and type(sys.modules[name]).__name__ != '_LazyModule']; print(loaded)"
    )
    assert run(GATE.format(asset=asset, folder=str(folder)) + ask, root).splitlines()[-1] == "[]"


def test_what_was_deferred_or_left_out_is_there_when_it_is_used(root: Path) -> None:
    gate = "from components.validation.expectations import Validator; Validator(); "
    use = (
        "import altair, boto3, scipy.stats, sqlalchemy; print(altair.Chart, scipy.stats.entropy([1]), sqlalchemy.text)"
    )
    assert "Chart" in run(gate + use, root)


CLASSES = """
import json, re
from pydantic.v1 import BaseModel

def below(kind):
    return {kind}.union(*(below(one) for one in kind.__subclasses__()))

def told(field):
    checks = [len(getattr(field, name) or []) for name in ("validators", "pre_validators", "post_validators")]
    inner = sorted([told(one) for one in field.sub_fields or []], key=str)
    return [str(field), field.alias, sorted(field.class_validators), checks, str(field.field_info), inner]

classes = {str(kind.__mro__): {key: told(field) for key, field in kind.__fields__.items()} for kind in below(BaseModel)}
plain = re.sub(" at 0x[0-9a-f]+", "", json.dumps(classes))
# typing keeps one object for unions of the same types, in the order that it met first, whoever asks.
print(re.sub(r"Union\\[([^][]*)\\]", lambda found: f"Union[{', '.join(sorted(found[1].split(', ')))}]", plain))
"""


def test_classes_are_built_as_without_light_imports(root: Path) -> None:
    light, plain = (
        json.loads(run(f"import {found}; {use}\n{CLASSES}", root))
        for found, use in (
            ("components.validation.expectations as e", "e.Validator()"),
            ("great_expectations as gx", "gx.get_context(mode='ephemeral')"),
        )
    )
    assert len(light) > 300
    assert {name for name in light if light[name] != plain[name]} == set()
