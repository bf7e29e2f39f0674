"""Sizes follow the user's text where nobody has set them, and the default run stays as it is."""

from pathlib import Path

import pytest

from components.errors import StepError
from components.params import Params, load_params
from flows.sizes import sized, sources_of


@pytest.fixture
def home(tmp_path: Path, root: Path) -> Path:
    (tmp_path / "params.yaml").write_text((root / "params.yaml").read_text())
    return tmp_path


BYTES = 100_000  # of text
OWN = {"ingestion.sources": [{"path": "texts"}]}


def test_the_default_run_keeps_its_parameters(home: Path) -> None:
    assert sized(home, {"seed": 2}, None, None, BYTES) == {"seed": 2}


def test_text_that_params_yaml_names_is_run_as_dvc_runs_it(home: Path) -> None:
    path = home / "params.yaml"
    path.write_text(path.read_text().replace("- path: python", "- path: texts"))
    assert sized(home, {"seed": 2}, None, None, BYTES) == {"seed": 2}
    assert sized(home, {}, None, "auto", BYTES)["small.model.hidden_size"] == 64


def test_own_text_gets_sizes_that_fit(home: Path) -> None:
    found = sized(home, OWN, None, None, BYTES)
    assert found["small.model.hidden_size"] == 64
    assert found["tokenization.vocab_size"] == 1024
    load_params(home / "params.yaml", found)


def test_no_prose_of_own_text_goes_for_its_educational_value(home: Path) -> None:
    drop = "curation.education.max_drop.prose"
    assert sized(home, OWN, None, None, BYTES)[drop] == 0
    assert sized(home, OWN | {drop: 0.2}, None, None, BYTES)[drop] == 0.2
    assert drop not in sized(home, {}, None, "0.3M", BYTES)


def test_what_the_user_has_set_stays(home: Path) -> None:
    path = home / "params.yaml"
    path.write_text(path.read_text().replace("vocab_size: 2048", "vocab_size: 3000"))
    model = Params().small.model.model_dump()
    found = sized(home, OWN | {"small.model": model, "large.tokens": 5000}, None, None, BYTES)
    assert "tokenization.vocab_size" not in found
    assert not [key for key in found if key.startswith("small.model.")]
    assert found["large.tokens"] == 5000
    assert found["small.tokens"] > 5000


def test_a_size_that_is_asked_for_is_taken_for_any_text(home: Path) -> None:
    assert sized(home, {}, None, "0.3M", BYTES)["small.model.hidden_size"] == 64
    assert sized(home, OWN, None, "3M", BYTES)["large.model.hidden_size"] == 240


def test_text_is_named_as_people_name_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative paths start at the given folder, wherever the process works and whatever the folder is called."""
    monkeypatch.setenv("HOME", str(tmp_path / "[home]"))
    tmp_path = tmp_path / "[home]"
    tmp_path.mkdir()
    for name in ("my notes", "a", "b"):
        (tmp_path / name).mkdir()
    (tmp_path / "a" / "one.md").touch()
    (tmp_path / "a" / "two.md").touch()

    def paths(text: str) -> list[str]:
        return [source["path"].removeprefix(f"{tmp_path}/") for source in sources_of(text, tmp_path)]

    assert paths("my notes") == ["my notes"]
    assert paths("a b") == paths("a,b") == paths("a, b,a") == ["a", "b"]
    assert paths("~/a") == ["a"]
    assert paths("a/*.md") == paths("~/a/*.md") == paths("**/*.md") == ["a/one.md", "a/two.md"]
    assert paths("https://example.org/x.txt a") == ["https://example.org/x.txt", "a"]
    with pytest.raises(StepError, match="'c' was not found in"):
        sources_of("a c", tmp_path)
    for nothing in ("", ", ", "x" * 5000, "~nobody/x", "\0", "*\0", "*" * 5000, "a/x**", "*/nothing"):
        with pytest.raises(StepError, match="was not found in"):
            sources_of(nothing, tmp_path)


def test_a_path_may_hold_any_character_but_broken_ones(tmp_path: Path) -> None:
    folder = tmp_path / "-a, \"b\"\n$c 'd'*[e]"
    folder.mkdir()
    assert sources_of(str(folder), tmp_path) == [{"path": str(folder)}]
    with pytest.raises(StepError, match=r"the path 'a\\udcff' is not UTF-8; rename it, or name the folder above it"):
        sources_of("a\udcff", tmp_path)


def test_a_pattern_takes_no_hidden_files(tmp_path: Path) -> None:
    for name in ("notes/.git/a.txt", "notes/.b.txt", "notes/c.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert sources_of("notes/**/*.txt", tmp_path) == [{"path": f"{tmp_path}/notes/c.txt"}]
    assert sources_of("notes/.*.txt", tmp_path) == [{"path": f"{tmp_path}/notes/.b.txt"}]


@pytest.mark.parametrize("pattern", ["notes/*", "notes/*.txt", "notes/**/*.txt", "*/b.txt"])
def test_a_link_among_what_a_pattern_finds_leads_nowhere_else(tmp_path: Path, pattern: str) -> None:
    """Whoever filled the folder cannot have the user's other files read; a link that the user names may lead anywhere."""
    (tmp_path / "private.key").touch()
    home = tmp_path / "home"
    (home / "notes").mkdir(parents=True)
    (home / "notes" / "a.txt").touch()
    (home / "notes" / "b.txt").symlink_to(tmp_path / "private.key")
    with pytest.raises(StepError, match=r"b\.txt' is a link that leads out of .*; name the link itself"):
        sources_of(pattern, home)
    assert sources_of("notes/b.txt", home) == [{"path": str(tmp_path / "private.key")}]


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    """Two links to their own folder give 2 ** 40 paths to one who follows them."""
    (tmp_path / "a.txt").touch()
    for name in ("b", "c"):
        (tmp_path / name).symlink_to(".")
    assert sources_of("**/*.txt", tmp_path) == [{"path": f"{tmp_path}/a.txt"}]
