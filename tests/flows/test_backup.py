"""Backups that are refused, before anything is changed; a whole one is made and restored in tests/e2e."""

import tarfile

import pytest

from flows import backup


@pytest.fixture
def file(project, tmp_path):
    """A backup of a toy project without databases."""
    (project / ".phiforge").mkdir(mode=0o700)
    (project / ".phiforge" / "acts.jsonl").write_text("{}\n")
    (project / ".phiforge" / "up.json").write_text('{"auth": "a secret"}')
    assert backup.main(["backup", str(tmp_path / "backup.tar")]) == 0
    return tmp_path / "backup.tar"


def test_a_backup_is_private_and_has_no_secret_of_a_running_server(file):
    assert file.stat().st_mode & 0o777 == 0o600
    with tarfile.open(file) as archive:
        names = archive.getnames()
    assert "project/.phiforge/acts.jsonl" in names
    assert backup.BUNDLE in names
    assert not [name for name in names if "up.json" in name]


@pytest.mark.parametrize("harm", ["damaged", "cut", "absent", "no archive"])
def test_a_backup_that_is_not_whole_changes_nothing(file, project, harm, capsys):
    content = file.read_bytes()
    place = content.index(b"{}\n")
    changed = {
        "damaged": content[:place] + b"[]\n" + content[place + 3 :],
        "cut": content[:1500],
        "no archive": b"text",
    }
    file.write_bytes(changed.get(harm, b""))
    if harm == "absent":
        file.unlink()
    acts = project / ".phiforge" / "acts.jsonl"
    acts.write_text("later\n")
    assert backup.main(["restore", str(file)]) == 1
    assert str(file) in capsys.readouterr().err
    assert acts.read_text() == "later\n"
    assert sorted(path.name for path in project.glob(".phiforge/.*")) == []


def test_a_backup_is_not_overwritten_and_a_full_database_neither(file, project, monkeypatch, capsys):
    assert backup.main(["backup", str(file)]) == 1
    (project / "mlflow.db").write_text("content")
    assert backup.main(["restore", str(file)]) == 1
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    assert backup.main(["backup", str(file.with_name("other.tar"))]) == 1
    said = capsys.readouterr().err.splitlines()
    for line, words in zip(
        said, ["exists; choose", "mlflow: the database has content", "is not a database"], strict=True
    ):
        assert words in line


@pytest.mark.parametrize(
    ("address", "named", "password"),
    [
        ("postgresql://phi:s%40fe@db:5432/prefect", "postgresql://phi@db:5432/prefect", "s@fe"),
        ("postgresql://phi@db/prefect", "postgresql://phi@db/prefect", None),
        ("postgresql:///prefect?host=/run", "postgresql:///prefect?host=/run", None),
    ],
)
def test_a_password_stands_on_no_command_line(
    monkeypatch: pytest.MonkeyPatch, address: str, named: str, password: str | None
) -> None:
    monkeypatch.delenv("PGPASSWORD", raising=False)
    found, environment = backup._without_password(address)
    assert (found, environment.get("PGPASSWORD")) == (named, password)
