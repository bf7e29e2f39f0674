"""The form as data: every parameter has a field, changes are told, the check speaks with the run's own words."""

import json
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from components.errors import StepError
from components.params import Params, check_params, flatten, known_keys, set_dotted
from ui import forms

BASE = Params().model_dump(mode="json")


class Inner(BaseModel):
    rate: float = Field(0.1, gt=0, le=1, description="A rate")


class Everything(BaseModel):
    """One parameter of each sort."""

    count: Annotated[int, Field(ge=1)] = 3
    inner: Inner = Inner()
    on: bool = False
    name: str = ""
    way: Literal["a", "b"] = "a"
    weights: dict[Literal["x", "y"], float] = {"x": 1.0}
    open: dict[str, float] = {}
    items: list[int] = [1]
    maybe: int | None = None


def test_each_type_has_the_widget_that_suits_it() -> None:
    kinds = {field.key: field.kind for field in forms.fields(Everything)}
    assert kinds == {
        "count": "integer",
        "inner.rate": "number",
        "on": "switch",
        "name": "text",
        "way": "choice",
        "weights.x": "number",
        "weights.y": "number",
        "open": "yaml",
        "items": "yaml",
        "maybe": "yaml",
    }


def test_every_parameter_has_one_field() -> None:
    keys = [field.key for field in forms.fields()]
    assert len(keys) == len(set(keys))
    covered = set(keys)
    for key in known_keys():
        assert key in covered or any(key.startswith(f"{field}.") for field in covered), key


def test_fields_carry_help_choices_and_ranges() -> None:
    by_key = {field.key: field for field in forms.fields()}
    precision = by_key["training.precision"]
    assert precision.choices == ("auto", "float32", "bfloat16")
    assert by_key["seed"].allowed == "at least 0 and at most 2,147,483,647"
    assert by_key["large.model.hidden_size"].description == "Width of the residual stream (number of dimensions)"
    assert (
        by_key["seed"].section == by_key["engine.kind"].section == by_key["housekeeping.runs.keep"].section == "general"
    )
    assert set(forms.sections()) == {field.section for field in by_key.values()}


def test_only_what_differs_is_a_difference() -> None:
    overrides = {
        "seed": 1,
        "training.beta1": 0.8,
        "large.tokens": float(Params().large.tokens),
        "tokenization.epochs.web": 2.0,
    }
    assert forms.differences(BASE, overrides) == {"training.beta1": (0.9, 0.8), "tokenization.epochs.web": (1.0, 2.0)}


@pytest.mark.parametrize(
    "overrides",
    [
        {"training.beta1": 1.5},
        {"training.batch_tokens": 8191},
        {"large.model.num_attention_heads": 3},
        {"ingestion.sources": []},
        {"engine.kind": "spark", "seed": -1},
    ],
)
def test_the_check_says_what_the_run_would_say(overrides: dict) -> None:
    values = json.loads(json.dumps(BASE))
    for key, value in overrides.items():
        set_dotted(values, key, value)
    with pytest.raises(StepError) as refused:
        check_params(values)
    before = json.dumps(BASE)
    assert forms.check(BASE, overrides) == str(refused.value)
    assert json.dumps(BASE) == before, "checking changed the defaults"


def test_a_good_change_passes() -> None:
    assert forms.check(BASE, {"training.beta1": 0.8, "ingestion.sources": [{"path": "python"}]}) == ""


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text("abc: -#'\"\n", max_size=12),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=3),
        max_leaves=8,
    )
)
def test_yaml_fields_lose_nothing(value: object) -> None:
    assert forms.from_yaml(forms.to_yaml(value)) == value


def test_broken_yaml_says_where() -> None:
    with pytest.raises(StepError, match=r"not YAML: .*line 3, column 1"):
        forms.from_yaml("- path: python\n- {path")


@given(st.sampled_from([field for field in forms.fields() if field.kind in ("integer", "number")]))
def test_a_click_is_a_sensible_share_of_a_number(field: forms.Field) -> None:
    value = forms.lookup(BASE, field.key) or 0  # an entry of a dictionary may be missing
    click = forms.step(value, field.kind == "integer")
    assert click > 0
    if value and field.kind == "number":
        assert 0.001 < click / abs(value) <= 0.11
    if field.kind == "integer":
        assert click >= 1
        assert value < 10 or click <= value / 2


def test_a_link_carries_only_known_keys() -> None:
    assert forms.parse_link('{"seed": 2, "no.such": 1}') == ({"seed": 2}, ["no.such = 1: there is no such parameter"])
    for broken in ("{broken", "[1]", '{"seed": 1, "seed": 2}', '{"training.beta1": NaN}', "[" * 100_000):
        values, (problem,) = forms.parse_link(broken)
        assert values == {}
        assert problem.startswith("overrides = ")


def test_lookup_finds_what_flatten_names() -> None:
    for key, value in flatten(BASE).items():
        assert forms.lookup(BASE, key) == value
    assert forms.lookup(BASE, "no.such.key") is None
