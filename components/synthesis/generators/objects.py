"""Physical common sense: what floats, weighs, carries, turns, pours. The solvers simulate the things of the question."""

import re
from itertools import combinations, product

from components.synthesis.drafts import Draft
from components.synthesis.generators import Drafts, Draw, Lexicon, extract, numbers_in, pick_wrong, words_in, yes_no


def floating(draw: Draw) -> Drafts:
    """Whether a solid floats on a liquid, by their densities; as often yes as no, nothing that is close."""
    solids, liquids = draw.lexicon["solids"], draw.lexicon["liquids"]
    cases = [pair for pair in product(solids, liquids) if not 0.95 < solids[pair[0]] / liquids[pair[1]] < 1.05]
    balanced = draw.balanced(cases, lambda solid, liquid: solids[solid] < liquids[liquid])
    for (solid, liquid), form in draw.shuffled(product(balanced, draw.forms)):
        answer, wrong = yes_no(solids[solid] < liquids[liquid])
        reason = f"A cubic centimetre of {solid} weighs {solids[solid]:g} g, one of {liquid} {liquids[liquid]:g} g."
        yield draw.ask(answer, wrong, reason, f"{solid} {liquid}", form, s=solid, l=liquid, n=draw.name())


def solve_floating(question: str, lexicon: Lexicon) -> str:
    densities = lexicon["solids"] | lexicon["liquids"]
    order = sorted(densities, key=densities.__getitem__)
    (solid,), (liquid,) = words_in(question, lexicon["solids"]), words_in(question, lexicon["liquids"])
    return "yes" if order.index(solid) < order.index(liquid) else "no"


def weight(draw: Draw) -> Drafts:
    """Heavy and light, big and small: of two materials, by density."""
    solids = draw.lexicon["solids"]
    pairs = [(a, b) for a, b in combinations(solids, 2) if not 0.8 < solids[a] / solids[b] < 1.25]
    for (a, b), form, turned in draw.shuffled(product(pairs, draw.forms, (False, True))):
        heavy, light = (a, b) if solids[a] > solids[b] else (b, a)
        answer, wrong = (heavy, light) if form.kind == "heavy" else (light, heavy)
        reason = f"A cubic centimetre of {heavy} weighs {solids[heavy]:g} g, one of {light} only {solids[light]:g} g."
        first, second = (b, a) if turned else (a, b)
        yield draw.ask(answer, (wrong,), reason, f"{heavy} {light}", form, a=first, b=second, n=draw.name())


def solve_weight(question: str, lexicon: Lexicon) -> str:
    order = sorted(lexicon["solids"], key=lexicon["solids"].__getitem__)  # from light to heavy
    light, heavy = sorted(set(words_in(question, order)), key=order.index)
    dense = "heavier" in question or "weighs more" in question or "smaller" in question
    return heavy if dense else light


def carrying(draw: Draw) -> Draft:
    """A thing goes where goes what it is in, and stays where its container stays."""
    x = draw.choice([thing for thing in draw.lexicon["objects"] if thing[0] not in "aeiou"])
    y, z = draw.sample(("box", "bag", "basket", "case", "chest"), 2)
    p, q, r = draw.sample(draw.lexicon["rooms"], 3)
    moved = draw.random() < 0.5
    answer, wrong = (p, (q, r)) if moved else (q, (p, r))
    reason = f"The {x} stays in the {y}, and the {y} " + (f"goes with the {z}." if moved else "stays behind.")
    slots = {"x": x, "y": y, "z": z, "p": p, "q": q, "n": draw.name()}
    return draw.ask(answer, wrong, reason, f"{moved} {x} {y} {z} {p}", "moved" if moved else "stayed", **slots)


def solve_carrying(question: str, lexicon: Lexicon) -> str:
    """Each container is a node; who is taken out hangs on the room and no longer on what moves."""
    rooms = words_in(question, lexicon["rooms"])
    inside = "thing"
    parent = {"thing": "inner", "inner": "outer", "outer": rooms[0]}
    if len(rooms) == 2:
        parent |= {"inner": rooms[0], "outer": rooms[1]}
    while inside in parent:
        inside = parent[inside]
    return inside


def stacking(draw: Draw) -> Draft:
    """Piles: what is on top, below, between."""
    a, b, c, d = draw.sample(draw.lexicon["flat"], 4)
    form = draw.choice(draw.forms)
    answer = {"take": b, "put": d, "under": a, "middle": b, "top": c}[form.kind]
    pile = {"take": (a, b), "put": (a, b, c, d)}.get(form.kind, (a, b, c))
    wrong, name = draw.shuffled(pick_wrong(answer, (a, b, c))), draw.name()
    reason = f"From bottom to top: {', '.join(pile)}."
    return draw.ask(answer, wrong, reason, f"{form.kind} {a} {b} {c}", form, a=a, b=b, c=c, d=d, n=name)


def solve_stacking(question: str, lexicon: Lexicon) -> str:
    named = list(dict.fromkeys(words_in(question, lexicon["flat"])))
    if "from top to bottom" in question:
        named.reverse()
    if re.search(r" lays a ", question):
        named[:2] = named[1::-1]
    if "takes the top" in question or "takes two" in question:
        del named[2 if "top thing" in question else 1 :]
        return named[-1]
    if "directly under" in question:
        return named[named.index(extract(r"under the (\w+)", question)) - 1]
    return named[1] if "between" in question else named[0] if "last" in question else named[-1]


CLOCKWISE = ("clockwise", "counterclockwise")


def gears(draw: Draw) -> Drafts:
    """Gears in a row turn in alternating directions."""
    reason = "Neighbours turn in opposite directions, so odd places turn like the first and even ones the other way."
    for k, start, form, name in draw.shuffled(product(range(2, 20), (0, 1), draw.forms, draw.lexicon["names"][:6])):
        answer, wrong = CLOCKWISE[:: 1 if (start + k) % 2 else -1]
        yield draw.ask(answer, (wrong,), reason, f"{k} {start}", form, k=k, d=CLOCKWISE[start], n=name)


def solve_gears(question: str, lexicon: Lexicon) -> str:
    way = "counterclockwise" if "counterclockwise" in question else "clockwise"
    for _ in range(max(numbers_in(question)) - 1):
        way = CLOCKWISE[1] if way == CLOCKWISE[0] else CLOCKWISE[0]
    return way


def mixing(draw: Draw) -> Draft | None:
    """Equal amounts of water meet in the middle."""
    middle, half = draw.randint(10, 60), draw.randint(1, 35)
    if middle - half < 5 or middle + half > 95:
        return None
    a, b = draw.shuffled((middle - half, middle + half))
    reason = f"It lies in the middle: ({a} + {b}) / 2 = {middle}."
    wrong = draw.near(middle, spread=(1, 2, 5, 10))
    return draw.ask(middle, wrong, reason, f"{middle} {half}", a=a, b=b, n=draw.name())


def solve_mixing(question: str, lexicon: Lexicon) -> str:
    cold, warm = sorted(numbers_in(question))
    while cold < warm:
        cold, warm = cold + 1, warm - 1
    return str(cold)


def seesaw(draw: Draw) -> Draft | None:
    """Weight times distance decides; equal products balance."""
    a, x, b, y = draw.randint(2, 30), draw.randint(1, 5), draw.randint(2, 30), draw.randint(1, 5)
    if draw.random() < 0.3:
        if a * x % y:
            return None
        b = a * x // y
    left, right = a * x, b * y
    answer = "neither" if left == right else "left" if left > right else "right"
    reason = f"The left has {a} x {x} = {left}, the right {b} x {y} = {right}."
    wrong = pick_wrong(answer, ("left", "right", "neither"))
    return draw.ask(answer, wrong, reason, f"{a} {x} {b} {y}", a=a, x=x, b=b, y=y, n=draw.name())


def solve_seesaw(question: str, lexicon: Lexicon) -> str:
    a, x, b, y = numbers_in(question)
    tilt = sum([a] * x) - sum([b] * y)
    return "neither" if not tilt else "left" if tilt > 0 else "right"


VESSELS = ("a tall glass", "a wide bowl", "a small cup", "a thin bottle", "a flat dish", "a round jar", "a deep pot")


def pouring(draw: Draw) -> Draft:
    """Conservation, after Piaget: the shape of the vessel changes nothing."""
    v, w = draw.sample(VESSELS, 2)
    kind = draw.choice(("the same", "the same", "less", "more"))
    reason = "Another shape does not change how much there is"
    reason += {"the same": ".", "less": ", but some was lost.", "more": ", but some was added."}[kind]
    slots = {"n": draw.name(), "l": draw.choice(("water", "milk", "juice", "tea", "soup", "oil")), "v": v, "w": w}
    return draw.ask(kind, pick_wrong(kind, ("the same", "less", "more")), reason, "", kind, **slots)


def solve_pouring(question: str, lexicon: Lexicon) -> str:
    amount = 2
    amount -= bool(re.search(r"spills|sip", question))
    amount += "adds" in question
    return {1: "less", 2: "the same", 3: "more"}[amount]
