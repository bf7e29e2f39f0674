"""The number of this process among the devices' processes. Does not import torch and Lightning: it checks the environment
before they read it."""

import os

from components.errors import StepError

NUMBERS = (
    "LOCAL_RANK",
    "RANK",
    "WORLD_SIZE",
    "NODE_RANK",
    "GROUP_RANK",
    "MASTER_PORT",
    "SLURM_PROCID",
    "JSM_NAMESPACE_RANK",
)


def check_processes(devices: int) -> None:
    """Refuse variables of a process launcher that would confuse Lightning.

    Raises:
        StepError: a variable is not a number, or names a device that the run does not have: its process would succeed
            and write nothing.
    """
    for name in NUMBERS:
        given = os.environ.get(name, "0")
        if not (given.isascii() and given.isdecimal() and len(given) < 10):
            raise StepError(
                f"{name} is {given[:60]!r} in the environment; expected a whole number of at least 0; unset it"
            )
    if rank() >= devices:
        raise StepError(
            f"LOCAL_RANK is {rank()} in the environment; expected less than {devices}, the number of this step's processes; "
            "unset it, or raise training.devices"
        )


def rank() -> int:
    """The number of this process: 0 in the first, which starts the others."""
    return int(os.environ.get("LOCAL_RANK", "0"))
