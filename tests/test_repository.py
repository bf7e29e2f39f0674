"""What a stranger expects of a repository: its files are there, valid, and agree with each other."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SCHEMAS = {
    "CITATION.cff": "vendor.citation-file-format",
    ".github/ISSUE_TEMPLATE/bug.yml": "vendor.github-issue-forms",
    ".github/ISSUE_TEMPLATE/idea.yml": "vendor.github-issue-forms",
    ".github/ISSUE_TEMPLATE/result.yml": "vendor.github-issue-forms",
    ".github/ISSUE_TEMPLATE/config.yml": "vendor.github-issue-config",
}


def yaml(name: str) -> dict:
    return YAML(typ="safe").load((ROOT / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_form_follows_the_schema_of_who_reads_it(name: str) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", SCHEMAS[name], name]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_every_issue_form_is_checked() -> None:
    assert {str(path.relative_to(ROOT)) for path in (ROOT / ".github/ISSUE_TEMPLATE").iterdir()} <= SCHEMAS.keys()


def test_licence_and_version_are_the_same_everywhere() -> None:
    citation = yaml("CITATION.cff")
    text = (ROOT / "LICENSE").read_text()
    assert text.split()[:4] == ["Apache", "License", "Version", "2.0,"]
    assert "END OF TERMS AND CONDITIONS" in text
    assert citation["license"] == PROJECT["license"] == "Apache-2.0"
    assert citation["version"] == PROJECT["version"]
    assert PROJECT["version"] in (ROOT / "CHANGELOG.md").read_text()


def test_the_changelog_keeps_to_its_form() -> None:
    headings = re.findall(r"^#+ .*", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    assert headings[:2] == ["# Changelog", "## [Unreleased]"]
    kinds = "Added|Changed|Deprecated|Removed|Fixed|Security|Measurements that newer ones have replaced"
    assert all(re.fullmatch(rf"## \[.+\]( - \d{{4}}-\d\d-\d\d)?|### ({kinds})", heading) for heading in headings[1:])


def test_the_hooks_before_a_commit_use_the_projects_own_tools() -> None:
    [repository] = yaml(".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    for hook in repository["hooks"]:
        assert hook["language"] == "system"
        assert re.match(r"\.venv/bin/python -m (ruff|checks\.\w+)\b", hook["entry"])


def test_every_path_that_the_contribution_guide_names_is_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:[\w.-]+/)+[\w.-]*|[\w-]+\.(?:yaml|toml|md))`", text.replace("<step>", "curation"))
    outside = {"corpora/", "benchmarks/"}  # of a folder that the reader has
    assert len(named) > 25
    assert [name for name in named if name not in outside and not (ROOT / name).exists()] == []


def test_the_types_of_every_module_are_checked() -> None:
    overrides = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]["overrides"]
    assert not any(entry.get("ignore_errors") for entry in overrides)
