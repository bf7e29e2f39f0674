"""The JSON schema of overrides says what the parameters themselves accept, as far as a schema can."""

import json

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import StepError
from components.params import Params, check_params, flatten, known_keys, set_dotted
from components.params.schema import overrides_schema

VALIDATOR = jsonschema.Draft202012Validator(overrides_schema())
SIMPLE = st.none() | st.booleans() | st.integers() | st.floats(-9, 9) | st.text(max_size=3) | st.just([]) | st.just({})


def allowed(overrides: dict) -> bool:
    return VALIDATOR.is_valid(overrides)


def accepted(overrides: dict) -> bool:
    """Whether a run takes these overrides, as they arrive in JSON."""
    values: dict = {}
    for key, value in json.loads(json.dumps(overrides)).items():
        set_dotted(values, key, value)
    try:
        check_params(values)
    except StepError:
        return False
    return True


def test_every_known_key_may_be_set_to_its_default() -> None:
    defaults = flatten(Params().model_dump(mode="json"))
    assert set(defaults) == set(known_keys())
    assert not list(VALIDATOR.iter_errors(defaults))


@given(st.sampled_from(known_keys()), SIMPLE)
def test_what_a_run_takes_the_schema_takes(key: str, value: object) -> None:
    assert allowed({key: value}) or not accepted({key: value})


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"trainig.beta1": 0.5}, "Additional properties|does not match any"),
        ({"seed": "two"}, "'two' is not of type 'integer'"),
        ({"seed": -1}, "-1 is less than the minimum of 0"),
        ({"tokenization.epochs.prosa": 1}, "does not match any"),
        ({"tokenization.weights.web": -1}, "-1 is less than the minimum of 0"),
        ({"engine.kind": "gpu"}, "'gpu' is not one of"),
        ({"ingestion.sources": [{"paht": "x"}]}, "'paht' was unexpected|'path' is a required property"),
        ({"small.model": 3}, "3 is not of type 'object'"),
    ],
)
def test_wrong_overrides_are_refused(overrides: dict, said: str) -> None:
    with pytest.raises(jsonschema.ValidationError, match=said):
        VALIDATOR.validate(overrides)


@pytest.mark.parametrize(
    "overrides",
    [
        {"seed": 2, "tokenization.epochs.prose": 2, "tokenization.weights.web": 0.5},
        {"small.model": Params().small.model.model_dump()},
        {"synthesis.teacher.request.chat_template_kwargs.thinking": False},
        {"tokenization.own_share": None},
    ],
)
def test_right_overrides_are_taken(overrides: dict) -> None:
    assert allowed(overrides)


def test_a_form_can_show_each_key_and_fills_nothing_in() -> None:
    schema = overrides_schema()
    assert set(schema["properties"]) >= {"seed", "training.beta1", "tokenization.epochs.prose"}
    assert all(value["title"] == key and value["description"] for key, value in schema["properties"].items())
    assert '"default"' not in json.dumps(schema)
    assert len(json.dumps(schema, separators=(",", ":"))) < 80_000  # a form loads it as a whole
