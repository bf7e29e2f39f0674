"""What of a tokenizer's folder travels, and what stays behind."""

import json
from pathlib import Path

import pytest

from components.errors import StepError
from components.foreign import tokenizer_files
from components.foreign.tokenizer_files import CONFIG, UNCHANGED, copy_tokenizer

FOREIGN = {
    "auto_map": {"AutoTokenizer": ["evil.Tokenizer", None]},
    "custom_pipelines": {"x": {"impl": "evil.Pipeline"}},
    "chat_template": "{{ messages }}",
    "tokenizer_file": "/etc/passwd",
    "vocab_file": "../../secret",
    "name_or_path": "/home/somebody/model",
    "tokenizer_class": "EvilTokenizer",
}
OWN = {
    "eos_token": {"content": "<e>", "special": True},
    "additional_special_tokens": ["<a>"],
    "added_tokens_decoder": {"0": {"content": "<e>"}},
    "add_prefix_space": False,
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "tokenizer.json").write_text("{}")
    (folder / CONFIG).write_text(json.dumps(FOREIGN | OWN))
    (folder / "special_tokens_map.json").write_text(json.dumps({"eos_token": "<e>"} | FOREIGN))
    for name in ("evil.py", "chat_template.jinja", "tokenization_evil.py"):
        (folder / name).write_text("evil")
    (folder / "additional_chat_templates").mkdir()
    (tmp_path / "target").mkdir()
    return folder


def test_data_travels_and_what_names_code_does_not(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    copy_tokenizer(source, target)
    assert {path.name for path in target.iterdir()} == {"tokenizer.json", CONFIG, "special_tokens_map.json"}
    assert json.loads((target / CONFIG).read_text()) == OWN
    assert json.loads((target / "special_tokens_map.json").read_text()) == {"eos_token": "<e>"}


def test_a_link_that_takes_a_files_place_meanwhile_is_not_followed(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text("secret")
    check = tokenizer_files.inside

    def check_and_swap(folder: Path, name: str, where: str) -> Path:
        path = check(folder, name, where)
        if name == "merges.txt":
            path.symlink_to(tmp_path / "secret")
        return path

    monkeypatch.setattr(tokenizer_files, "inside", check_and_swap)
    with pytest.raises(OSError, match="leads out of its folder"):
        copy_tokenizer(source, tmp_path / "target")
    assert not (tmp_path / "target" / "merges.txt").exists()


def test_a_class_of_transformers_that_reads_the_same_file_stays(source: Path, tmp_path: Path) -> None:
    (source / CONFIG).write_text(json.dumps({"tokenizer_class": "CodeGenTokenizer"}))
    copy_tokenizer(source, tmp_path / "target")
    assert json.loads((tmp_path / "target" / CONFIG).read_text()) == {"tokenizer_class": "CodeGenTokenizer"}


@pytest.mark.parametrize("named", [["CodeGenTokenizer"], {"CodeGenTokenizer": 1}, 5, None])
def test_a_class_that_is_not_a_name_stays_behind(source: Path, tmp_path: Path, named: object) -> None:
    (source / CONFIG).write_text(json.dumps({"tokenizer_class": named}))
    copy_tokenizer(source, tmp_path / "target")
    assert json.loads((tmp_path / "target" / CONFIG).read_text()) == {}


@pytest.mark.parametrize("name", [*UNCHANGED, CONFIG, "special_tokens_map.json"])
def test_a_link_that_leads_elsewhere_is_refused(source: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_text('{"password": "x"}')
    (source / name).unlink(missing_ok=True)
    (source / name).symlink_to(tmp_path / "secret")
    with pytest.raises(StepError, match="is a link that leads out of its folder"):
        copy_tokenizer(source, tmp_path / "target")
    assert not [path for path in (tmp_path / "target").iterdir() if "password" in path.read_text()]


@pytest.mark.parametrize("content", ["[1]", "{bad", '"x"'])
def test_a_file_that_is_not_an_object_is_named(source: Path, tmp_path: Path, content: str) -> None:
    (source / CONFIG).write_text(content)
    with pytest.raises(StepError, match=r"tokenizer_config\.json"):
        copy_tokenizer(source, tmp_path / "target")
