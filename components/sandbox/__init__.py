"""Run untrusted Python code, such as a model's completions, and report whether it passed its tests."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from components.sandbox.sandbox import Sandbox
    from components.sandbox.types import Job, Limits, Outcome, Verdict

__all__ = ["Job", "Limits", "Outcome", "Sandbox", "Verdict"]


def __getattr__(name: str) -> Any:
    """Import on first use, because the server's process, which is forked for every program, does not need these modules."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from components.sandbox import sandbox, types

    return getattr(sandbox if name == "Sandbox" else types, name)
