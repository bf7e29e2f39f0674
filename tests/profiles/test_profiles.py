"""Every profile loads, and its pair can grow."""

from pathlib import Path

import pytest

from components.errors import StepError
from components.params import PROFILES, Params, flatten, load_params, read_yaml

NAMES = sorted(path.stem for path in (Path(__file__).parents[2] / PROFILES).glob("*.yaml"))


@pytest.fixture(autouse=True)
def _in_project(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)


def test_the_profiles_are_there() -> None:
    assert {"laptop", "phi-1.5", "phi-2"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_profile_loads_and_says_what_it_says(name: str) -> None:
    values = flatten(load_params(profile=name))
    for key, value in flatten(read_yaml(PROFILES / f"{name}.yaml")).items():
        assert values[key] == value


@pytest.mark.parametrize("name", ["phi-1.5", "phi-2"])
def test_models_of_billions_write_their_states_seldom(name: str) -> None:
    """One is tens of gigabytes: each minute would be all that the disk does."""
    assert load_params(profile=name).training.checkpoint_minutes >= 30


@pytest.mark.parametrize("name", NAMES)
def test_the_pair_of_a_profile_can_grow(name: str) -> None:
    from components.phi.model import PhiConfig
    from components.transfer.shapes import check_growth

    params = load_params(profile=name)
    vocabulary, positions = params.tokenization.vocab_size, params.training.context_length
    small = PhiConfig.from_shape(params.small.model, vocabulary, positions)
    large = PhiConfig.from_shape(params.large.model, vocabulary, positions)
    check_growth(small, large)
    assert small.rotary_dims == large.rotary_dims
    assert large.hidden_size > small.hidden_size


@pytest.mark.parametrize("name", NAMES)
def test_growing_backwards_would_be_refused(name: str) -> None:
    """So that the test above says something."""
    from components.phi.model import PhiConfig
    from components.transfer.shapes import check_growth

    params = load_params(profile=name)
    small, large = (PhiConfig.from_shape(p.model, 51_200, 2048) for p in (params.small, params.large))
    with pytest.raises(StepError, match="cannot grow"):
        check_growth(large, small)


def test_laptop_is_the_defaults() -> None:
    assert load_params(profile="laptop") == Params()


@pytest.mark.parametrize(
    ("name", "part", "layers", "width", "heads", "feed_forward", "rotary", "tokens"),
    [
        ("phi-1.5", "large", 24, 2048, 32, 8192, 32, 150e9),
        ("phi-2", "small", 24, 2048, 32, 8192, 32, 150e9),
        ("phi-2", "large", 32, 2560, 32, 10240, 32, 1.4e12),
    ],
)
def test_the_published_shapes(
    name: str, part: str, layers: int, width: int, heads: int, feed_forward: int, rotary: int, tokens: float
) -> None:
    params = load_params(profile=name)
    model = getattr(params, part)
    shape = model.model
    assert (shape.num_hidden_layers, shape.hidden_size, shape.num_attention_heads) == (layers, width, heads)
    assert (shape.intermediate_size, shape.rotary_dims, model.tokens) == (feed_forward, rotary, tokens)
    assert (params.tokenization.vocab_size, params.training.context_length) == (51_200, 2048)


@pytest.mark.parametrize(
    ("name", "part", "parameters", "published"),
    [
        ("phi-1.5", "small", 356_794_368, 0.35e9),
        ("phi-1.5", "large", 1_418_270_720, 1.42e9),
        ("phi-2", "small", 1_418_270_720, 1.42e9),
        ("phi-2", "large", 2_779_683_840, 2.78e9),
        ("laptop", "small", None, None),
        ("laptop", "large", None, None),
    ],
)
def test_every_model_of_every_profile_can_be_made_and_has_its_size(
    name: str, part: str, parameters: int | None, published: float | None
) -> None:
    """On the meta device, where weights take no memory."""
    import torch

    from components.phi.model import Phi, PhiConfig
    from components.phi.weights import state_shapes

    params = load_params(profile=name)
    config = PhiConfig.from_shape(
        getattr(params, part).model, params.tokenization.vocab_size, params.training.context_length
    )
    with torch.device("meta"):
        model = Phi(config, torch.bfloat16)
    assert all(p.is_meta for p in model.parameters())
    counted = sum(p.numel() for p in model.parameters())
    assert (
        counted == config.parameter_count() == sum(torch.Size(shape).numel() for shape in state_shapes(config).values())
    )
    if parameters and published:
        assert counted == parameters
        assert parameters == pytest.approx(published, rel=0.03 if published < 1e9 else 0.005)


@pytest.mark.parametrize(("name", "gigabytes"), [("phi-1.5", 54), ("phi-2", 74)])
def test_the_published_models_fit_an_accelerator_of_80_gb(name: str, gigabytes: int) -> None:
    """With a tenth to spare, and as the profile's comment says."""
    import torch

    from components.phi.memory import estimate
    from components.phi.model import PhiConfig

    params = load_params(profile=name)
    config = PhiConfig.from_shape(params.large.model, params.tokenization.vocab_size, params.training.context_length)
    memory = estimate(config, params.training, torch.bfloat16, "cuda")
    assert memory.total / 1e9 == pytest.approx(gigabytes, abs=0.6)
    assert memory.total < 0.9 * 79 * 2**30
