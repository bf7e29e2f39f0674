"""Import Great Expectations without the libraries that no gate uses: they are half of what the import costs."""

import gc
import importlib.abc
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from types import ModuleType

# Great Expectations cannot do without these, but only some expectations use them: each loads when it is first used.
DEFERRED = ("altair", "scipy.stats")
# It uses these where they are installed, to reach databases and clouds; a gate reads data frames.
LEFT_OUT = ("boto3", "botocore", "google.cloud", "google.oauth2", "sqlalchemy")


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name in LEFT_OUT:
            raise ModuleNotFoundError(f"{name} is left out of this import", name=name)
        spec = PathFinder.find_spec(name, path, target) if name in DEFERRED else None
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec


@contextmanager
def light_imports() -> Iterator[None]:
    """Defer the modules of DEFERRED and hide those of LEFT_OUT from the imports in this block.

    What was imported before stays as it is, and later imports find everything.
    """
    finder, collecting = _Finder(), gc.isenabled()
    sys.meta_path.insert(0, finder)
    gc.disable()  # an import leaves hardly any garbage, and looking for it takes a sixth of the time
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        if collecting:
            gc.freeze()  # so that no later collection walks through the modules again
            gc.enable()
