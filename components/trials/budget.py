"""The false-discovery budget of all tries of a project.

Whoever tries many things finds some by chance. e-LOND (Xu and Ramdas 2024, Online multiple testing with e-values, arXiv
2311.06412) gives each try its level before its first run: a share of the rate, more after each discovery. The expected
share of false discoveries among all discoveries then stays below the rate at any time, however the tries depend on one
another, as tries that share runs do. Tries that were begun and given up keep their share.
"""

DECAY = 1.6
RATE = 0.1  # largest expected share of false discoveries among the discoveries of a project


def level(earlier: int, discoveries: int, rate: float = RATE) -> float:
    """The level of a new try.

    Args:
        earlier: number of tries registered before it.
        discoveries: number of those that are confirmed.
    """
    return rate * share(earlier + 1) * (discoveries + 1)


def share(number: int) -> float:
    """The share of the rate for the try of this number, from 1: number ** -1.6, scaled to a sum of 1. A project does not
    know how many tries it will make, so the shares never end."""
    from scipy.special import zeta

    return float(number**-DECAY / zeta(DECAY))
