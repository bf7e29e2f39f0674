"""Import Great Expectations without libraries that no gate uses (half of the import's time), and without the deep copies
that pydantic makes of each field for each subclass (a quarter of the rest)."""

import copy
import gc
import importlib.abc
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from types import ModuleType
from typing import Any

# Great Expectations imports these for a few expectations; each loads at its first use.
DEFERRED = ("altair", "jsonschema", "mistune", "scipy.stats")
# It uses these, if installed, for databases and clouds; a gate reads data frames.
LEFT_OUT = ("boto3", "botocore", "chardet", "charset_normalizer", "google.cloud", "google.oauth2", "sqlalchemy")


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name in LEFT_OUT:
            raise ModuleNotFoundError(f"{name} is left out of this import", name=name)
        spec = PathFinder.find_spec(name, path, target) if name in DEFERRED else None
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec


def _copy_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields of a class for a subclass, with copies of the parts that pydantic changes; deeper parts are shared."""
    copies = {name: copy.copy(field) for name, field in fields.items()}
    for field in copies.values():
        field.class_validators, field.field_info = dict(field.class_validators), copy.copy(field.field_info)
    return copies


@contextmanager
def light_imports() -> Iterator[None]:
    """Defer the modules of DEFERRED and hide those of LEFT_OUT from the imports in this block, and build classes with fewer
    copies.

    Earlier and later imports are not changed.
    """
    from pydantic.v1 import main as classes  # Great Expectations' own

    finder, collecting, deep_copy = _Finder(), gc.isenabled(), classes.smart_deepcopy
    sys.meta_path.insert(0, finder)
    classes.smart_deepcopy = _copy_fields  # type: ignore[assignment]  # it is called with fields alone
    gc.disable()  # collection takes a sixth of the time, and an import leaves little garbage
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        classes.smart_deepcopy = deep_copy
        if collecting:
            gc.freeze()  # so that later collections skip the modules
            gc.enable()
