"""Names from elsewhere stay in their folder, whatever they are made of."""

import os
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import StepError
from components.foreign.confined import inside, is_name, leads_out, open_inside, refuse_links_out

PARTS = st.sampled_from(["a", "b.json", "..", ".", "", "/", "\\", "C:", "~", "\0", "etc", "passwd", "ü"])
SEPARATORS = st.sampled_from(["/", "\\", ""])
NAMES = st.lists(st.tuples(PARTS, SEPARATORS), max_size=6).map(lambda pairs: "".join(p + s for p, s in pairs))


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/etc/passwd",
        "../x",
        "a/../../x",
        "..\\x",
        "a\\..\\..\\x",
        "C:\\x",
        "C:x",
        "\\\\host\\x",
        "~/x",
        "~root/x",
        "a\0b",
    ],
)
def test_a_path_that_leaves_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(StepError, match="leads out of its folder"):
        inside(tmp_path, name, "suite.yaml")


@given(NAMES)
def test_whatever_is_taken_lies_inside_on_every_system(name: str) -> None:
    try:
        path = inside(Path("/folder"), name, "x")
    except StepError:
        return
    assert Path(os.path.normpath(path)).is_relative_to("/folder")
    assert not PurePosixPath(name).is_absolute()
    windows = PureWindowsPath(name)
    assert not windows.drive
    assert not windows.root
    assert ".." not in windows.parts


@given(NAMES)
def test_a_name_is_one_part_of_a_path(name: str) -> None:
    if is_name(name):
        assert PurePosixPath(name).name == PureWindowsPath(name).name == name


def test_links_may_lead_within_the_folder_and_not_out_of_it(tmp_path: Path) -> None:
    folder, other = tmp_path / "folder", tmp_path / "folder2"
    for place in (folder / "sub", other):
        place.mkdir(parents=True)
    (other / "secret").write_text("x")
    (folder / "file").write_text("x")
    (folder / "near").symlink_to("file")
    (folder / "sub" / "up").symlink_to("../file")
    (folder / "circle").symlink_to("circle")
    refuse_links_out(folder)
    assert inside(folder, "sub/up", "x").read_text() == "x"
    (folder / "sub" / "away").symlink_to(other)  # a name that begins like the folder's own
    assert leads_out(folder / "sub" / "away" / "secret", folder)
    with pytest.raises(StepError, match="'sub/away/secret' is a link that leads out"):
        inside(folder, "sub/away/secret", "x")
    with pytest.raises(StepError, match="'sub/away' is a link that leads out"):
        refuse_links_out(folder)


def test_the_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "file").write_text("x")
    (tmp_path / "named").symlink_to("real")
    assert inside(tmp_path / "named", "file", "x").is_file()
    refuse_links_out(tmp_path / "named")


def test_a_snapshot_of_the_hubs_cache_links_to_its_repositorys_blobs(tmp_path: Path) -> None:
    repository = tmp_path / "models--owner--name"
    snapshot = repository / "snapshots" / "0123"
    for place in (snapshot, repository / "blobs", tmp_path / "models--owner--other"):
        place.mkdir(parents=True)
    (repository / "blobs" / "abc").write_text("{}")
    (snapshot / "config.json").symlink_to("../../blobs/abc")
    assert inside(snapshot, "config.json", "x").is_file()
    refuse_links_out(snapshot)
    (tmp_path / "models--owner--other" / "secret").write_text("x")
    (snapshot / "other").symlink_to("../../../models--owner--other/secret")
    with pytest.raises(StepError, match="leads out"):
        refuse_links_out(snapshot)


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A folder with a file, a link to it and links that lead out, beside another one."""
    for place in ("folder/sub", "elsewhere"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "file").write_text(place)
    folder = tmp_path / "folder"
    (folder / "near").symlink_to("sub/file")
    (folder / "far").symlink_to("../elsewhere/file")
    (folder / "away").symlink_to("../elsewhere")
    (folder / "itself").symlink_to(".")
    return folder


@pytest.mark.parametrize("name", ["sub/file", "near", "sub/../near", "itself/sub/file"])
def test_a_file_of_the_folder_is_opened_by_whatever_way(shared: Path, name: str) -> None:
    for folder in (shared, shared / "itself"):
        with open_inside(folder / name, folder) as file:
            assert file.read() == b"folder/sub"


@pytest.mark.parametrize("name", ["far", "away/file", "../elsewhere/file", "sub/../../elsewhere/file", "itself"])
def test_no_file_outside_of_the_folder_is_opened(shared: Path, name: str) -> None:
    with pytest.raises(OSError, match="leads out of its folder"):
        open_inside(shared / name, shared)


@pytest.mark.parametrize("swapped", ["sub", "sub/file"])
def test_a_link_that_takes_a_place_while_links_are_resolved_is_not_followed(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swapped: str
) -> None:
    resolve = os.path.realpath

    def resolve_and_swap(name: Path) -> str:
        real = resolve(name)
        if name == shared / "near":
            (shared / swapped).rename(tmp_path / "before")
            (shared / swapped).symlink_to(tmp_path / swapped.replace("sub", "elsewhere"))
        return real

    monkeypatch.setattr(os.path, "realpath", resolve_and_swap)
    with pytest.raises(OSError, match=r"symbolic link|Not a directory"):
        open_inside(shared / "near", shared)
