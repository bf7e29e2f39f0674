"""Entries of the growth board: `python -m components.study.growth.entries submit NAME --study DIR --arm ARM --by WHO`, `...
verify [FOLDER ...]` and `... table`. `make submit ARGS="..."` is the first. docs/growth-board.md has the rules."""

import argparse
import hashlib
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path

from components.errors import StepError
from components.files import atomic_directory
from components.foreign.confined import is_name
from components.foreign.terminal import printable_text
from components.params import read_profile
from components.running.revision import git, read_revision
from components.study.growth.arms import ARMS
from components.study.growth.board import (
    COMPULSORY,
    DATA,
    LOCK,
    PARAMS,
    PROFILE,
    RECORDS,
    Entry,
    Lock,
    Verified,
    board,
    verify,
    write_entry,
)

PROG = "python -m components.study.growth.entries"
STUDY_LOCK = Path("studies/growth/dvc.lock")  # in the folder in which the study ran
ENTRIES = Path("studies/board")  # relative to the project's folder
PATCH = "source.patch"
COMMANDS = {
    "submit": "make an entry from a finished study, and verify it",
    "verify": "check entries against the board's rules and the source that they name",
    "table": "print the board as Markdown",
}


def main(argv: list[str] | None = None, prog: str = PROG) -> int:
    """Run one of COMMANDS; returns the exit status. Options as of `parser`."""
    given = parser(prog).parse_args(argv)
    root = Path.cwd()
    try:
        if given.command == "submit":
            print(printable_text(submit(root, given)))
        else:
            folders = getattr(given, "folders", None) or sorted(p.parent for p in (root / ENTRIES).glob("*/entry.json"))
            verified = [verify(Path(folder), read_profile(root, PROFILE)) for folder in folders]
            if given.command == "table":
                print(printable_text("\n\n".join(part for table in board(verified) for part in table.markdown())))
            else:
                for folder, found in zip(folders, verified, strict=True):
                    print(printable_text(f"{folder}: follows the rules; {check_source(root, found)}"))
    except StepError as error:
        print(f"error: {printable_text(str(error))}", file=sys.stderr)
        return 1
    return 0


def submit(root: Path, given: argparse.Namespace) -> str:
    """Make the folder of an entry from the study with the same profile and parameters; returns what was done.

    Raises:
        StepError: the source is not committed, the study is not finished, or a rule of the board is broken; then nothing
            is written.
    """
    if not is_name(given.name):
        raise StepError(f"{given.name!r} cannot be the name of a folder; expected letters, digits, '-', '_' and '.'")
    revision = read_revision(root)
    if revision.changed:
        raise StepError(
            f"the source is {revision.description}; an entry names a commit: commit, then run the study again"
        )
    lock_file = given.study / STUDY_LOCK
    again = f'run `make study ARGS="--profile {PROFILE} ..."` on this commit first, and name its workspace with --study'
    if not lock_file.is_file():
        raise StepError(f"{lock_file} is not there, so no growth study ran in {given.study}; {again}")
    lock = Lock.read(lock_file)
    output = Path(given.output) / given.name if given.output else root / ENTRIES / given.name
    with atomic_directory(output) as folder:
        shutil.copyfile(lock_file, folder / LOCK)
        shutil.copyfile(given.study / PARAMS, folder / PARAMS)
        for path in lock.paths(given.arm):
            copy = folder / "records" / Path(path).relative_to(RECORDS)
            copy.parent.mkdir(parents=True, exist_ok=True)
            if not (given.study / path).is_file():
                raise StepError(f"{given.study / path} is missing; {again}")
            shutil.copyfile(given.study / path, copy)
        if patch := _patch(root, revision.commit):
            (folder / PATCH).write_text(patch, encoding="utf-8")
        data = {path: md5 for path, md5 in lock.inputs.items() if path in DATA}
        write_entry(folder, Entry(given.name, given.arm, given.by, given.note, revision.commit, data, {}))
        verified = verify(folder, read_profile(root, PROFILE))
        source = check_source(root, verified)
    return f"{output}: follows the rules; {source}. Commit it, and open a pull request."


def check_source(root: Path, verified: Verified) -> str:
    """Compare the code that dvc.lock names with the commit that the entry names; returns the outcome.

    Raises:
        StepError: the commit has other code.
    """
    commit = verified.entry.commit
    try:
        git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{commit}^{{commit}}")
    except StepError:
        return f"its commit {commit[:10]} is not in this repository, so its code was not compared"
    other = [path for path, md5 in verified.code.items() if _md5_at(root, commit, path) != md5]
    if other:
        raise StepError(
            f"{verified.entry.name}: commit {commit[:10]} has other code than the study ran: {', '.join(other)}"
        )
    return f"its code is that of commit {commit[:10]}"


def _md5_at(root: Path, commit: str, path: str) -> str:
    """DVC's hash of a file or folder of a commit."""
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.tree import Tree

    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "source.tar"
        git(root, "archive", f"--output={archive}", commit, "--", path)
        with tarfile.open(archive) as tar:
            md5s = {m.name: hashlib.md5(tar.extractfile(m).read()).hexdigest() for m in tar if m.isfile()}  # type: ignore[union-attr]
    if path in md5s:
        return md5s[path]
    tree = Tree()
    for name, md5 in md5s.items():
        tree.add(tuple(Path(name).relative_to(path).parts), None, HashInfo("md5", md5))
    tree.digest()
    return str(tree.hash_info.value)


def _patch(root: Path, commit: str) -> str:
    """The changes of a commit since it left the remote's main branch; empty without a remote."""
    try:
        base = git(root, "merge-base", commit, "origin/HEAD")
    except StepError:
        return ""
    return git(root, "diff", "--no-ext-diff", base, commit, "--", "components", "params.yaml", "profiles", "studies")


def parser(prog: str = PROG) -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog=prog, description="Submit to the board of growth operators, or check it.")
    commands = made.add_subparsers(dest="command", metavar="COMMAND", required=True)
    parsers = {
        name: commands.add_parser(name, help=words, description=f"{words[0].upper()}{words[1:]}.")
        for name, words in COMMANDS.items()
    }
    entry = parsers["submit"]
    entry.add_argument("name", metavar="NAME", help="name of the entry, and of its folder")
    arms = [name for name in ARMS if name not in COMPULSORY]
    entry.add_argument("--arm", required=True, choices=arms, metavar="ARM", help=f"arm of the study: {', '.join(arms)}")
    entry.add_argument("--by", required=True, metavar="WHO", help="name or address of the person who submits it")
    entry.add_argument("--note", default="", metavar="TEXT", help="what the entry shows")
    entry.add_argument(
        "--study", required=True, type=Path, metavar="DIR", help="folder in which the study ran, such as workspaces/KEY"
    )
    entry.add_argument("--output", metavar="DIR", help=f"folder for the entry's folder (default: {ENTRIES})")
    parsers["verify"].add_argument("folders", nargs="*", metavar="FOLDER", help=f"entries (default: all in {ENTRIES})")
    return made


if __name__ == "__main__":
    sys.exit(main())
