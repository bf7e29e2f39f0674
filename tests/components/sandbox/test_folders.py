"""The temporary folder is emptied whatever is in it, and nothing beside it is touched."""

import os
import stat
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.sandbox import folders

NAMES = st.sampled_from(["a", "b", ".c", "x y", "-rf"])
TREES = st.recursive(
    st.sampled_from(["file", "link", "dangling"]),
    lambda inner: st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


def grow(tree: object, path: Path, outside: Path) -> None:
    if tree == "file":
        path.write_text("x")
    elif tree in ("link", "dangling"):
        path.symlink_to(outside if tree == "link" else "nowhere")
    elif isinstance(tree, dict):
        path.mkdir()
        for name, inner in tree.items():
            grow(inner, path / name, outside)


@given(st.dictionaries(NAMES, TREES, max_size=4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
def test_any_tree(tmp_path: Path, tree: dict) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "folder"
    outside.mkdir(exist_ok=True)
    (outside / "kept").write_text("x")
    folder.mkdir(exist_ok=True)
    for name, inner in tree.items():
        grow(inner, folder / name, outside)
    folders.empty(str(folder))
    assert os.listdir(folder) == []
    assert (outside / "kept").read_text() == "x"


def test_deeper_than_any_path_and_locked(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    home = os.getcwd()
    os.chdir(folder)
    try:
        for _ in range(300):
            os.mkdir("d" * 100)
            os.chdir("d" * 100)
        os.chmod(".", 0)
    finally:
        os.chdir(home)
    assert folders.exceeds(str(folder), {"folder_bytes": 1 << 30, "folder_entries": 200})
    folders.remove(str(folder))
    assert not folder.exists()


def test_what_counts_as_too_much(tmp_path: Path) -> None:
    limits = {"folder_bytes": 1 << 20, "folder_entries": 3}
    assert not folders.exceeds(str(tmp_path), limits)
    (tmp_path / "a").write_bytes(bytes(1 << 19))
    (tmp_path / "in").mkdir()
    assert not folders.exceeds(str(tmp_path), limits)
    (tmp_path / "in" / "b").write_bytes(bytes(1 << 20))
    assert folders.exceeds(str(tmp_path), limits)
    (tmp_path / "in" / "b").write_bytes(b"")
    assert not folders.exceeds(str(tmp_path), limits)
    (tmp_path / "in" / "c").write_bytes(b"")
    assert folders.exceeds(str(tmp_path), limits)


def test_the_folder_that_other_users_write_to_is_found_by_nobody_else() -> None:
    folder = Path(folders.shared_folder())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o777
    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o711
    folders.remove(str(folder))
    assert not folder.parent.exists()
