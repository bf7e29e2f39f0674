"""Reasoning in words: orders, groups and syllogisms. The solvers rebuild the world from the sentences."""

import re
from functools import cache
from itertools import permutations, product

from components.synthesis.drafts import Draft
from components.synthesis.generators import Draw, Lexicon, pick_wrong, search

# comparative of "more", of "less"; superlative of "most", of "least"
SCALES = (
    ("taller", "shorter", "tallest", "shortest"),
    ("older", "younger", "oldest", "youngest"),
    ("faster", "slower", "fastest", "slowest"),
    ("stronger", "weaker", "strongest", "weakest"),
)


def ordering(draw: Draw) -> Draft:
    """Three people in an order that follows from two comparisons."""
    people = draw.sample(draw.lexicon["names"], 3)  # from most to least
    scale = draw.choice(SCALES)
    facts = []
    for more, less in ((people[0], people[1]), (people[1], people[2])):
        up = draw.random() < 0.5
        facts.append(f"{more} is {scale[0]} than {less}." if up else f"{less} is {scale[1]} than {more}.")
    draw.shuffle(facts)
    end, answer = (scale[2], people[0]) if draw.random() < 0.5 else (scale[3], people[2])
    wrong = tuple(draw.shuffled(pick_wrong(answer, people)))
    reason = f"From {scale[2]} to {scale[3]}: {', '.join(people)}."
    shape = " ".join(sorted(fact.split()[2] for fact in facts))
    return Draft(f"{' '.join(facts)} Who is the {end}?", answer, wrong, reason, template=f"{shape} {end}")


def solve_ordering(question: str, lexicon: Lexicon) -> str:
    superlative = search(r"Who is the (\w+)\?", question).group(1)
    scale = next(s for s in SCALES if superlative in s)
    pairs = [
        (a, b) if word == scale[0] else (b, a) for a, word, b in re.findall(r"(\w+) is (\w+) than (\w+)\.", question)
    ]
    people = sorted({name for pair in pairs for name in pair})
    orders = [o for o in permutations(people) if all(o.index(a) < o.index(b) for a, b in pairs)]
    ends = {order[0 if superlative == scale[2] else -1] for order in orders}
    return ends.pop() if len(ends) == 1 else "unknown"


def odd_one_out(draw: Draw) -> Draft:
    """Three words of one group and one of another."""
    groups = draw.lexicon["categories"]
    home, away = draw.sample(sorted(groups), 2)
    inside, outside = draw.sample(groups[home], 3), draw.choice(groups[away])
    listed = draw.shuffled([*inside, outside])
    reason = f"{inside[0]}, {inside[1]} and {inside[2]} are {home}; {outside} is not."
    return draw.ask(outside, inside, reason, " ".join(sorted(listed)), w=", ".join(listed))


def solve_odd_one_out(question: str, lexicon: Lexicon) -> str:
    words = re.split(r", ", question.rpartition(": ")[2].rstrip("?."))
    odd_ones = {
        odd
        for odd in words
        for members in lexicon["categories"].values()
        if odd not in members and all(word in members for word in words if word != odd)
    }
    return odd_ones.pop() if len(odd_ones) == 1 else "unknown"


_SYLLABLES = ("bli", "dro", "fep", "gra", "kir", "lom", "mub", "nav", "pli", "rud", "sko", "tam", "vel", "wug", "zor")
WHY = {
    "yes": "Every {a} is a {b}, and so a {c}.",
    "no": "The premises keep {a} and {c} apart.",
    "unknown": "The premises leave it open: both can be.",
}


def syllogism(draw: Draw) -> Draft | None:
    """Two premises about invented groups; "yes", "no" or "unknown"."""
    a, b, c = ("".join(draw.sample(_SYLLABLES, 2)) for _ in range(3))
    if len({a, b, c}) < 3:
        return None
    answer = draw.choice(("yes", "no", "unknown"))
    premises = draw.choice([form.text for form in draw.forms if form.kind == answer])
    text = f"{premises} Are all {{a}} {{c}}?".format(a=f"{a}s", b=f"{b}s", c=f"{c}s")
    return Draft(text, answer, tuple(pick_wrong(answer, WHY)), WHY[answer].format(a=a, b=b, c=c), template=premises)


def solve_syllogism(question: str, lexicon: Lexicon) -> str:
    """Brute force: is the conclusion true in all worlds, or false in all? Groups are taken to be non-empty."""
    premises = re.findall(r"(All|No|Some) (\w+) are (\w+)\.", question)
    a, c = search(r"Are all (\w+) (\w+)\?", question).groups()
    groups = (a, c, *{name for premise in premises for name in premise[1:]} - {a, c})
    return _verdict(tuple((quantifier, groups.index(x), groups.index(y)) for quantifier, x, y in premises))


@cache
def _verdict(premises: tuple[tuple[str, int, int], ...]) -> str:
    def holds(quantifier: str, x: int, y: int, world: tuple[int, ...]) -> bool:
        inside = [bool(kind >> y & 1) for kind in world if kind >> x & 1]
        return {"All": all(inside), "No": not any(inside), "Some": any(inside)}[quantifier]

    verdicts = set()
    for world in product(range(8), repeat=3):  # three individuals, each a set of the groups that it is in
        if all(any(kind >> g & 1 for kind in world) for g in range(3)) and all(holds(*p, world) for p in premises):
            verdicts.add(holds("All", 0, 1, world))
    return "unknown" if len(verdicts) == 2 else ("yes" if verdicts == {True} else "no")
