"""Workspaces: their key, their parameters, what they share, and that the main tree stays as it is."""

import re
import shutil

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from components.errors import StepError
from components.params import load_params, read_yaml
from components.running.revision import git
from flows import settings
from flows import workspace as workspaces
from flows.events import Caution


def enter(root, overrides, profile=None):
    said = []
    with workspaces.workspace(root, overrides, profile, said.append) as place:
        return place, said


def test_no_parameters_means_the_main_tree(project):
    assert enter(project, {})[0] == workspaces.Workspace(project, "")


def test_key_is_of_source_and_changed_parameters(project):
    def key(overrides, profile=None):
        return enter(project, overrides, profile)[0].key

    two = key({"seed": 2, "curation.min_chars": 9})
    assert two == key({"curation.min_chars": 9, "seed": 2})
    others = [two, key({"seed": 2, "curation.min_chars": 9}, "tiny"), key({"seed": 3, "curation.min_chars": 9})]
    (project / "profiles" / "own.yaml").write_text("curation: {min_chars: 6}\n")  # not known to git
    others.append(key({}, "own"))
    (project / "profiles" / "own.yaml").write_text("curation: {min_chars: 7}\n")
    others.append(key({}, "own"))
    (project / "step.py").write_text((project / "step.py").read_text() + "# changed\n")
    others.append(key({"seed": 2, "curation.min_chars": 9}))
    assert len(set(others)) == 6


EDITS = {
    "an edited file": lambda place: (place / "step.py").write_text("print('edited')\n"),
    "an edited parameter": lambda place: (place / "params.yaml").write_text("seed: 5\n"),
    "a removed file": lambda place: (place / "dvc.yaml").unlink(),
    "a new file": lambda place: (place / "sitecustomize.py").write_text(""),
    "a committed edit": lambda place: (place / "step.py").write_text("") or commit(place),
}


def commit(place):
    git(place, "-c", "user.name=A", "-c", "user.email=a@example.invalid", "commit", "--quiet", "-am", "edited")


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_an_edited_workspace_is_refused_and_the_edit_kept(project, edit):
    place, _ = enter(project, {"seed": 2})
    for name in ("dvc.lock", ".gitignore"):  # DVC's own
        (place.root / "data" / name).parent.mkdir(exist_ok=True)
        (place.root / "data" / name).write_text("/out\n")
    assert enter(project, {"seed": 2})[0] == place
    edit(place.root)
    before = {path: path.read_bytes() for path in place.root.iterdir() if path.is_file()}
    with pytest.raises(StepError, match=rf"workspaces/{place.key}: .* changed since .* make such changes in the main"):
        enter(project, {"seed": 2})
    assert {path: path.read_bytes() for path in place.root.iterdir() if path.is_file()} == before
    shutil.rmtree(place.root)  # as it says
    again, _ = enter(project, {"seed": 2})
    assert (again.root / "step.py").read_bytes() == (project / "step.py").read_bytes()


def test_a_workspace_that_was_edited_during_its_run_is_not_saved(project):
    from types import SimpleNamespace

    from flows.pipeline import finish_workspace

    place, _ = enter(project, {"seed": 2})
    (place.root / "step.py").write_text("")
    with pytest.raises(StepError, match=r"step\.py changed since the workspace was made"):
        finish_workspace(SimpleNamespace(home=project, place=place))
    assert not workspaces.experiment_exists(project, place)


def test_uncommitted_changes_travel_and_untracked_files_are_named(project, toy):
    step = project / "step.py"
    step.write_text(step.read_text() + "# changed\n")
    (project / "profiles" / "tiny.yaml").write_text("curation: {min_chars: 6}\n")
    (project / "helper.py").write_text("")
    before = toy.git(project, "status", "--porcelain")
    place, said = enter(project, {"seed": 4}, "tiny")
    assert (place.root / "step.py").read_text().endswith("# changed\n")
    assert not (place.root / "helper.py").exists()
    assert "helper.py" in said[0]
    assert isinstance(said[0], Caution)
    text = (place.root / "params.yaml").read_text()
    assert "seed: 4 # Seed of everything" in text
    assert "min_chars: 6" in text
    assert "# Drop documents shorter than this many characters" in text
    assert toy.git(project, "status", "--porcelain") == before
    assert "seed: 1" in (project / "params.yaml").read_text()


def test_a_half_made_workspace_is_made_anew(project):
    place, _ = enter(project, {"seed": 2})
    (project / ".phiforge" / "workspaces" / f"{place.key}.json").unlink()
    (place.root / "step.py").unlink()
    again, _ = enter(project, {"seed": 2})
    assert again == place
    assert (again.root / "step.py").is_file()


def test_the_latest_run_comes_first(project):
    import os

    places = [enter(project, overrides)[0].root for overrides in ({"seed": 2}, {}, {"seed": 3})]
    locks = project / ".phiforge" / "locks"
    for age, name in enumerate((f"workspace-{places[0].name}", "main-tree", f"workspace-{places[2].name}")):
        os.utime(locks / f"{name}.lock", (age, age))
    assert settings.places(project) == [places[2], project, places[0]]
    enter(project, {})
    assert settings.places(project)[0] == project
    enter(project, {"seed": 2})
    assert settings.places(project)[0] == places[0]


def test_a_relative_remote_is_that_of_the_main_tree(project, toy):
    config = project / ".dvc" / "config"
    config.write_text(config.read_text() + "['remote \"local\"']\n    url = ../.phiforge/remote\n")
    place, _ = enter(project, {"seed": 2})
    assert str(project / ".phiforge" / "remote") in toy.dvc(place.root, "config", "remote.local.url")


def test_no_commit_is_said_in_words(tmp_path, toy):
    toy.git(tmp_path, "init", "--quiet")
    with pytest.raises(StepError, match="has no git commit"):
        enter(tmp_path, {"seed": 2})


@pytest.mark.parametrize("name", ["../secret", "/etc/secret", "..\\secret"])
def test_a_workspace_takes_no_profile_from_elsewhere(project, name):
    (project / "secret.yaml").write_text("curation: {min_chars: 6}\n")
    with pytest.raises(StepError, match="leads out of profiles/"):
        enter(project, {}, name)


SMALL = """seed: 1 # Seed of everything
curation:
  web:
    gopher_repetition:
      top_n_grams: {2: 0.2, 3: 0.18}
transfer: {learning_rate: 2e-3}
study:
  seeds: [1, 2, 3]
  threads: 1
ablation: {seeds: [1, 2]}
"""
KEYS = (
    *("seed", "transfer.learning_rate", "curation.min_chars", "curation.web.gopher_repetition.top_n_grams.2"),
    *("curation.web.gopher_repetition.top_n_grams", "reporting.registered_model", "ingestion.sources", "large"),
    *("study", "study.seeds", "study.threads", "study.rates", "study.horizons", "study.arms"),
    *("ablation.seeds", "ablation.arms", "synthesis.teacher.request", "training.schedule"),
)
scalars = st.one_of(
    st.integers(0, 40),
    st.floats(0, 2),
    st.booleans(),
    st.sampled_from(
        ["1", "1\n", "3\n; touch x", "$(id)", "0.5", "a b", "1e-3", "2", "yes", "~", "random", "curated", "wsd"]
    ),
    st.text(max_size=4),
)
given_values = st.one_of(
    scalars,
    st.lists(scalars, min_size=1, max_size=4),
    st.lists(st.integers(0, 9) | st.floats(0.1, 1), min_size=1, max_size=4, unique=True),
    st.dictionaries(st.sampled_from(["2", "5", "2\n", "seeds", "threads", "model", "path"]), scalars, max_size=2),
)
interpolated = re.compile(r"\$\{([a-z_]+\.[a-z_]+)")  # `${study.seeds[0]}` too; `${item.seed}` comes from such


@examples(max_examples=200)
@given(st.dictionaries(st.sampled_from(KEYS), given_values, min_size=1, max_size=3))
def test_what_is_written_are_the_checked_values_and_no_command_gets_others(
    tmp_path_factory, root, overrides: dict
) -> None:
    path = tmp_path_factory.mktemp("written") / "params.yaml"
    path.write_text(SMALL)
    try:
        checked = load_params(path, overrides)
    except StepError:
        return
    workspaces.write_params(path, {}, overrides)
    written = read_yaml(path)
    assert written == checked.model_dump(exclude_unset=True)
    assert load_params(path) == checked
    for file in ("dvc.yaml", *(path.as_posix() for path in root.glob("studies/*/dvc.yaml"))):
        for key in interpolated.findall((root / file).read_text()):
            section, name = key.split(".")
            values = written.get(section, {}).get(name, [])
            for value in values if isinstance(values, list) else [values]:
                assert isinstance(value, str | int | float)
                assert re.fullmatch(r"[\w.+-]+", str(value))


@pytest.mark.parametrize("key", ["study.seeds", "ablation.seeds"])
def test_a_number_with_a_newline_never_reaches_a_command(project, key: str) -> None:
    with pytest.raises(StepError, match="valid integer"):
        enter(project, {key: ["1\n; touch x"]})


def test_a_key_of_json_replaces_the_number_that_it_spells(tmp_path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(SMALL)
    workspaces.write_params(path, {}, {"curation.web.gopher_repetition.top_n_grams.2": 0.1})
    assert read_yaml(path)["curation"]["web"]["gopher_repetition"]["top_n_grams"] == {2: 0.1, 3: 0.18}
    assert "# Seed of everything" in path.read_text()
