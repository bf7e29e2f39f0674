"""Relations: families, seats, rules, analogies, groups, patterns. The solvers build the small world that is told."""

import re
from itertools import pairwise

from components.synthesis.drafts import Draft
from components.synthesis.generators import Draw, Lexicon, extract, numbers_in, pick_wrong, words_in

# first relation, second relation, what follows
KINSHIP = {
    ("mother", "mother"): "grandmother", ("mother", "father"): "grandmother", ("father", "mother"): "grandfather",
    ("father", "father"): "grandfather", ("sister", "mother"): "aunt", ("sister", "father"): "aunt",
    ("brother", "mother"): "uncle", ("brother", "father"): "uncle", ("mother", "brother"): "mother",
    ("mother", "sister"): "mother", ("father", "brother"): "father", ("father", "sister"): "father",
    ("daughter", "sister"): "niece", ("daughter", "brother"): "niece", ("son", "sister"): "nephew",
    ("son", "brother"): "nephew",
}  # fmt: skip


def kinship(draw: Draw) -> Draft:
    """Two steps in a family."""
    women, men = draw.lexicon["women"], draw.lexicon["men"]
    female = ("mother", "sister", "daughter")
    (r, s), k = draw.choice(list(KINSHIP.items()))
    a = draw.choice(women if r in female else men)
    b = draw.choice([name for name in (women if s in female else men) if name != a])
    c = draw.choice([name for name in (*women, *men) if name not in (a, b)])
    who = draw.random() < 0.5
    answer, wrong = (a, (b, c)) if who else (k, draw.others(sorted(set(KINSHIP.values())), k))
    slots = {"a": a, "b": b, "c": c, "r": r, "s": s, "k": k}
    return draw.ask(
        answer, wrong, f"The {r} of the {s} is the {k}.", f"{r} {s} {a} {b} {c}", "who" if who else "what", **slots
    )


def solve_kinship(question: str, lexicon: Lexicon) -> str:
    facts = [(x, r, y) for x, r, y in re.findall(r"(\w+) is the (\w+) of (\w+)(?=[.,])", question)]
    facts += [(b, s, c) for c, s, b in re.findall(r"(\w+) has a (\w+) named (\w+)", question)]
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


def seats(draw: Draw) -> Draft:
    """Five people in a row."""
    row = draw.sample(draw.lexicon["names"], 5)
    form = draw.choice(draw.forms)
    place = draw.randint(1, 3)
    step, at = {
        "right": (1, place + 1),
        "left": (-1, place - 1),
        "middle": (0, 2),
        "right end": (9, 4),
        "left end": (-9, 0),
    }[form.kind]
    beside = form.kind in ("left", "right")
    listed = f"{', '.join(row[:-1])} and {row[-1]}"
    wrong = draw.others([name for name in row if not beside or name != row[place]], row[at])
    reason = f"{row[at]} is number {at + 1} from the left" + (f", {row[place]} number {place + 1}." if beside else ".")
    return draw.ask(row[at], wrong, reason, f"{step} {place} {' '.join(row)}", form, l=listed, x=row[place])


def solve_seats(question: str, lexicon: Lexicon) -> str:
    row = re.split(r", | and ", extract(r"((?:\w+, ){3}\w+ and \w+)", question))
    if "end?" in question:
        return row.pop() if "right end" in question else row.pop(0)
    if "middle" in question:
        while len(row) > 1:
            row = row[1:-1]
        return row[0]
    asked = extract(r"(?:of|before|to) (\w+)[?,]", question)
    if "right" in question.rpartition(". ")[2]:
        return next(b for a, b in pairwise(row) if a == asked)
    return next(a for a, b in pairwise(row) if b == asked)


ANSWERS = ("yes", "no", "unknown")
RULES = (  # condition, its denial, consequence, its denial
    ("it is raining", "it is not raining", "the street is wet", "the street is dry"),
    ("the bell is ringing", "the bell is silent", "the children are outside", "the children are inside"),
    ("the fire is burning", "the fire is out", "the room is warm", "the room is cold"),
    ("the switch is on", "the switch is off", "the lamp is lit", "the lamp is dark"),
    ("the shop is open", "the shop is closed", "the flag is up", "the flag is down"),
    ("the cat is hungry", "the cat is not hungry", "the bowl is empty", "the bowl is full"),
    ("the tap is open", "the tap is shut", "the bucket is filling", "the bucket is not filling"),
    ("the wind is blowing", "the air is still", "the mill is turning", "the mill is at a standstill"),
    ("the key is in the lock", "the key is not in the lock", "the door is open", "the door is shut"),
    ("the sun is shining", "the sun is not shining", "the snow is melting", "the snow is not melting"),
)


def _asked(statement: str) -> str:
    """The question whether a statement is true."""
    subject, verb, rest = re.split(r" (is|are) ", statement, maxsplit=1)
    return f"{verb.capitalize()} {subject} {rest}?"


def rules(draw: Draw) -> Draft:
    """What follows from a rule and a fact: yes, no or unknown (Wason's four cases)."""
    p, not_p, q, not_q = draw.choice(RULES)
    case = draw.choice((0, 0, 1, 1, 2, 3))
    fact, asked, answer, why = (
        (p, q, "yes", "The condition holds, so the rest follows."),
        (not_q, p, "no", "If the condition held, the consequence would hold as well, and it does not."),
        (not_p, q, "unknown", "The rule says nothing about what happens otherwise."),
        (q, p, "unknown", "There may be another cause; the rule does not exclude it."),
    )[case]
    slots = {"p": p, "q": q, "f": fact, "F": fact[0].upper() + fact[1:], "A": _asked(asked), "n": draw.name()}
    return draw.ask(answer, pick_wrong(answer, ANSWERS), why, **slots)


def solve_rules(question: str, lexicon: Lexicon) -> str:
    """Go through all worlds that the rule and the fact allow, and look at what is asked in each."""
    p, not_p, q, not_q = next(rule for rule in RULES if rule[0] in question)
    told = question.lower().partition(q)[2]
    fact = next(text for text in (not_p, not_q, p, q) if text in told)
    about_q = question.endswith(_asked(q))
    worlds = [(x, y) for x in (True, False) for y in (True, False) if y or not x]
    worlds = [w for w in worlds if {p: w[0], not_p: not w[0], q: w[1], not_q: not w[1]}[fact]]
    seen = {world[about_q] for world in worlds}
    return "unknown" if len(seen) == 2 else "yes" if seen == {True} else "no"


def analogy(draw: Draw) -> Draft:
    """Proportions of words: opposites, plurals, pasts, tools and their work."""
    tables = _analogies(draw.lexicon)
    relation = draw.choice(sorted(tables))
    (a, b), (c, d) = draw.sample(tables[relation], 2)
    pool = [y for _, y in tables[relation] if y not in (b, d)]
    wrong = [*draw.sample(pool, 2), b] if b != d else draw.sample(pool, 3)
    reason = f"{b} is {relation} of {a}, and {d} is {relation} of {c}."
    return draw.ask(d, draw.shuffled(wrong), reason, f"{relation} {a} {c}", a=a, b=b, c=c)


def _analogies(lexicon: Lexicon) -> dict[str, list[tuple[str, str]]]:
    young = {"dog": "puppy", "cat": "kitten", "cow": "calf", "sheep": "lamb", "hen": "chick", "goat": "kid"}
    young |= {"horse": "foal", "swan": "cygnet", "duck": "duckling", "bear": "cub", "deer": "fawn"}
    return {
        "the opposite": [(a, b) for a, b in lexicon["opposites"] if a != b],
        "the plural": list(lexicon["irregular_nouns"].items()),
        "the past tense": list(lexicon["irregular_verbs"].items()),
        "the young": list(young.items()),
    }


def solve_analogy(question: str, lexicon: Lexicon) -> str:
    words = re.findall(r"\w+", re.sub(r"^(If|Complete:) | in the same way", "", question))
    for table in _analogies(lexicon).values():
        known = dict(table)
        here = [word for word in words if word in known]
        if len(here) >= 2 and known[here[0]] in words:
            return known[[word for word in here if word != here[0]][-1]]
    return "unknown"


def both(draw: Draw) -> Draft:
    """Two groups that overlap."""
    only_a, only_b, c, rest = (draw.randint(1, 9) for _ in range(4))
    a, b, union = only_a + c, only_b + c, only_a + only_b + c
    form = draw.choice(draw.forms)
    answer = {"neither": rest, "union": union, "only": only_a}[form.kind]
    reason = f"At least one: {a} + {b} - {c} = {union}."
    reason += f" None: {union + rest} - {union} = {rest}." if form.kind == "neither" else ""
    reason = f"{a} minus the {c} who do both is {only_a}." if form.kind == "only" else reason
    wrong = draw.near(answer, spread=(1, 2, 3, 4))
    return draw.ask(answer, wrong, reason, f"{form.kind} {a} {b} {c} {rest}", form, t=union + rest, a=a, b=b, c=c)


def solve_both(question: str, lexicon: Lexicon) -> str:
    *total, a, b, c = numbers_in(question)
    first, second = set(range(a)), set(range(a - c, a - c + b))
    if total:
        return str(len(set(range(total[0])) - (first | second)))
    return str(len(first - second) if re.search("only|alone", question) else len(first | second))


def pattern(draw: Draw) -> Draft:
    """The place in a repeating pattern."""
    row = draw.sample(draw.lexicon["categories"]["colours"], draw.randint(2, 4))
    k = draw.randint(len(row) + 1, 20)
    place = (k - 1) % len(row)
    reason = f"After every {len(row)} it starts again, so place {k} is like place {place + 1}."
    slots = {"l": ", ".join(row), "k": k, "n": draw.name()}
    return draw.ask(row[place], draw.shuffled(pick_wrong(row[place], row)), reason, f"{k} {' '.join(row)}", **slots)


def solve_pattern(question: str, lexicon: Lexicon) -> str:
    row = words_in(question, lexicon["categories"]["colours"])
    for _ in range(numbers_in(question)[0] - 1):
        row = [*row[1:], row[0]]
    return row[0]
