"""Get results from DVC's remote: `phiforge pull [TARGET ...]`, `make pull`, `python -m flows.pull`.

DVC writes the files of a folder to whatever paths the folder's listing names, and takes the listing from the remote without
looking at its hash, also with `verify = true`. So with `dvc pull` alone, whoever may write to the remote can write any file
that you can. Here a listing, like the content of files, counts only if its hash is the one in dvc.lock and it leads
nowhere else, whatever `verify` says.
"""

import argparse
import hashlib
import sys
from typing import Any

from flows.settings import configure, project_root

PROG = "python -m flows.pull"


def main(argv: list[str] | None = None, prog: str = PROG) -> int:
    """Pull what dvc.lock names; returns DVC's exit status."""
    targets = parser(prog).parse_args(argv).targets
    root = project_root()
    configure(root)
    check_objects()
    from dvc.cli import main as dvc

    return dvc(["--cd", str(root), "pull", "--", *targets])


def parser(prog: str = PROG) -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog=prog, description="Get the results that dvc.lock names from DVC's remote.")
    made.add_argument("targets", nargs="*", metavar="TARGET", help="outputs or stages to get; all if none is named")
    return made


def check_objects() -> None:
    """Make DVC refuse, in this process, every file and folder listing whose hash differs from its name, and a listing
    that leads out."""
    from dvc.exceptions import DvcException
    from dvc_data.hashfile.db import HashFileDB
    from dvc_data.hashfile.tree import Tree

    # Otherwise it is a setting of each remote, which people may not know.
    HashFileDB.verify = property(lambda _: True, lambda *_: None)
    load = Tree.load

    def load_checked(odb: Any, hash_info: Any, hash_name: str | None = None) -> Tree:
        tree = load(odb, hash_info, hash_name)
        # Hashes what was parsed, not what the remote would give if asked again.
        if hashlib.md5(tree.as_bytes()).hexdigest() != hash_info.value.removesuffix(".dir"):
            found = "another listing than its name says"
        elif not all({"", ".", ".."}.isdisjoint(path) for path, _, _ in tree):
            found = "a path that leads out of its folder"
        else:
            return tree
        raise DvcException(
            f"{odb.oid_to_path(hash_info.value)}: holds {found}; expected the listing of a folder as DVC wrote it; remove it there "
            "and have it pushed again by somebody who has the results"
        )

    Tree.load = load_checked  # type: ignore[method-assign]  # DVC has no other place for a check


if __name__ == "__main__":
    sys.exit(main())
