"""The source of a run: a git commit, and the changes of the tracked files.

Git records it without the index that people, editors and DVC use at the same time. Stored results have keys with a hash
of the modules that made them (`code_sha256`), whether committed or not.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from components.errors import StepError

COMPONENTS = Path(__file__).parents[1]
SHOWN = 10  # names of files in a tag or a message
LOCATION = ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE")  # set within git hooks; wrong for the calls here
SOURCES = ":/"
# Results: runs change them, but do not depend on them.
EXCEPT_RESULTS = (":(top,exclude,glob)**/dvc.lock", ":(top,exclude)studies/tries")


@dataclass(frozen=True)
class Revision:
    """The source in a checkout.

    Attributes:
        commit: HEAD.
        tree: git's hash of the current tracked files, without changes of results (dvc.lock, studies/tries).
        changed: the tracked files that differ from HEAD.
        untracked: files that git neither tracks nor ignores.
    """

    commit: str
    tree: str
    changed: tuple[str, ...] = ()
    untracked: tuple[str, ...] = ()

    @property
    def reference(self) -> str:
        """The git reference that keeps the tree, unless HEAD does."""
        return f"refs/phiforge/{self.tree}" if self.changed else ""

    @property
    def description(self) -> str:
        """`HEAD`, or `HEAD plus changes in params.yaml`."""
        parts = [
            f"{kind} {listed(paths)}"
            for kind, paths in (("changes in", self.changed), ("untracked", self.untracked))
            if paths
        ]
        return " plus ".join(["HEAD", *parts])


def read_revision(root: Path) -> Revision:
    """The revision of a checkout.

    Raises:
        StepError: the folder is not in a git repository, or the repository has no commit.
    """
    commit = git(root, "rev-parse", "--verify", "HEAD")
    tree = source_tree(root)
    return Revision(commit, tree, tuple(differences(root, commit, tree)), tuple(untracked_files(root)))


def keep(root: Path, revision: Revision) -> None:
    """Give a changed tree a reference, without which git would drop it after two weeks."""
    if not revision.changed or git(root, "for-each-ref", revision.reference):
        return
    message = f"Source of a run: {revision.description}"
    commit = git(root, "commit-tree", revision.tree, "-p", revision.commit, "-m", message, **identity(root))
    git(root, "update-ref", revision.reference, commit)


def source_tree(root: Path) -> str:
    """Git's hash of the current tracked files, including staged ones, without changes of results (dvc.lock, studies/tries).

    Raises:
        StepError: the folder is not in a git repository.
    """
    index = Path(root) / git(root, "rev-parse", "--git-path", "index")
    with tempfile.TemporaryDirectory() as folder:
        private = Path(folder) / "index"
        if index.is_file():
            shutil.copy2(index, private)  # with its time, which git compares with the times of files
        git(root, "add", "--update", "--", SOURCES, *EXCEPT_RESULTS, GIT_INDEX_FILE=str(private))
        return git(root, "write-tree", GIT_INDEX_FILE=str(private))


def edits_since(root: Path, tree: str) -> list[str]:
    """Paths of the files in a checkout that differ from a tree, including new ones, whether staged, committed or neither."""
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        git(root, "read-tree", tree, **index)
        return [*differences(root, **index), *untracked_files(root, **index)]


def differences(root: Path, *trees: str, **variables: str) -> list[str]:
    """Paths of the files that differ between two trees, or between the index and the checkout; results are ignored."""
    options = ("--name-only", "--no-renames", "--no-ext-diff")
    return git_lines(root, "diff", *options, *trees, "--", SOURCES, *EXCEPT_RESULTS, **variables)


def untracked_files(root: Path, **variables: str) -> list[str]:
    """Files that git neither tracks nor ignores, without results and those that DVC writes (.gitignore)."""
    listing = ("ls-files", "--others", "--exclude-standard", "--", *EXCEPT_RESULTS)
    paths = git_lines(root, *listing, **variables)
    return [path for path in paths if Path(path).name != ".gitignore"]


def listed(paths: tuple[str, ...] | list[str]) -> str:
    """The first paths of a list and the number of others; bytes that are not UTF-8 are escaped."""
    more = f" and {len(paths) - SHOWN} more" if len(paths) > SHOWN else ""
    return os.fsencode(", ".join(paths[:SHOWN])).decode("utf-8", "backslashreplace") + more


def git(root: Path, *arguments: str, **variables: str) -> str:
    """Run git in a folder and return its output without the last line end.

    Args:
        variables: set in git's environment.

    Raises:
        StepError: git failed; with its message.
    """
    # Git, and programs that a repository lets it run, must not get the credentials of the platform's servers.
    foreign = (*LOCATION, "PREFECT_", "PHIFORGE_", "MLFLOW_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    environment |= {"GIT_OPTIONAL_LOCKS": "0"} | variables  # no locks that would block other git commands
    # Hooks are for people's commits; DVC's post-checkout hook would fill each new workspace with data.
    command = ["git", "-c", "core.hooksPath=/dev/null", "-c", "core.quotePath=false", *arguments]
    done = subprocess.run(
        command,
        cwd=root,
        env=environment,
        capture_output=True,
        check=False,
        encoding="utf-8",
        errors="surrogateescape",  # like Python for names of files that are not UTF-8
    )
    if done.returncode != 0:
        raise StepError(f"git {arguments[0]} failed in {root}: {(done.stderr or done.stdout).strip()}")
    return done.stdout.rstrip("\n")


def git_lines(root: Path, *arguments: str, **variables: str) -> list[str]:
    """The lines of git's output. Names may contain other characters that Python treats as line ends, such as U+2028."""
    return [line for line in git(root, *arguments, **variables).split("\n") if line]


def identity(root: Path) -> dict[str, str]:
    """An author for a commit, as git's variables, if the machine has none."""
    done = subprocess.run(["git", "config", "user.email"], cwd=root, capture_output=True, check=False)
    if done.returncode == 0 or os.environ.get("GIT_COMMITTER_EMAIL"):
        return {}
    return {
        f"GIT_{role}_{key}": value
        for role in ("AUTHOR", "COMMITTER")
        for key, value in (("NAME", "Phiforge"), ("EMAIL", "phiforge@localhost"))
    }


@cache
def code_sha256(patterns: tuple[str, ...], unused: tuple[str, ...] = (), folder: Path = COMPONENTS) -> str:
    """Hash of the modules of a stored result, for its key.

    Args:
        patterns: of the files, below `folder`.
        unused: names of files without effect on the result.

    Raises:
        ValueError: a pattern matches no file.
    """
    digest = hashlib.sha256()
    for pattern in patterns:
        paths = sorted(folder.glob(pattern))
        if not paths:
            raise ValueError(f"{pattern} matches no file in {folder}; name the modules of the result")
        for path in paths:
            if path.name not in unused:
                digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
