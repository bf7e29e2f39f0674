"""Options of operators, besides shapes and depth map."""

from dataclasses import dataclass
from typing import Literal

from components.params import TransferParams
from components.transfer.maps import Draws


@dataclass(frozen=True)
class Options:
    """Options of the operators; see `components.params.TransferParams` for what they mean."""

    seed: int = 0
    residual: Literal["mean_pad", "zero_pad"] = "mean_pad"
    new_units: Literal["random", "copies"] = "random"
    free_std: float = 0.02
    noise: float = 0.0

    @classmethod
    def of(cls, settings: TransferParams, seed: int) -> "Options":
        return cls(seed, settings.residual, settings.new_units, settings.free_std, settings.noise)

    def draws(self) -> Draws:
        return Draws(self.seed, self.free_std, self.noise)
