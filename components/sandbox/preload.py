"""Imported first by the server: modules that programs need, so that every fork already has them.

Two modules register functions for every forked child: `random` seeds itself again, but a program should have the same
random numbers every time; `threading` forgets other threads, but the server has none. Without these calls a trivial
program takes a sixth less time.
"""

import os

# The most frequent imports of small programs. Each further module makes every fork slower, because a fork copies page
# tables: hashlib with OpenSSL costs a third of a fork. Others are imported when a program needs them.
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
