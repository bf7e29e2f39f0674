"""Get results from DVC's remote: `phiforge pull [TARGET ...]`, `make pull`, `python -m flows.pull`.

DVC writes the files of a folder to any path in the folder's listing, and does not check the hash of a listing from the
remote, even with `verify = true`. So with `dvc pull` alone, everybody who may write to the remote can write any file that
you can. Here a listing, like the content of files, is only used if its hash is that in dvc.lock and its paths stay inside
the folder, for any value of `verify`.
"""

import argparse
import hashlib
import sys
from typing import Any

from flows.settings import configure, project_root

PROG = "python -m flows.pull"


def main(argv: list[str] | None = None, prog: str = PROG) -> int:
    """Pull the outputs in dvc.lock; returns DVC's exit status."""
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
    """Make DVC refuse, in this process, files and folder listings with a hash other than their name, and listings with
    paths that lead out."""
    from dvc.exceptions import DvcException
    from dvc_data.hashfile.db import HashFileDB
    from dvc_data.hashfile.tree import Tree

    # By default it is a setting of each remote, which people may not know.
    HashFileDB.verify = property(lambda _: True, lambda *_: None)
    load = Tree.load

    def load_checked(odb: Any, hash_info: Any, hash_name: str | None = None) -> Tree:
        tree = load(odb, hash_info, hash_name)
        # The hash is of the parsed content, because the remote could return something else the second time.
        if hashlib.md5(tree.as_bytes()).hexdigest() != hash_info.value.removesuffix(".dir"):
            wrong = "a listing with another hash than its name"
        elif not all({"", ".", ".."}.isdisjoint(path) for path, _, _ in tree):
            wrong = "a path that leads out of its folder"
        else:
            return tree
        raise DvcException(
            f"{odb.oid_to_path(hash_info.value)}: contains {wrong}; expected the listing of a folder as DVC wrote it; remove it there, "
            "and push it again from a clone that has the results"
        )

    Tree.load = load_checked  # type: ignore[method-assign]  # DVC has no other place for it


if __name__ == "__main__":
    sys.exit(main())
