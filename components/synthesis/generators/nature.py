"""Science that can be computed: states of matter, animals and planets."""

import re
from collections.abc import Iterator
from itertools import permutations, product
from random import Random

from components.synthesis.drafts import Draft
from components.synthesis.generators import Lexicon, Task, near, others, shuffled

ABSOLUTE_ZERO = -273
STATES = ("solid", "liquid", "gas")


def state_of_matter(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Solid, liquid or gas, from the melting and boiling point; temperatures in tens of degrees Celsius."""
    forms = (
        "At {t} degrees, is {s} solid, liquid or gas?",
        "What is {s} at {t} degrees: solid, liquid or gas?",
        "Someone keeps {s} at {t} degrees. Is it solid, liquid or gas?",
    )
    points = lexicon["substances"]
    while True:
        substance = rng.choice(sorted(points))
        melting, boiling = points[substance]
        state = rng.choice(STATES)
        low, high = {"solid": (-270, melting), "liquid": (melting, boiling), "gas": (boiling, boiling + 600)}[state]
        low, high = max(low, melting - 400, ABSOLUTE_ZERO + 3), min(high, boiling + 600)
        degrees = [t for t in range(low // 10 * 10, high, 10) if low < t < high]
        if not degrees:
            continue
        t = rng.choice(degrees)
        reason = f"{substance.capitalize()} melts at {melting} degrees and boils at {boiling}."
        wrong = tuple(s for s in STATES if s != state)
        form = rng.choice(forms)
        yield Draft(form.format(t=t, s=substance), state, wrong, reason, f"{substance} {t}", form)


def solve_state_of_matter(question: str, lexicon: Lexicon) -> str:
    t = int(re.search(r"-?\d+", question).group())
    (substance,) = [s for s in lexicon["substances"] if re.search(rf"\b{s}\b", question)]
    return STATES[sum(t > point for point in lexicon["substances"][substance])]


def _legs(lexicon: Lexicon) -> dict[str, int]:
    return {animal: legs for members in lexicon["animals"].values() for animal, legs in members.items()}


def _plural(animal: str, count: int) -> str:
    if count == 1 or animal in ("trout", "salmon", "cod", "tuna", "carp", "perch", "pike", "sheep"):
        return animal
    if animal.endswith(("fly", "ly")):
        return animal[:-1] + "ies"
    return {"mouse": "mice"}.get(animal, animal + ("es" if animal.endswith(("x", "ch")) else "s"))


def legs(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Legs of one or two kinds of animals."""
    table = _legs(lexicon)
    names = sorted(table)
    while True:
        first, second = rng.sample(names, 2)
        m, n = rng.randint(1, 4), rng.choice((0, 0, 1, 2))
        group = f"{m} {_plural(first, m)}" + (f" and {n} {_plural(second, n)}" if n else "")
        total = m * table[first] + n * table[second]
        reason = f"{first.capitalize()}: {m} x {table[first]} legs." + (
            f" {second.capitalize()}: {n} x {table[second]}." if n else ""
        )
        spread = (2, 4, 6, 8)
        verb = "does" if m == 1 and not n else "do"
        text = f"How many legs {verb} {group} have{' together' if n else ''}?"
        reason += f" That makes {total}."
        yield Draft(text, str(total), near(rng, total, spread=spread), reason, group, "two kinds" if n else "one kind")


def solve_legs(question: str, lexicon: Lexicon) -> str:
    table = _legs(lexicon)
    spoken = {_plural(animal, count): animal for animal in table for count in (1, 2)}
    feet: list[str] = []
    for count, word in re.findall(r"(\d+) (\w+)", question):
        for _ in range(int(count)):
            feet += ["foot"] * table[spoken[word]]
    return str(len(feet))


CLASS_FORMS = (
    "What kind of animal is {a}?",
    "Which group of animals does {a} belong to?",
    "{A} is which kind of animal?",
    "Name the class of {a}.",
    "A book lists {a} under which class?",
)


def animal_class(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """The class of an animal: a table of facts, taught and examined in different wordings."""
    classes = sorted(lexicon["animals"])
    facts = [(animal, kind) for kind, members in lexicon["animals"].items() for animal in members]
    for (animal, kind), form in shuffled(rng, product(facts, CLASS_FORMS)):
        named = f"{'an' if animal[0] in 'aeiou' else 'a'} {animal}"
        article = "an" if kind[0] in "aeiou" else "a"
        reason = f"{named.capitalize()} is {article} {kind}."
        yield Draft(
            form.format(a=named, A=named.capitalize()), kind, others(rng, classes, kind, 3), reason, template=form
        )


def solve_animal_class(question: str, lexicon: Lexicon) -> str:
    words = set(re.findall(r"\w+", question.lower()))
    found = {kind for kind, members in lexicon["animals"].items() if words & members.keys()}
    return found.pop() if len(found) == 1 else "unknown"


def planets(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Which of two planets is closer to the Sun, or farther from it."""
    forms = (
        "Which planet is {w} the Sun, {a} or {b}?",
        "{a} and {b}: which one is {w} the Sun?",
        "Is {a} or {b} {w} the Sun?",
        "You compare {a} with {b}. Which is {w} the Sun?",
    )
    distances = lexicon["planets"]
    ways = ("closer to", "farther from")
    for (a, b), way, form in shuffled(rng, product(permutations(distances, 2), ways, forms)):
        inner, outer = (a, b) if distances[a] < distances[b] else (b, a)
        answer, wrong = (inner, outer) if way == "closer to" else (outer, inner)
        reason = f"{inner} is {distances[inner]} million km from the Sun, {outer} {distances[outer]} million km."
        yield Draft(form.format(w=way, a=a, b=b), answer, (wrong,), reason, template=f"{form} [{way}]")


def solve_planets(question: str, lexicon: Lexicon) -> str:
    order = sorted(lexicon["planets"], key=lexicon["planets"].__getitem__)
    a, b = [planet for planet in order if planet in question]  # in order from the Sun
    return a if "closer" in question else b


TASKS = (
    Task("state_of_matter", "science", state_of_matter, solve_state_of_matter),
    Task("legs", "science", legs, solve_legs, weight=0.7),
    Task("animal_class", "science", animal_class, solve_animal_class),
    Task("planets", "science", planets, solve_planets),
)
