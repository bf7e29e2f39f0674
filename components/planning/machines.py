"""Other machines: their FLOP/s, memory and price, and how long a training run takes on them."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from components.errors import StepError, shortened
from components.foreign import yaml_text

KNOWN = Path(__file__).with_name("machines.yaml")
LAUNCHES = 5e-4  # seconds per block and forward and backward pass to start its kernels: 80 of 6 microseconds each


@dataclass(frozen=True)
class Machine:
    """A machine with accelerators.

    Attributes:
        flops: dense bfloat16 FLOP/s of one device.
        memory_bytes: of one device.
        dollars_per_hour: of one device; None if it is not known.
        priced: year and month of the price.
    """

    name: str
    flops: float
    memory_bytes: float
    dollars_per_hour: float | None = None
    priced: str = ""
    devices: int = 1

    def seconds(self, flops: float, utilisation: float) -> float:
        """Seconds for this many FLOPs in which the devices reach this share of their peak."""
        return flops / (self.devices * self.flops * utilisation)

    def dollars(self, seconds: float) -> float | None:
        return None if self.dollars_per_hour is None else self.dollars_per_hour * self.devices * seconds / 3600


def machine(text: str) -> Machine:
    """The machine that `--on` names: `h200`, `8xh200`, or a YAML file.

    Raises:
        StepError: the name is unknown, or the file is not one of a machine.
    """
    if Path(text).is_file():
        return _machine(Path(text), None, text)
    found = re.fullmatch(r"(?:([1-9][0-9]{0,5})x)?(.+)", text.lower())
    known = yaml_text.read(KNOWN)
    if not found or found[2] not in known:
        raise StepError(
            f"--on: {text!r} was given; expected one of {', '.join(known)}, with a number of devices before it as in "
            "8xh200, or a YAML file with the keys of components/planning/machines.yaml; correct it"
        )
    return replace(_machine(KNOWN, found[2], found[2]), devices=int(found[1] or 1))


def _machine(path: Path, key: str | None, origin: str) -> Machine:
    """The machine of a file, or of one of its keys."""
    try:
        given = yaml_text.read(path) if key is None else yaml_text.read(path)[key]
        price = given.get("dollars_per_hour")
        made = Machine(
            name=str(given.get("name", origin)),
            flops=float(given["flops"]),
            memory_bytes=1e9 * float(given["memory_gb"]),
            dollars_per_hour=None if price is None else float(price),
            priced=str(given.get("priced", "")),
            devices=int(given.get("devices", 1)),
        )
    except (OSError, AttributeError, LookupError, TypeError, ValueError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else shortened(str(error))
        raise StepError(
            f"--on: {origin} is not a machine ({reason}); expected numbers for flops and memory_gb, and optional name, "
            "devices, dollars_per_hour and priced; correct it"
        ) from None
    if not (made.flops > 0 and made.memory_bytes > 0 and made.devices > 0):
        raise StepError(f"--on: {origin} has flops, memory_gb or devices of 0 or less; expected more; correct it")
    return made
