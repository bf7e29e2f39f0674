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
    inserted: Literal["silent", "pairs"] = "pairs"
    pair_std: float = 0.15

    @classmethod
    def of(cls, settings: TransferParams, seed: int) -> "Options":
        names = ("residual", "new_units", "free_std", "noise", "inserted", "pair_std")
        return cls(seed, **{name: getattr(settings, name) for name in names})

    def draws(self) -> Draws:
        return Draws(self.seed, self.free_std, self.noise, self.pair_std)
