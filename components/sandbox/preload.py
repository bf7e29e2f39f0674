"""Imported first by the server: what programs need in memory, so that each finds it there.

Two modules ask to be called in every forked child: `random` to seed itself again, which is not wanted here, since a
program is to draw the same numbers every time; `threading` to forget other threads, of which the server has none. Without
those calls a trivial program costs a sixth less.
"""

import os

# The most frequent imports of small programs. Each further module costs every program a little, since a fork copies
# page tables: hashlib alone, with OpenSSL, a third of a fork. Others are imported when a program asks for them.
_MODULES = """
    abc bisect cmath collections collections.abc contextlib copy datetime decimal enum fractions functools heapq itertools
    json math operator os random re string struct sys threading time types typing unicodedata
"""


def _import_all() -> None:
    register, os.register_at_fork = os.register_at_fork, lambda **_: None
    try:
        for module in _MODULES.split():
            __import__(module)
    finally:
        os.register_at_fork = register
    import random

    random.seed(0)


_import_all()
