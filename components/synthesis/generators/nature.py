"""Science that can be computed: states of matter, animals and planets."""

import re
from itertools import permutations, product

from components.synthesis.drafts import Draft
from components.synthesis.generators import Drafts, Draw, Lexicon, numbers_in, pick_wrong, words_in

ABSOLUTE_ZERO = -273
STATES = ("solid", "liquid", "gas")


def state_of_matter(draw: Draw) -> Draft | None:
    """Solid, liquid or gas, from the melting and boiling point; temperatures in tens of degrees Celsius."""
    points = draw.lexicon["substances"]
    substance = draw.choice(sorted(points))
    melting, boiling = points[substance]
    state = draw.choice(STATES)
    low, high = {"solid": (-270, melting), "liquid": (melting, boiling), "gas": (boiling, boiling + 600)}[state]
    low, high = max(low, melting - 400, ABSOLUTE_ZERO + 3), min(high, boiling + 600)
    degrees = [t for t in range(low // 10 * 10, high, 10) if low < t < high]
    if not degrees:
        return None
    t = draw.choice(degrees)
    reason = f"{substance.capitalize()} melts at {melting} degrees and boils at {boiling}."
    return draw.ask(state, pick_wrong(state, STATES), reason, f"{substance} {t}", t=t, s=substance)


def solve_state_of_matter(question: str, lexicon: Lexicon) -> str:
    (t,), (substance,) = numbers_in(question), words_in(question, lexicon["substances"])
    return STATES[sum(t > point for point in lexicon["substances"][substance])]


def _legs(lexicon: Lexicon) -> dict[str, int]:
    return {animal: legs for members in lexicon["animals"].values() for animal, legs in members.items()}


def _plural(animal: str, count: int) -> str:
    if count == 1 or animal in ("trout", "salmon", "cod", "tuna", "carp", "perch", "pike", "sheep"):
        return animal
    if animal.endswith(("fly", "ly")):
        return animal[:-1] + "ies"
    return {"mouse": "mice"}.get(animal, animal + ("es" if animal.endswith(("x", "ch")) else "s"))


def legs(draw: Draw) -> Draft:
    """Legs of one or two kinds of animals."""
    table = _legs(draw.lexicon)
    first, second = draw.sample(sorted(table), 2)
    m, n = draw.randint(1, 4), draw.choice((0, 0, 1, 2))
    group = f"{m} {_plural(first, m)}" + (f" and {n} {_plural(second, n)}" if n else "")
    total = m * table[first] + n * table[second]
    reason = f"{first.capitalize()}: {m} x {table[first]} legs. "
    reason += f"{second.capitalize()}: {n} x {table[second]}. " if n else ""
    text = f"How many legs {'does' if m == 1 and not n else 'do'} {group} have{' together' if n else ''}?"
    wrong = draw.near(total, spread=(2, 4, 6, 8))
    return Draft(
        text, str(total), tuple(wrong), f"{reason}That makes {total}.", group, "two kinds" if n else "one kind"
    )


def solve_legs(question: str, lexicon: Lexicon) -> str:
    table = _legs(lexicon)
    spoken = {_plural(animal, count): animal for animal in table for count in (1, 2)}
    feet: list[str] = []
    for count, word in re.findall(r"(\d+) (\w+)", question):
        for _ in range(int(count)):
            feet += ["foot"] * table[spoken[word]]
    return str(len(feet))


def animal_class(draw: Draw) -> Drafts:
    """The class of an animal: a table of facts, taught and examined in different wordings."""
    classes = sorted(draw.lexicon["animals"])
    facts = [(animal, kind) for kind, members in draw.lexicon["animals"].items() for animal in members]
    for (animal, kind), form in draw.shuffled(product(facts, draw.forms)):
        named, group = (f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}" for noun in (animal, kind))
        reason = f"{named.capitalize()} is {group}."
        yield form.draft(kind, draw.others(classes, kind), reason, a=named, A=named.capitalize())


def solve_animal_class(question: str, lexicon: Lexicon) -> str:
    words = set(re.findall(r"\w+", question.lower()))
    classes = {kind for kind, members in lexicon["animals"].items() if words & members.keys()}
    return classes.pop() if len(classes) == 1 else "unknown"


def planets(draw: Draw) -> Drafts:
    """Which of two planets is closer to the Sun, or farther from it."""
    distances = draw.lexicon["planets"]
    for (a, b), way, form in draw.shuffled(
        product(permutations(distances, 2), ("closer to", "farther from"), draw.forms)
    ):
        inner, outer = sorted((a, b), key=distances.__getitem__)
        answer, wrong = (inner, outer) if way == "closer to" else (outer, inner)
        reason = f"{inner} is {distances[inner]} million km from the Sun, {outer} {distances[outer]} million km."
        yield form.draft(answer, (wrong,), reason, "", way, w=way, a=a, b=b)


def solve_planets(question: str, lexicon: Lexicon) -> str:
    order = sorted(lexicon["planets"], key=lexicon["planets"].__getitem__)
    a, b = [planet for planet in order if planet in question]  # in order from the Sun
    return a if "closer" in question else b
