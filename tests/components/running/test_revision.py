"""The source of a run: what belongs to its tree, and that reading it needs nothing that other git commands hold."""

import tempfile
from pathlib import Path

import pytest

from components.errors import StepError
from components.running.revision import code_sha256, edits_since, git, keep, read_revision, source_tree


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet")
    for name in ("kept.py", "edited.py", "removed.py", "dvc.lock", "studies/dvc.lock"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"{name} as committed\n")
    return commit(tmp_path)


def commit(root: Path) -> Path:
    git(root, "add", "--all")
    git(root, "-c", "user.name=A", "-c", "user.email=a@example.invalid", "commit", "--quiet", "-m", "first")
    return root


def change(root: Path) -> None:
    (root / "edited.py").write_text("edited\n")
    (root / "removed.py").unlink()
    (root / "staged ä.py").write_text("staged\n")
    git(root, "add", "staged ä.py")


def test_an_unchanged_checkout_is_head(checkout: Path) -> None:
    revision = read_revision(checkout)
    assert revision.tree == git(checkout, "rev-parse", "HEAD^{tree}")
    assert (revision.commit, revision.changed, revision.reference) == (git(checkout, "rev-parse", "HEAD"), (), "")
    assert revision.description == "HEAD"
    keep(checkout, revision)
    assert git(checkout, "for-each-ref", "refs/phiforge") == ""


def test_changes_make_a_tree_of_their_own_and_leave_the_index_alone(checkout: Path) -> None:
    change(checkout)
    before = git(checkout, "status", "--porcelain")
    revision = read_revision(checkout)
    assert revision.changed == ("edited.py", "removed.py", "staged ä.py")
    assert revision.description == "HEAD plus changes in edited.py, removed.py, staged ä.py"
    assert git(checkout, "show", f"{revision.tree}:edited.py") == "edited"
    assert git(checkout, "status", "--porcelain") == before


def test_a_lock_file_is_not_a_source_and_untracked_files_are_named(checkout: Path) -> None:
    clean = source_tree(checkout)
    (checkout / "dvc.lock").write_text("results of a run\n")
    (checkout / "studies" / "dvc.lock").write_text("results of a run\n")
    (checkout / "helper.py").write_text("")
    revision = read_revision(checkout)
    assert (revision.tree, revision.changed) == (clean, ())
    assert revision.description == "HEAD plus untracked helper.py"


def test_names_that_are_not_utf8_are_escaped(checkout: Path) -> None:
    (checkout / "texte-\udce4.txt").touch()
    (checkout / "bücher.txt").touch()
    assert read_revision(checkout).description == "HEAD plus untracked bücher.txt, texte-\\xe4.txt"


def test_the_tree_is_read_while_another_git_command_holds_the_index(checkout: Path) -> None:
    change(checkout)
    free = source_tree(checkout)
    (checkout / ".git" / "index.lock").touch()  # as an editor's `git status` does for a moment
    assert source_tree(checkout) == free
    assert (checkout / ".git" / "index.lock").exists()


def test_a_file_that_changes_right_after_it_was_staged_is_seen(checkout: Path) -> None:
    """Same size, same second: git tells such a file by the time of its index."""
    for number in range(20):
        (checkout / "edited.py").write_text(f"{number:04}\n")
        git(checkout, "add", "edited.py")
        (checkout / "edited.py").write_text(f"{number + 1000:04}\n")
        assert git(checkout, "show", f"{source_tree(checkout)}:edited.py") == f"{number + 1000:04}"


def test_edits_are_told_whatever_the_index_says(checkout: Path) -> None:
    change(checkout)
    tree = source_tree(checkout)
    git(checkout, "reset", "--quiet")  # the staged file is untracked now
    (checkout / "dvc.lock").write_text("results of a run\n")
    assert edits_since(checkout, tree) == []
    (checkout / "kept.py").write_text("edited\n")
    (checkout / "removed.py").write_text("here again\n")
    assert edits_since(checkout, tree) == ["kept.py", "removed.py"]
    git(checkout, "add", "--all")
    assert edits_since(checkout, tree) == ["kept.py", "removed.py"]


def test_the_tree_of_a_changed_checkout_outlives_gits_housekeeping(checkout: Path, monkeypatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")  # a machine where nobody has said who they are
    change(checkout)
    revision = read_revision(checkout)
    keep(checkout, revision)
    kept = git(checkout, "rev-parse", revision.reference)
    keep(checkout, read_revision(checkout))
    assert git(checkout, "rev-parse", revision.reference) == kept  # once is enough
    git(checkout, "reset", "--hard", "--quiet")
    git(checkout, "reflog", "expire", "--expire=now", "--all")
    git(checkout, "gc", "--quiet", "--prune=now")
    assert git(checkout, "show", f"{revision.tree}:edited.py") == "edited"
    assert git(checkout, "rev-parse", f"{revision.reference}^") == revision.commit


def test_no_repository_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="not a git repository"):
        read_revision(tmp_path)


def test_the_hash_of_code_follows_names_and_contents(tmp_path: Path) -> None:
    def hashed(files: dict[str, str], unused: tuple[str, ...] = ()) -> str:
        folder = Path(tempfile.mkdtemp(dir=tmp_path))
        for name, text in files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text)
        return code_sha256(("step/**/*.py", "shared.py"), unused, folder)

    plain = hashed({"step/a.py": "1", "shared.py": "2"})
    assert plain == hashed({"step/a.py": "1", "shared.py": "2", "other.py": "3", "step/words.txt": "4"})
    assert plain == hashed({"step/a.py": "1", "shared.py": "2", "step/b.py": "5"}, unused=("b.py",))
    changed = [
        hashed({"step/a.py": "9", "shared.py": "2"}),
        hashed({"step/b.py": "1", "shared.py": "2"}),
        hashed({"step/a.py": "1", "shared.py": "2", "step/b.py": "5"}),
    ]
    assert len({plain, *changed}) == 4


def test_a_pattern_that_matches_no_module_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"moved\.py matches no file"):
        code_sha256(("moved.py",), folder=tmp_path)
