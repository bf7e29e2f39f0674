"""Relations: families, seats, rules, analogies, groups, patterns. The solvers build the small world that is told."""

import re
from collections.abc import Iterator
from itertools import pairwise
from random import Random

from components.synthesis.drafts import Draft
from components.synthesis.generators import Lexicon, Task, ask, near, numbers_in, others, shuffled

KIN = (
    "{a} is the {r} of {b}. {b} is the {s} of {c}. Who is the {k} of {c}?",
    "{b} is the {s} of {c}, and {a} is the {r} of {b}. Whom does {c} call {k}?",
    "{c} has the {s} {b}. The {r} of {b} is {a}. Which of them is the {k} of {c}?",
)
WHAT = (
    "{a} is the {r} of {b}. {b} is the {s} of {c}. What is {a} to {c}?",
    "{b} is the {s} of {c}, and {a} is the {r} of {b}. What does {c} call {a}?",
    "{c} has the {s} {b}. The {r} of {b} is {a}. How is {a} related to {c}?",
)
# first relation, second relation, what follows
KINSHIP = {
    ("mother", "mother"): "grandmother", ("mother", "father"): "grandmother", ("father", "mother"): "grandfather",
    ("father", "father"): "grandfather", ("sister", "mother"): "aunt", ("sister", "father"): "aunt",
    ("brother", "mother"): "uncle", ("brother", "father"): "uncle", ("mother", "brother"): "mother",
    ("mother", "sister"): "mother", ("father", "brother"): "father", ("father", "sister"): "father",
    ("daughter", "sister"): "niece", ("daughter", "brother"): "niece", ("son", "sister"): "nephew",
    ("son", "brother"): "nephew",
}  # fmt: skip


def kinship(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Two steps in a family."""
    women, men = lexicon["women"], lexicon["men"]
    female = ("mother", "sister", "daughter")
    words = sorted(set(KINSHIP.values()))
    while True:
        (r, s), k = rng.choice(list(KINSHIP.items()))
        a = rng.choice(women if r in female else men)
        b = rng.choice([name for name in (women if s in female else men) if name != a])
        c = rng.choice([name for name in (*women, *men) if name not in (a, b)])
        reason = f"The {r} of the {s} is the {k}."
        slots = {"a": a, "b": b, "c": c, "r": r, "s": s, "k": k}
        if rng.random() < 0.5:
            yield ask(rng, KIN, a, (b, c), reason, f"{r} {s} {a} {b} {c}", **slots)
        else:
            yield ask(rng, WHAT, k, others(rng, words, k, 3), reason, f"{r} {s} {a} {b} {c}", **slots)


def solve_kinship(question: str, lexicon: Lexicon) -> str:
    facts = [(x, r, y) for x, r, y in re.findall(r"(\w+) is the (\w+) of (\w+)(?=[.,])", question)]
    facts += [(b, s, c) for c, s, b in re.findall(r"(\w+) has the (\w+) (\w+)", question)]
    facts += [(a, r, b) for r, b, a in re.findall(r"The (\w+) of (\w+) is (\w+)", question)]
    (middle,) = {y for _, _, y in facts} & {x for x, _, _ in facts}
    top, first = next((x, r) for x, r, y in facts if y == middle)
    second = next(r for x, r, _ in facts if x == middle)
    if re.search(r"Who is|Whom does|Which of", question):
        return top
    woman = top in lexicon["women"]
    if second in ("mother", "father"):
        kind = "parent's parent" if first in ("mother", "father") else "parent's sibling"
    else:
        kind = "parent" if first in ("mother", "father") else "sibling's child"
    names = {"parent's parent": ("grandmother", "grandfather"), "parent's sibling": ("aunt", "uncle")}
    names |= {"parent": ("mother", "father"), "sibling's child": ("niece", "nephew")}
    return names[kind][0 if woman else 1]


SEATS = (
    ("From left to right sit {l}. Who sits directly to the right of {x}?", 1),
    ("On a bench, from left to right: {l}. Who is the right neighbour of {x}?", 1),
    ("In a row from left to right stand {l}. Who stands directly to the left of {x}?", -1),
    ("Seen from the left the order is {l}. Who is just before {x}, on the left?", -1),
    ("From left to right sit {l}. Who sits in the middle?", 0),
    ("The places from left to right belong to {l}. Whose place is the middle one?", 0),
    ("{l} sit in this order from left to right. Who sits at the right end?", 9),
    ("{l} stand in this order from left to right. Who stands at the left end?", -9),
)


def seats(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Five people in a row."""
    while True:
        row = rng.sample(lexicon["names"], 5)
        form, step = rng.choice(SEATS)
        place = rng.randint(1, 3)
        at = {1: place + 1, -1: place - 1, 0: 2, 9: 4, -9: 0}[step]
        listed = f"{', '.join(row[:-1])} and {row[-1]}"
        wrong = others(rng, [name for i, name in enumerate(row) if i != place or abs(step) != 1], row[at], 3)
        reason = f"{row[at]} is number {at + 1} from the left" + (
            f", {row[place]} number {place + 1}." if abs(step) == 1 else "."
        )
        yield ask(rng, (form,), row[at], wrong, reason, f"{step} {place} {' '.join(row)}", l=listed, x=row[place])


def solve_seats(question: str, lexicon: Lexicon) -> str:
    listed = re.search(r"((?:\w+, ){3}\w+ and \w+)", question).group(1)
    row = re.split(r", | and ", listed)
    if "end?" in question:
        return row.pop() if "right end" in question else row.pop(0)
    if "middle" in question:
        while len(row) > 1:
            row = row[1:-1]
        return row[0]
    asked = re.search(r"(?:of|before) (\w+)[?,]", question).group(1)
    pairs = list(pairwise(row))
    if "right" in question.rpartition(". ")[2]:
        return next(b for a, b in pairs if a == asked)
    return next(a for a, b in pairs if b == asked)


RULES = (  # condition, its denial, consequence, its denial, question about each
    ("it rains", "it does not rain", "the street is wet", "the street is dry", "it rain", "the street wet"),
    ("the bell rings", "the bell is silent", "the children go out", "the children stay inside", "the bell ring", "the children outside"),
    ("the fire burns", "there is no fire", "the room is warm", "the room is cold", "the fire burn", "the room warm"),
    ("the switch is on", "the switch is off", "the lamp glows", "the lamp is dark", "the switch on", "the lamp glow"),
    ("the shop is open", "the shop is closed", "the flag is up", "the flag is down", "the shop open", "the flag up"),
    ("the cat is hungry", "the cat is not hungry", "the bowl is empty", "the bowl is full", "the cat hungry", "the bowl empty"),
    ("the tap is open", "the tap is shut", "the bucket fills", "the bucket stays as it is", "the tap open", "the bucket fill"),
    ("the wind blows", "there is no wind", "the mill turns", "the mill stands still", "the wind blow", "the mill turn"),
    ("the key is in the lock", "the key is not in the lock", "the door opens", "the door stays shut", "the key in the lock", "the door open"),
    ("the sun shines", "the sun does not shine", "the snow melts", "the snow stays", "the sun shine", "the snow melt"),
)  # fmt: skip
RULE_FORMS = (
    "If {p}, then {q}. {F}. {A}",
    "Whenever {p}, {q}. Now {f}. {A}",
    "It is always so: if {p}, {q}. Today {f}. {A}",
    "{n} knows: if {p}, then {q}. {n} sees that {f}. {A}",
)


def rules(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """What follows from a rule and a fact: yes, no or unknown (Wason's four cases)."""
    verbs = {"rain", "ring", "burn", "glow", "fill", "blow", "turn", "open", "shine", "melt"}
    while True:
        p, not_p, q, not_q, ask_p, ask_q = rng.choice(RULES)
        case = rng.choice((0, 0, 1, 1, 2, 3))
        fact, asked, answer, why = (
            (p, ask_q, "yes", "The condition holds, so the rest follows."),
            (not_q, ask_p, "no", "If the condition held, the other would hold as well, and it does not."),
            (not_p, ask_q, "unknown", "The rule says nothing about what happens otherwise."),
            (q, ask_p, "unknown", "There may be another cause; the rule does not exclude it."),
        )[case]
        verb = "Does" if asked.split()[-1] in verbs and asked not in ("the shop open", "the tap open") else "Is"
        verb = "Are" if asked.startswith("the children") else verb
        slots = {"p": p, "q": q, "f": fact, "F": fact[0].upper() + fact[1:], "A": f"{verb} {asked}?"}
        slots["n"] = rng.choice(lexicon["names"])
        wrong = [word for word in ("yes", "no", "unknown") if word != answer]
        yield ask(rng, RULE_FORMS, answer, wrong, why, **slots)


def solve_rules(question: str, lexicon: Lexicon) -> str:
    """Go through all worlds that the rule and the fact allow, and look at what is asked in each."""
    p, not_p, q, not_q, _, ask_q = next(rule for rule in RULES if rule[0] in question)
    told = question.lower().partition(q)[2]
    fact = next(text for text in (not_p, not_q, p, q) if text in told)
    about_q = ask_q in told.rpartition(". ")[2]
    worlds = [(x, y) for x in (True, False) for y in (True, False) if y or not x]
    worlds = [w for w in worlds if {p: w[0], not_p: not w[0], q: w[1], not_q: not w[1]}[fact]]
    seen = {world[about_q] for world in worlds}
    return "unknown" if len(seen) == 2 else "yes" if seen == {True} else "no"


ANALOGY = (
    "{a} is to {b} as {c} is to what?",
    "{a} belongs to {b} as {c} belongs to which word?",
    "{a} : {b} = {c} : ?",
    "If {a} goes with {b}, what goes with {c} in the same way?",
    "Complete: {a} and {b}; {c} and ...",
)


def analogy(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Proportions of words: opposites, plurals, pasts, tools and their work."""
    tables = _analogies(lexicon)
    while True:
        relation = rng.choice(sorted(tables))
        (a, b), (c, d) = rng.sample(tables[relation], 2)
        pool = [y for _, y in tables[relation] if y not in (b, d)]
        wrong = [*rng.sample(pool, 2), b] if b != d else rng.sample(pool, 3)
        reason = f"{b} is {relation} of {a}, and {d} is {relation} of {c}."
        yield ask(rng, ANALOGY, d, shuffled(rng, wrong), reason, f"{relation} {a} {c}", a=a, b=b, c=c)


def _analogies(lexicon: Lexicon) -> dict[str, list[tuple[str, str]]]:
    young = {"dog": "puppy", "cat": "kitten", "cow": "calf", "sheep": "lamb", "hen": "chick", "goat": "kid"}
    young |= {"horse": "foal", "swan": "cygnet", "duck": "duckling", "bear": "cub", "deer": "fawn"}
    opposites = [pair for pair in lexicon["opposites"] if len({*pair}) == 2]
    return {
        "the opposite": [tuple(pair) for pair in opposites],
        "the plural": list(lexicon["irregular_nouns"].items()),
        "the past": list(lexicon["irregular_verbs"].items()),
        "the young": list(young.items()),
    }


def solve_analogy(question: str, lexicon: Lexicon) -> str:
    words = re.findall(r"\w+", re.sub(r"^(If|Complete:) | in the same way", "", question))
    tables = _analogies(lexicon).values()
    for table in tables:
        known = dict(table)
        here = [word for word in words if word in known]
        if len(here) >= 2 and known[here[0]] in words:
            return known[[word for word in here if word != here[0]][-1]]
    return "unknown"


BOTH = (
    ("Of {t} pupils {a} play chess, {b} sing, and {c} do both. How many do neither?", "neither"),
    (
        "In a class of {t}, {a} have a dog, {b} have a cat, {c} of them have both. How many have none of the two?",
        "neither",
    ),
    ("{a} guests take soup, {b} take salad, {c} take both. How many guests take at least one of them?", "union"),
    ("{a} words are on the first list, {b} on the second, {c} on both. How many different words are that?", "union"),
    ("{a} children swim, {b} children ride, and {c} do both. How many only swim?", "only"),
    ("{a} people read the first book, {b} the second, {c} of them both. How many read the first alone?", "only"),
)


def both(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Two groups that overlap."""
    while True:
        only_a, only_b, c, rest = (rng.randint(1, 9) for _ in range(4))
        a, b = only_a + c, only_b + c
        form, kind = rng.choice(BOTH)
        union = only_a + only_b + c
        answer = {"neither": rest, "union": union, "only": only_a}[kind]
        reason = f"At least one: {a} + {b} - {c} = {union}."
        reason += f" None: {union + rest} - {union} = {rest}." if kind == "neither" else ""
        reason = f"{a} less the {c} who do both are {only_a}." if kind == "only" else reason
        slots = {"t": union + rest, "a": a, "b": b, "c": c}
        yield ask(
            rng, (form,), answer, near(rng, answer, spread=(1, 2, 3, 4)), reason, f"{kind} {a} {b} {c} {rest}", **slots
        )


def solve_both(question: str, lexicon: Lexicon) -> str:
    *total, a, b, c = numbers_in(question)
    first, second = set(range(a)), set(range(a - c, a - c + b))
    if total:
        return str(len(set(range(total[0])) - (first | second)))
    return str(len(first - second) if re.search("only|alone", question) else len(first | second))


PATTERN = (
    "Beads follow one another: {l}, and so on. Which colour has bead number {k}?",
    "{n} repeats {l} again and again. What comes at place {k}?",
    "A row begins {l} and goes on like that. What stands at place {k}?",
    "The lights change in turn: {l}, then from the beginning. Which is number {k}?",
    "A wall is painted {l}, always in this order. Which colour is stripe {k}?",
)


def pattern(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """The place in a repeating pattern."""
    colours = lexicon["categories"]["colours"]
    while True:
        row = rng.sample(colours, rng.randint(2, 4))
        k = rng.randint(len(row) + 1, 20)
        answer = row[(k - 1) % len(row)]
        wrong = [colour for colour in row if colour != answer]
        reason = f"After every {len(row)} it starts again, so place {k} is like place {(k - 1) % len(row) + 1}."
        slots = {"l": ", ".join(row), "k": k, "n": rng.choice(lexicon["names"])}
        yield ask(rng, PATTERN, answer, shuffled(rng, wrong), reason, f"{k} {' '.join(row)}", **slots)


def solve_pattern(question: str, lexicon: Lexicon) -> str:
    row = [word for word in re.findall(r"\w+", question) if word in lexicon["categories"]["colours"]]
    for _ in range(numbers_in(question)[0] - 1):
        row = [*row[1:], row[0]]
    return row[0]


TASKS = (
    Task("kinship", "reasoning", kinship, solve_kinship, weight=0.4),
    Task("seats", "reasoning", seats, solve_seats, weight=0.4),
    Task("rules", "reasoning", rules, solve_rules, weight=0.4),
    Task("analogy", "reasoning", analogy, solve_analogy, weight=0.4),
    Task("both", "reasoning", both, solve_both, weight=0.3),
    Task("pattern", "reasoning", pattern, solve_pattern, weight=0.4),
)
