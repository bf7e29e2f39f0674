"""Reasoning in words: orders, groups and syllogisms. The solvers rebuild the world from the sentences."""

import re
from collections.abc import Iterator
from itertools import permutations, product
from random import Random

from components.synthesis.drafts import Draft
from components.synthesis.generators import Lexicon, Task, shuffled

# comparative of "more", of "less"; superlative of "most", of "least"
SCALES = (
    ("taller", "shorter", "tallest", "shortest"),
    ("older", "younger", "oldest", "youngest"),
    ("faster", "slower", "fastest", "slowest"),
    ("stronger", "weaker", "strongest", "weakest"),
)


def ordering(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Three people in an order that follows from two comparisons."""
    while True:
        people = rng.sample(lexicon["names"], 3)  # from most to least
        scale = rng.choice(SCALES)
        facts = []
        for more, less in ((people[0], people[1]), (people[1], people[2])):
            up = rng.random() < 0.5
            facts.append(f"{more} is {scale[0]} than {less}." if up else f"{less} is {scale[1]} than {more}.")
        rng.shuffle(facts)
        top = rng.random() < 0.5
        answer = people[0] if top else people[2]
        wrong = tuple(shuffled(rng, [p for p in people if p != answer]))
        question = f"{facts[0]} {facts[1]} Who is the {scale[2] if top else scale[3]}?"
        reason = f"From {scale[2]} to {scale[3]}: {', '.join(people)}."
        shape = " ".join(sorted(fact.split()[2] for fact in facts))
        yield Draft(question, answer, wrong, reason, template=f"{shape} {scale[2] if top else scale[3]}")


def solve_ordering(question: str, lexicon: Lexicon) -> str:
    superlative = re.search(r"Who is the (\w+)\?", question).group(1)
    scale = next(s for s in SCALES if superlative in s)
    pairs = [
        (a, b) if word == scale[0] else (b, a) for a, word, b in re.findall(r"(\w+) is (\w+) than (\w+)\.", question)
    ]
    people = sorted({name for pair in pairs for name in pair})
    orders = [o for o in permutations(people) if all(o.index(a) < o.index(b) for a, b in pairs)]
    ends = {order[0 if superlative == scale[2] else -1] for order in orders}
    return ends.pop() if len(ends) == 1 else "unknown"


def odd_one_out(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Three words of one group and one of another."""
    groups = lexicon["categories"]
    forms = (
        "Which word does not belong: {w}?",
        "Find the odd one out: {w}.",
        "Three of these four belong together, one does not: {w}.",
    )
    while True:
        home, away = rng.sample(sorted(groups), 2)
        inside, outside = rng.sample(groups[home], 3), rng.choice(groups[away])
        listed = shuffled(rng, [*inside, outside])
        reason = f"{inside[0]}, {inside[1]} and {inside[2]} are {home}; {outside} is not."
        form = rng.choice(forms)
        text = form.format(w=", ".join(listed))
        yield Draft(text, outside, tuple(inside), reason, " ".join(sorted(listed)), form)


def solve_odd_one_out(question: str, lexicon: Lexicon) -> str:
    words = re.split(r", ", question.rpartition(": ")[2].rstrip("?."))
    found = {
        odd
        for odd in words
        for members in lexicon["categories"].values()
        if odd not in members and all(word in members for word in words if word != odd)
    }
    return found.pop() if len(found) == 1 else "unknown"


_SYLLABLES = ("bli", "dro", "fep", "gra", "kir", "lom", "mub", "nav", "pli", "rud", "sko", "tam", "vel", "wug", "zor")
FIGURES = {  # premises about A, B, C and what follows for "Is every A a C?"
    ("All {a} are {b}.", "All {b} are {c}."): "yes",
    ("All {a} are {b}.", "No {b} are {c}."): "no",
    ("All {a} are {b}.", "Some {b} are {c}."): "unknown",
    ("All {a} are {b}.", "All {c} are {b}."): "unknown",
    ("No {a} are {b}.", "All {c} are {b}."): "no",
    ("Some {a} are {b}.", "All {b} are {c}."): "unknown",
}


def syllogism(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Two premises about invented groups; "yes", "no" or "unknown"."""
    why = {
        "yes": "Every {a} is a {b}, and so a {c}.",
        "no": "The premises keep {a} and {c} apart.",
        "unknown": "The premises leave it open: both can be.",
    }
    figures = sorted(FIGURES)
    while True:
        a, b, c = ("".join(rng.sample(_SYLLABLES, 2)) + "s" for _ in range(3))
        if len({a, b, c}) < 3:
            continue
        answer = rng.choice(("yes", "no", "unknown"))
        first, second = rng.choice([f for f in figures if FIGURES[f] == answer])
        text = f"{first} {second} Are all {{a}} {{c}}?".format(a=a, b=b, c=c)
        wrong = tuple(w for w in ("yes", "no", "unknown") if w != answer)
        yield Draft(text, answer, wrong, why[answer].format(a=a[:-1], b=b[:-1], c=c[:-1]), template=f"{first} {second}")


def solve_syllogism(question: str, lexicon: Lexicon) -> str:
    """Brute force: is the conclusion true in all worlds, or false in all? Groups are taken to be non-empty."""
    premises = re.findall(r"(All|No|Some) (\w+) are (\w+)\.", question)
    a, c = re.search(r"Are all (\w+) (\w+)\?", question).groups()
    return _verdict(tuple((q, x, y) for q, x, y in premises), a, c)


def _verdict(premises: tuple[tuple[str, str, str], ...], a: str, c: str) -> str:
    names = sorted({n for _, x, y in premises for n in (x, y)})
    canonical = {name: i for i, name in enumerate(sorted(names, key=lambda n: (n != a, n != c, n)))}
    key = (tuple((q, canonical[x], canonical[y]) for q, x, y in premises), canonical[a], canonical[c])
    if key not in _VERDICTS:
        _VERDICTS[key] = _enumerate(*key)
    return _VERDICTS[key]


_VERDICTS: dict[tuple, str] = {}


def _enumerate(premises: tuple[tuple[str, int, int], ...], a: int, c: int) -> str:
    def holds(quantifier: str, x: int, y: int, world: tuple[int, ...]) -> bool:
        inside = [bool(kind >> y & 1) for kind in world if kind >> x & 1]
        return {"All": all(inside), "No": not any(inside), "Some": any(inside)}[quantifier]

    verdicts = set()
    for world in product(range(8), repeat=3):  # three individuals, each a set of the groups that it is in
        if all(any(kind >> g & 1 for kind in world) for g in range(3)) and all(holds(*p, world) for p in premises):
            verdicts.add(holds("All", a, c, world))
    return "unknown" if len(verdicts) == 2 else ("yes" if verdicts == {True} else "no")


TASKS = (
    Task("ordering", "reasoning", ordering, solve_ordering, weight=0.7),
    Task("odd_one_out", "reasoning", odd_one_out, solve_odd_one_out, weight=1.5),
    Task("syllogism", "reasoning", syllogism, solve_syllogism, weight=0.7),
)
