"""Physical common sense: what floats, weighs, carries, turns, pours. The solvers simulate the things of the question."""

import re
from collections.abc import Iterator
from itertools import combinations, product
from random import Random

from components.synthesis.drafts import Draft
from components.synthesis.generators import Lexicon, Task, ask, near, numbers_in, shuffled, yes_no

FLOAT = (
    "Does a piece of {s} float on {l}?",
    "{n} drops a piece of {s} into {l}. Does it stay on top?",
    "Will {s} swim on {l}?",
    "Put {s} into a bowl of {l}: does it float?",
    "Is {s} lighter than the same volume of {l}?",
    "A solid lump of {s} lies in {l}. Is it at the surface?",
)


def floating(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Whether a solid floats on a liquid, by their densities; as often yes as no, nothing that is close."""
    solids, liquids = lexicon["solids"], lexicon["liquids"]
    cases = [pair for pair in product(solids, liquids) if not 0.95 < solids[pair[0]] / liquids[pair[1]] < 1.05]
    up = [case for case in cases if solids[case[0]] < liquids[case[1]]]
    down = [case for case in cases if solids[case[0]] > liquids[case[1]]]
    count = min(len(up), len(down))
    balanced = rng.sample(up, count) + rng.sample(down, count)
    for (solid, liquid), form in shuffled(rng, product(balanced, FLOAT)):
        floats = solids[solid] < liquids[liquid]
        answer, wrong = yes_no(floats)
        reason = f"A cubic centimetre of {solid} weighs {solids[solid]:g} g, one of {liquid} {liquids[liquid]:g} g."
        yield ask(
            rng, (form,), answer, wrong, reason, f"{solid} {liquid}", s=solid, l=liquid, n=rng.choice(lexicon["names"])
        )


def solve_floating(question: str, lexicon: Lexicon) -> str:
    order = sorted(lexicon["solids"] | lexicon["liquids"], key=(lexicon["solids"] | lexicon["liquids"]).__getitem__)
    places = {name: order.index(name) for name in order if re.search(rf"\b{name}\b", question)}
    (solid,) = [name for name in places if name in lexicon["solids"]]
    (liquid,) = [name for name in places if name in lexicon["liquids"]]
    return "yes" if places[solid] < places[liquid] else "no"


WEIGHT = (
    ("Two balls have the same size, one of {a}, one of {b}. Which is heavier?", "heavy"),
    ("A cube of {a} and a cube of {b} are equally big. Which of them weighs more?", "heavy"),
    ("Two equal bricks, one of {a}, the other of {b}: which is lighter?", "light"),
    ("{n} lifts a bar of {a} and a bar of {b} of the same size. Which is easier to lift?", "light"),
    ("One kilogram of {a} and one kilogram of {b}: which takes more room?", "light"),
    ("{n} has as many grams of {a} as of {b}. Which heap is smaller?", "heavy"),
)


def weight(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Heavy and light, big and small: of two materials, by density."""
    solids = lexicon["solids"]
    pairs = [(a, b) for a, b in combinations(solids, 2) if not 0.8 < solids[a] / solids[b] < 1.25]
    for (a, b), (form, wanted), turned in shuffled(rng, product(pairs, WEIGHT, (False, True))):
        heavy, light = (a, b) if solids[a] > solids[b] else (b, a)
        answer, wrong = (heavy, light) if wanted == "heavy" else (light, heavy)
        reason = f"A cubic centimetre of {heavy} weighs {solids[heavy]:g} g, one of {light} only {solids[light]:g} g."
        first, second = (b, a) if turned else (a, b)
        slots = {"a": first, "b": second, "n": rng.choice(lexicon["names"])}
        yield ask(rng, (form,), answer, (wrong,), reason, f"{heavy} {light}", **slots)


def solve_weight(question: str, lexicon: Lexicon) -> str:
    order = sorted(lexicon["solids"], key=lexicon["solids"].__getitem__)  # from light to heavy
    light, heavy = [name for name in order if re.search(rf"\b{name}\b", question)]
    dense = "heavier" in question or "weighs more" in question or "smaller" in question
    return heavy if dense else light


CARRY = (
    "The {x} is in the {y}. The {y} is in the {z}. {n} brings the {z} to the {p}. Where is the {x} now?",
    "{n} puts the {x} into the {y} and the {y} into the {z}, and carries the {z} to the {p}. Where is the {x}?",
    "In the {z} is a {y}, and in the {y} is a {x}. {n} takes the {z} along to the {p}. At which place is the {x}?",
)
STAY = (
    "The {x} is in the {y}. The {y} is in the {z}, in the {q}. {n} takes the {y} out and leaves it there, then brings "
    "the {z} to the {p}. Where is the {x} now?",
    "In the {q} {n} lifts the {y} with the {x} in it out of the {z} and leaves it behind. Then {n} carries the {z} to "
    "the {p}. Where is the {x}?",
    "A {x} lies in a {y}, and the {y} stood in a {z}. In the {q} the {y} was taken out and stayed. The {z} went on to "
    "the {p}. At which place is the {x}?",
)


def carrying(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """A thing goes where goes what it is in, and stays where its container stays."""
    while True:
        x = rng.choice([thing for thing in lexicon["objects"] if thing[0] not in "aeiou"])
        y, z = rng.sample(("box", "bag", "basket", "case", "chest"), 2)
        p, q, r = rng.sample(lexicon["rooms"], 3)
        moved = rng.random() < 0.5
        answer, wrong = (p, (q, r)) if moved else (q, (p, r))
        reason = f"The {x} stays in the {y}, and the {y} " + (f"goes with the {z}." if moved else "stayed behind.")
        slots = {"x": x, "y": y, "z": z, "p": p, "q": q, "n": rng.choice(lexicon["names"])}
        yield ask(rng, CARRY if moved else STAY, answer, wrong, reason, f"{moved} {x} {y} {z} {p}", **slots)


def solve_carrying(question: str, lexicon: Lexicon) -> str:
    """Each container is a node; who is taken out hangs on the room and no longer on what moves."""
    rooms = [word for word in re.findall(r"\w+", question) if word in lexicon["rooms"]]
    inside = "thing"
    parent = {"thing": "inner", "inner": "outer", "outer": rooms[0]}
    if len(rooms) == 2:
        parent |= {"inner": rooms[0], "outer": rooms[1]}
    while inside in parent:
        inside = parent[inside]
    return inside


STACK = (
    ("On the table lies a {a}, on it a {b}, on that a {c}. {n} takes the top thing away. What is on top now?", "take"),
    ("A pile from bottom to top: {a}, {b}, {c}. {n} puts a {d} on it. What is on top now?", "put"),
    ("A pile from bottom to top: {a}, {b}, {c}. What lies directly under the {b}?", "under"),
    ("On a {a} stands a {b}, and on the {b} a {c}. Which thing is between the two others?", "middle"),
    ("{n} piles up a {a}, a {b} and a {c}, in this order. Which one must {n} lift last to clear the table?", "under"),
    ("A pile from top to bottom: {c}, {b}, {a}. {n} takes two things off. What is left?", "under"),
    ("{n} lays a {b} on a {a} and a {c} on the {b}. Which thing can be taken without moving another?", "top"),
)


def stacking(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Piles: what is on top, below, between."""
    while True:
        a, b, c, d = rng.sample(lexicon["flat"], 4)
        form, kind = rng.choice(STACK)
        answer = {"take": b, "put": d, "under": a, "middle": b, "top": c}[kind]
        pile = {"take": (a, b), "put": (a, b, c, d)}.get(kind, (a, b, c))
        wrong = shuffled(rng, [thing for thing in (a, b, c) if thing != answer])
        slots = {"a": a, "b": b, "c": c, "d": d, "n": rng.choice(lexicon["names"])}
        yield ask(
            rng, (form,), answer, wrong, f"From bottom to top: {', '.join(pile)}.", f"{kind} {a} {b} {c}", **slots
        )


def solve_stacking(question: str, lexicon: Lexicon) -> str:
    named = list(dict.fromkeys(word for word in re.findall(r"\w+", question) if word in lexicon["flat"]))
    if "from top to bottom" in question:
        named.reverse()
    if re.search(r" lays a ", question):
        named[:2] = named[1::-1]
    if "takes the top" in question or "takes two" in question:
        del named[2 if "top thing" in question else 1 :]
        return named[-1]
    if "directly under" in question:
        return named[named.index(re.search(r"under the (\w+)", question).group(1)) - 1]
    return named[1] if "between" in question else named[0] if "last" in question else named[-1]


GEARS = (
    "{k} gears stand in a row, each touching the next. The first turns {d}. Which way does the last one turn?",
    "In a row of {k} gear wheels the first is turned {d}. In which direction does the last one go?",
    "{n} turns the first of {k} touching wheels {d}. How does the last wheel turn?",
    "A toy has {k} gears side by side. If the first moves {d}, how does the last one move?",
    "Gear 1 turns {d} and drives gear 2, and so on up to gear {k}. Which way does that gear turn?",
)
CLOCKWISE = ("clockwise", "counterclockwise")


def gears(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Gears in a row turn in alternating directions."""
    for k, start, form, name in shuffled(rng, product(range(2, 20), (0, 1), GEARS, lexicon["names"][:6])):
        answer = (start + k - 1) % 2
        reason = "Neighbours turn in opposite directions, so odd places turn like the first and even ones against it."
        yield ask(
            rng,
            (form,),
            CLOCKWISE[answer],
            (CLOCKWISE[1 - answer],),
            reason,
            f"{k} {start}",
            k=k,
            d=CLOCKWISE[start],
            n=name,
        )


def solve_gears(question: str, lexicon: Lexicon) -> str:
    way = "counterclockwise" if "counterclockwise" in question else "clockwise"
    for _ in range(max(numbers_in(question)) - 1):
        way = CLOCKWISE[1] if way == CLOCKWISE[0] else CLOCKWISE[0]
    return way


MIX = (
    "{n} mixes a cup of water of {a} degrees with an equal cup of {b} degrees. How warm is the mixture, in degrees?",
    "Equal amounts of water of {a} and {b} degrees are poured together. What temperature do they come to?",
    "A litre of water has {a} degrees, another litre {b} degrees. What temperature has the mixture?",
    "Half the bath is filled with water of {a} degrees, the other half with water of {b} degrees. How warm is it?",
    "Two equal jugs of water, {a} and {b} degrees warm, go into one pot. How many degrees has the pot?",
)


def mixing(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Equal amounts of water meet in the middle."""
    while True:
        middle, half = rng.randint(10, 60), rng.randint(1, 35)
        if middle - half < 5 or middle + half > 95:
            continue
        a, b = shuffled(rng, (middle - half, middle + half))
        reason = f"It lies in the middle: ({a} + {b}) / 2 = {middle}."
        wrong = near(rng, middle, spread=(1, 2, 5, 10))
        slots = {"a": a, "b": b, "n": rng.choice(lexicon["names"])}
        yield ask(rng, MIX, middle, wrong, reason, f"{middle} {half}", **slots)


def solve_mixing(question: str, lexicon: Lexicon) -> str:
    cold, warm = sorted(numbers_in(question))
    while cold < warm:
        cold, warm = cold + 1, warm - 1
    return str(cold)


SEESAW = (
    "On the left of a seesaw sits {a} kg, {x} steps from the middle, on the right {b} kg, {y} steps from the middle. "
    "Which side goes down?",
    "A beam rests on its middle. On the left hang {a} kg at distance {x}, on the right {b} kg at distance {y}. Which "
    "side sinks?",
    "{n} hangs {a} kg on the left arm of a balance at mark {x}, and {b} kg on the right arm at mark {y}. Which side "
    "goes down?",
    "Left: {a} kg, {x} steps out. Right: {b} kg, {y} steps out. Which side of the seesaw is heavier in effect?",
)


def seesaw(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Weight times distance decides; equal products balance."""
    while True:
        a, x, b, y = rng.randint(2, 30), rng.randint(1, 5), rng.randint(2, 30), rng.randint(1, 5)
        if rng.random() < 0.3:
            if a * x % y:
                continue
            b = a * x // y
        left, right = a * x, b * y
        answer = "neither" if left == right else "left" if left > right else "right"
        reason = f"Left has {a} x {x} = {left}, right {b} x {y} = {right}."
        wrong = [side for side in ("left", "right", "neither") if side != answer]
        slots = {"a": a, "x": x, "b": b, "y": y, "n": rng.choice(lexicon["names"])}
        yield ask(rng, SEESAW, answer, wrong, reason, f"{a} {x} {b} {y}", **slots)


def solve_seesaw(question: str, lexicon: Lexicon) -> str:
    a, x, b, y = numbers_in(question)
    tilt = sum([a] * x) - sum([b] * y)
    return "neither" if not tilt else "left" if tilt > 0 else "right"


POUR = (
    "{n} pours all the {l} from {v} into {w}. Is there now more, less or the same amount of {l}?",
    "All the {l} goes from {v} into {w}. Has the amount of {l} become more, less or is it the same?",
    "{n} has {l} in {v} and pours it into {w} without spilling. Is it more, less or the same?",
)
POUR_LESS = (
    "{n} pours the {l} from {v} into {w} and spills some. Is there now more, less or the same amount of {l}?",
    "{n} drinks a sip of the {l} and pours the rest from {v} into {w}. Is it more, less or the same as before?",
)
POUR_MORE = (
    "{n} pours the {l} from {v} into {w} and adds a spoonful of {l}. Is it more, less or the same as before?",
    "Before {n} pours the {l} from {v} into {w}, someone adds some more of it. Is it more, less or the same as before?",
)
VESSELS = ("a tall glass", "a wide bowl", "a small cup", "a thin bottle", "a flat dish", "a round jar", "a deep pot")


def pouring(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Conservation, after Piaget: the shape of the vessel changes nothing."""
    while True:
        v, w = rng.sample(VESSELS, 2)
        kind = rng.choice(("the same", "the same", "less", "more"))
        forms = {"the same": POUR, "less": POUR_LESS, "more": POUR_MORE}[kind]
        reason = "Another shape does not change how much there is"
        reason += {"the same": ".", "less": ", but some was lost.", "more": ", but some was added."}[kind]
        slots = {"n": rng.choice(lexicon["names"]), "l": rng.choice(("water", "milk", "juice", "tea", "soup", "oil"))}
        yield ask(rng, forms, kind, [k for k in ("the same", "less", "more") if k != kind], reason, v=v, w=w, **slots)


def solve_pouring(question: str, lexicon: Lexicon) -> str:
    amount = 2
    amount -= bool(re.search(r"spills|sip", question))
    amount += "adds" in question
    return {1: "less", 2: "the same", 3: "more"}[amount]


TASKS = (
    Task("floating", "commonsense", floating, solve_floating, weight=0.5),
    Task("weight", "commonsense", weight, solve_weight, weight=0.5),
    Task("carrying", "commonsense", carrying, solve_carrying, weight=0.5),
    Task("stacking", "commonsense", stacking, solve_stacking, weight=0.5),
    Task("gears", "commonsense", gears, solve_gears, weight=0.3),
    Task("mixing", "commonsense", mixing, solve_mixing, weight=0.3),
    Task("seesaw", "commonsense", seesaw, solve_seesaw, weight=0.3),
    Task("pouring", "commonsense", pouring, solve_pouring, weight=0.3),
)
