"""The growth law: the loss of a model of N parameters after D tokens, whatever it started from.

    L(N, D) = E + (A / N^a + B / (D + d)^b)^c   from a random start
    D = k T + D2 / (1 + h T / D2)               after a start that is worth T tokens

The first line is the form of Kaplan et al. (arXiv 2001.08361), with E and d added and the exponents left free: tokens help a larger
model more. With c = 1 and d = 0 it is that of Hoffmann et al. (arXiv 2203.15556), in which a size is worth as much after few
tokens as after many; the grid's models contradict that.

D2 are the run's own tokens. A small model that is trained on starts with T = D1, the tokens that it has read. A grown model starts
with the T tokens after which a model of its size would have the small model's loss: L(N, T) = L(Ns, D1). `k` is the
share of that start which is kept when the learning rate rises again: below 1, a short second stage raises the loss. `h`, one for
each arm, makes the new tokens count for less in a run that is short beside its start.

`d` flattens the first steps, in which the loss falls more slowly than the power law. N and D are in millions. Forms of other authors, for comparison on the same runs, are here too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from components.study.growth.arms import CONTINUED, SCRATCH
from components.study.growth.law.grid import EXACT

Array = NDArray[np.float64]


class Setting(NamedTuple):
    """What a loss is predicted from; each field a number, or one array over settings.

    Attributes:
        start: SCRATCH, CONTINUED or EXACT.
        parameters: of the trained model, in millions.
        tokens: that the run itself reads, in millions.
        small: parameters of the small model that it started from, in millions; ignored from a random start.
        small_tokens: tokens of the small model, in millions; ignored from a random start.
    """

    start: ArrayLike
    parameters: ArrayLike
    tokens: ArrayLike
    small: ArrayLike
    small_tokens: ArrayLike


@dataclass(frozen=True)
class Form:
    """A formula with named coefficients, all positive.

    Attributes:
        first: where a fit starts, by name.
        most: upper bounds, where they are not MOST.
        loss: nats per token, of coefficients by name and a setting.
    """

    name: str
    first: Mapping[str, float]
    loss: Callable[[Mapping[str, float], Setting], Array]
    most: Mapping[str, float]

    def of(self, coefficients: Array, setting: Setting) -> Array:
        return self.loss(dict(zip(self.first, coefficients, strict=True)), setting)


MOST, TINY = 100.0, 1e-12
CHINCHILLA = {"E": 1.5, "A": 0.5, "a": 0.4, "B": 1.0, "b": 0.4}


def fresh(c: Mapping[str, float], parameters: ArrayLike, tokens: ArrayLike) -> Array:
    """Loss from a random start."""
    n, d = np.asarray(parameters, float), np.asarray(tokens, float)
    return np.asarray(c["E"] + (c["A"] / n ** c["a"] + c["B"] / (d + c.get("d", 0.0)) ** c["b"]) ** c.get("c", 1.0))


def worth(c: Mapping[str, float], setting: Setting) -> Array:
    """The tokens, in millions, after which a model of the trained size has the small model's loss: no more than those that the
    small model has read, and none if a random start is as good."""
    above = np.maximum(fresh(c, setting.small, setting.small_tokens) - c["E"], TINY)
    left = above ** (1 / c.get("c", 1.0)) - c["A"] / np.asarray(setting.parameters, float) ** c["a"]
    left = np.maximum(left, TINY)  # an exponent of a fit's trial may round it to 0
    return np.maximum((c["B"] / left) ** (1 / c["b"]) - c.get("d", 0.0), 0.0)


def growth_law(c: Mapping[str, float], setting: Setting) -> Array:
    """The formula at the head of this module."""
    start, tokens = np.asarray(setting.start), np.asarray(setting.tokens, float)
    begun = start != SCRATCH
    source = np.where(begun, setting.small_tokens, 1.0), np.where(begun, setting.small, setting.parameters)
    worthy = worth(c, setting._replace(small_tokens=source[0], small=source[1]))
    slowed = np.where(start == CONTINUED, c["h_continued"], c["h_exact"])
    later = c["k"] * worthy + tokens / (1 + slowed * worthy / tokens)
    return fresh(c, setting.parameters, np.where(begun, later, tokens))


def all_tokens(c: Mapping[str, float], setting: Setting) -> Array:
    """Chinchilla's form, with all tokens that the weights have seen: of the small model as well."""
    begun = np.asarray(setting.start) != SCRATCH
    return fresh(c, setting.parameters, np.asarray(setting.tokens, float) + np.where(begun, setting.small_tokens, 0.0))


def saturating(c: Mapping[str, float], setting: Setting) -> Array:
    """The form of arXiv 2510.06548: after a first stage the exponent of the second stage's tokens falls with the logarithm of the
    first stage's. Its coefficient is one for each arm here; from a random start it's Chinchilla's form."""
    start, tokens = np.asarray(setting.start), np.asarray(setting.tokens, float)
    begun = start != SCRATCH
    before = np.log(1000 * np.where(begun, setting.small_tokens, 1.0))  # thousands: positive
    size = np.where(start == CONTINUED, c["B_continued"], c["B_exact"])
    later = size * np.exp(-c["p"] * before - (c["q"] - c["r"] * before) * np.log(1000 * tokens))
    floor = c["E"] + c["A"] / np.asarray(setting.parameters, float) ** c["a"]
    return np.where(begun, floor + later, fresh(c, setting.parameters, tokens))


LAW = Form(
    "growth law",
    CHINCHILLA | {"c": 0.7, "d": 0.1, "k": 0.9, "h_continued": 0.3, "h_exact": 0.5},
    growth_law,
    {"c": 3.0, "k": 1.0},
)
OTHERS = (
    Form("Chinchilla, all tokens", CHINCHILLA, all_tokens, {}),
    Form(
        "arXiv 2510.06548",
        CHINCHILLA | {"B_continued": 10.0, "B_exact": 10.0, "p": 0.3, "q": 0.5, "r": 0.05},
        saturating,
        {},
    ),
)
ARMS = (SCRATCH, CONTINUED, EXACT)
