"""The growth board: `phiforge board submit NAME --arm ARM --by WHO`, `phiforge board verify`, `phiforge board table`, or
`python -m flows.board`; `make submit ARGS="..."` is the first. docs/growth-board.md has the rules."""

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
from components.params import parse_overrides, read_profile
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
from flows.definitions import GROWTH_STUDY
from flows.graph import lock_path
from flows.settings import configure, project_root
from flows.workspace import place_of

PROG = "python -m flows.board"
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
    root = project_root()
    configure(root)
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
                    print(printable_text(f"{folder}: keeps the rules; {check_source(root, found)}"))
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
    place = place_of(root, parse_overrides(given.set), given.profile)
    lock_file = place.root / lock_path(GROWTH_STUDY.file)
    again = f'run `make study ARGS="--profile {given.profile} ..."` with the same --set on this commit first'
    if not lock_file.is_file():
        raise StepError(f"no growth study with these parameters and this source; {again}")
    lock = Lock.read(lock_file)
    output = Path(given.output) / given.name if given.output else root / ENTRIES / given.name
    with atomic_directory(output) as folder:
        shutil.copyfile(lock_file, folder / LOCK)
        shutil.copyfile(place.root / PARAMS, folder / PARAMS)
        for path in lock.paths(given.arm):
            copy = folder / "records" / Path(path).relative_to(RECORDS)
            copy.parent.mkdir(parents=True, exist_ok=True)
            if not (place.root / path).is_file():
                raise StepError(f"{place.root / path} is missing; {again}")
            shutil.copyfile(place.root / path, copy)
        if patch := _patch(root, revision.commit):
            (folder / PATCH).write_text(patch, encoding="utf-8")
        data = {path: md5 for path, md5 in lock.inputs.items() if path in DATA}
        write_entry(folder, Entry(given.name, given.arm, given.by, given.note, revision.commit, data, {}))
        verified = verify(folder, read_profile(root, PROFILE))
        source = check_source(root, verified)
    return f"{output}: keeps the rules; {source}. Commit it, and open a pull request."


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
    entry.add_argument("--profile", default=PROFILE, metavar="NAME", help=f"profile of the study (default: {PROFILE})")
    entry.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="parameter of the study; repeatable"
    )
    entry.add_argument("--output", metavar="DIR", help=f"folder for the entry's folder (default: {ENTRIES})")
    parsers["verify"].add_argument("folders", nargs="*", metavar="FOLDER", help=f"entries (default: all in {ENTRIES})")
    return made


if __name__ == "__main__":
    sys.exit(main())
