"""params.yaml and its models: one truth, refused with a sentence where it is broken."""

import resource
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import MESSAGE, StepError
from components.params import Params, check_params, flatten, known_keys, load_params, merge, parse_overrides, set_dotted


def test_params_file_equals_the_defaults(root: Path) -> None:
    assert load_params(root / "params.yaml") == Params()


def test_params_file_spells_every_parameter(root: Path) -> None:
    text = (root / "params.yaml").read_text()
    assert [key for key in known_keys() if key.rpartition(".")[2] + ":" not in text] == []


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("trainin.context_length=8", ["unknown key 'trainin'", "'training'"]),
        ("training.batch_token=8", ["unknown key 'training.batch_token'", "'training.batch_tokens'"]),
        ("learning_rate=0.1", ["unknown key 'learning_rate'", "learning_rate'"]),
        ("large.learning_rate=5", ["large.learning_rate = 5", "more than 0 and at most 1"]),
        ("curation.min_chars=-1", ["curation.min_chars = -1", "at least 0"]),
        ("seed=abc", ["seed = 'abc'", "integer"]),
        ("large.model.num_attention_heads=3", ["large.model", "hidden_size", "not a multiple"]),
        ("training.batch_tokens=9000", ["batch_tokens 9000 is not a multiple"]),
        ("training.precision=float8", ["training.precision = 'float8'", "bfloat16"]),
        ("large.learning_rate=.nan", ["large.learning_rate"]),
    ],
)
def test_refusals_name_key_range_and_nearest_key(root: Path, override: str, words: list[str]) -> None:
    with pytest.raises(StepError) as error:
        load_params(root / "params.yaml", [override])
    for word in words:
        assert word in str(error.value)


def test_all_refusals_are_reported_at_once(root: Path) -> None:
    with pytest.raises(StepError, match=r"curation\.min_chars = -1.*unknown key 'a'"):
        load_params(root / "params.yaml", {"a": 1, "curation.min_chars": -1})


def test_override_without_equals_sign() -> None:
    with pytest.raises(StepError, match="not of the form"):
        parse_overrides(["seed"])


def test_override_that_is_not_yaml() -> None:
    with pytest.raises(StepError, match=r"override 'seed=\[': the value is not YAML"):
        parse_overrides(["seed=["])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "is not there"),
        ("- a\n- b\n", "holds a list"),
        ("a: [", "cannot be read as YAML"),
        (b"\xff\xfe\x00", "cannot be read"),
    ],
)
def test_unreadable_files(tmp_path: Path, content: str | bytes | None, words: str) -> None:
    path = tmp_path / "params.yaml"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(StepError, match=words):
        load_params(path)


def test_values_of_overrides_are_yaml(root: Path) -> None:
    params = load_params(
        root / "params.yaml", ["large.learning_rate=3e-3", 'ingestion.sources=[{path: "a b"}]', "seed=7"]
    )
    assert (params.large.learning_rate, params.ingestion.sources[0].path, params.seed) == (0.003, "a b", 7)


def test_unknown_profile_names_the_known_ones(root: Path) -> None:
    with pytest.raises(StepError, match="profile 'phi-9' is not there"):
        load_params(root / "params.yaml", profile="phi-9")


@pytest.mark.parametrize(
    "override",
    [
        'study.seeds=["1\\n"]',
        'study.seeds=["3\\n; touch x"]',
        "study.seeds=['1']",
        "study.seeds=[true]",
        "study.seeds=[1.0]",
        "study.threads='1'",
        "study.rates=['0.5']",
        "transfer.learning_rate='0.002; touch x'",
        'transfer.learning_rate="0.002\\n"',
        "seed=true",
    ],
)
def test_a_string_that_spells_a_number_is_not_one(root: Path, override: str) -> None:
    with pytest.raises(StepError, match="should be a valid"):
        load_params(root / "params.yaml", [override])


def bombs() -> dict[str, str]:
    lines = ["a0: &a0 [" + ", ".join(["lol"] * 9) + "]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    laughs = "\n".join(lines)
    return {
        "laughs": laughs,
        "laughs that are read": "\n".join(lines[:4]) + "\nstudy: {seeds: *a3}\n",
        "unknown keys": "\n".join(f"key{n}: 1" for n in range(20_000)),
        "a long key": "k" * 1_000_000 + ": 1",
        "a long value": "seed: " + "v" * 1_000_000,
        "digits": "seed: " + "9" * 1_000_000,
        "a huge number": "seed: 0x" + "f" * 1_000_000,
        "depth": "seed: " + "[" * 100_000,
        "seeds": "study: {seeds: [" + "x, " * 50_000 + "]}",
    }


@pytest.mark.parametrize("name", bombs())
@pytest.mark.parametrize("way", ["file", "profile", "override"])
def test_a_bomb_is_refused_in_a_line_within_seconds_and_in_little_memory(name: str, way: str, tmp_path: Path) -> None:
    bomb = bombs()[name]
    (tmp_path / "profiles").mkdir()
    (tmp_path / "params.yaml").write_text(bomb if way == "file" else "seed: 1")
    (tmp_path / "profiles" / "bomb.yaml").write_text(bomb)
    given = {"profile": {"profile": "bomb"}, "override": {"overrides": [f"study={bomb}", f"{bomb}=1"]}}.get(way, {})
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(StepError) as refused:
        load_params(tmp_path / "params.yaml", **given)
    assert time.process_time() - started < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB
    assert len(str(refused.value)) <= MESSAGE


leaves = st.one_of(st.integers(), st.booleans(), st.text(max_size=5))
trees = st.recursive(
    leaves, lambda inner: st.dictionaries(st.text("abc", min_size=1, max_size=2), inner, max_size=3), max_leaves=8
)
mappings = st.dictionaries(st.text("abc", min_size=1, max_size=2), trees, max_size=3)


@given(mappings, mappings)
def test_merge_lays_the_overlay_over_the_base(base: dict, overlay: dict) -> None:
    merged = merge(base, overlay)
    assert merge(merged, overlay) == merged
    assert merge(base, {}) == base
    assert merge({}, overlay) == overlay


def test_flatten_and_set_dotted_are_inverse() -> None:
    nested: dict = {}
    for key, value in flatten(Params()).items():
        set_dotted(nested, key, value)
    assert check_params(nested) == Params()


@pytest.mark.parametrize("name", ["../../x", "/etc/x", "..\\x", "a/b", "..", "a\0b", "C:x"])
def test_a_profile_is_a_name_and_not_a_path(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "project"
    (folder / "profiles").mkdir(parents=True)
    (folder / "params.yaml").write_text("seed: 1\n")
    (tmp_path / "x.yaml").write_text("seed: 666\n")
    with pytest.raises(StepError, match=r"leads out of profiles/; expected the name of a profile"):
        load_params(folder / "params.yaml", profile=name)


def test_a_profile_is_not_a_link_that_leads_elsewhere(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    (folder / "profiles").mkdir(parents=True)
    (folder / "params.yaml").write_text("seed: 1\n")
    (tmp_path / "secret.yaml").write_text("seed: 666\n")
    (folder / "profiles" / "big.yaml").symlink_to(tmp_path / "secret.yaml")
    with pytest.raises(StepError, match="profile 'big' leads out of profiles/"):
        load_params(folder / "params.yaml", profile="big")
