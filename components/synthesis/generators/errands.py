"""Daily activities: shopping, sharing, cooking, queues, ways, dates. The solvers act them out, one coin or day at a time."""

import re
from itertools import product

from components.synthesis.drafts import Draft
from components.synthesis.generators import Drafts, Draw, Lexicon, numbers_in, pick_wrong, search

MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)  # of a common year


def change(draw: Draw) -> Draft:
    """Change after buying two things."""
    x, y = draw.sample(draw.lexicon["goods"], 2)
    a, b = draw.randint(2, 15), draw.randint(2, 15)
    p = draw.choice([v for v in (10, 20, 30, 40, 50) if v >= a + b])
    left = p - a - b
    reason = f"Together they cost {a} + {b} = {a + b}, and {p} - {a + b} = {left}."
    slots = {"n": draw.name(), "x": x, "X": x[:1].upper() + x[1:], "y": y, "a": a, "b": b, "p": p}
    return draw.ask(left, draw.near(left, spread=(1, 2, 3, 5)), reason, f"{sorted((a, b))} {p}", **slots)


def solve_change(question: str, lexicon: Lexicon) -> str:
    a, b, paid = numbers_in(question)
    purse = ["coin"] * paid
    for cost in (a, b):
        del purse[:cost]
    return str(len(purse))


def ride(draw: Draw) -> Draft:
    """Minutes between two times of one day."""
    start, took = draw.randrange(6 * 60, 20 * 60, 5), draw.randrange(5, 100, 5)
    s, e = (f"{minutes // 60}:{minutes % 60:02d}" for minutes in (start, start + took))
    slots = {"s": s, "e": e, "n": draw.name(), "v": draw.choice(("bus", "train", "tram", "ferry", "boat", "coach"))}
    whole, rest = divmod(took, 60)
    reason = f"From {s} to {e} it is {f'{whole} hour and ' if whole else ''}{rest} minutes."
    return draw.ask(took, draw.near(took, spread=(5, 10, 15, 60)), reason, f"{start} {took}", **slots)


def solve_ride(question: str, lexicon: Lexicon) -> str:
    (hour, minute), end = (tuple(map(int, pair)) for pair in re.findall(r"(\d+):(\d\d)", question))
    minutes = 0
    while (hour, minute) != end:
        hour, minute = (hour + 1, 0) if minute == 59 else (hour, minute + 1)
        minutes += 1
    return str(minutes)


def sharing(draw: Draw) -> Draft:
    """Shares and what is left over."""
    a, k, left = draw.randint(3, 40), draw.randint(2, 8), draw.random() < 0.5
    each, rest = divmod(a, k)
    answer = rest if left else each
    reason = f"Each gets {each}, that is {k} x {each} = {k * each}, which leaves {rest}."
    slots = {"n": draw.name(), "t": draw.choice(draw.lexicon["things"]), "a": a, "k": k}
    wrong = draw.near(answer, spread=(1, 2, 3))
    return draw.ask(answer, wrong, reason, f"{left} {a} {k}", "left" if left else "each", **slots)


def solve_sharing(question: str, lexicon: Lexicon) -> str:
    first, second = numbers_in(question)
    heap, people = (second, first) if re.match(r"\d+ friends", question) else (first, second)
    hands = [0] * people
    while heap >= people:
        hands = [held + 1 for held in hands]
        heap -= people
    left = any(word in question for word in ("left over", "remain", "cannot"))
    return str(heap if left else hands[0])


def recipe(draw: Draw) -> Draft | None:
    """Amounts in proportion."""
    p, each, q = draw.randint(2, 6), draw.randint(1, 5), draw.randint(2, 12)
    if p == q:
        return None
    e, answer = p * each, q * each
    reason = f"Each of the {p} needs {e} / {p} = {each}, and {q} x {each} = {answer}."
    slots = {"n": draw.name(), "t": draw.choice(draw.lexicon["foods"]), "p": p, "e": e, "q": q}
    wrong = draw.near(answer, low=1, spread=(1, 2, 3, 5))
    return draw.ask(answer, wrong, reason, f"{p} {each} {q}", **slots)


def solve_recipe(question: str, lexicon: Lexicon) -> str:
    people, amount, wanted = numbers_in(question)
    each = next(n for n in range(amount + 1) if n * people == amount)
    return str(sum(each for _ in range(wanted)))


def queue(draw: Draw) -> Draft:
    """The place in a queue after others came or went, in front or behind."""
    a = draw.randint(3, 20)
    k = draw.randint(2, a - 1)
    form = draw.choice(draw.forms)
    sign, why = {
        "fewer": (-1, f"{k} fewer are in front"),
        "more": (1, f"{k} more are in front"),
        "same": (0, "Nobody in front came or went"),
    }[form.kind]
    answer = a + sign * k
    wrong = pick_wrong(answer, [n for n in (a + k, a - k, a, answer + 1, answer + 2) if n > 0])
    name, reason = draw.name(), f"{why}, so it is {answer}."
    return draw.ask(answer, draw.shuffled(wrong), reason, f"{sign} {a} {k}", form, n=name, a=a, k=k)


def solve_queue(question: str, lexicon: Lexicon) -> str:
    place, count = numbers_in(question)
    line = ["other"] * (place - 1) + ["me"] + ["other"] * count
    if any(words in question for words in ("served and leave", "The first", "give up")):
        line = line[count:]
    elif any(words in question for words in ("go ahead", "push in")):
        line = ["other"] * count + line
    return str(line.index("me") + 1)


WINDS = ("north", "east", "south", "west")
TURNS = {"left": -1, "right": 1, "around": 2}


def turning(draw: Draw) -> Draft:
    """The direction after one to three turns."""
    start, turns = draw.randrange(4), [draw.choice(list(TURNS)) for _ in range(draw.randint(1, 3))]
    path = [start]
    for turn in turns:
        path.append((path[-1] + TURNS[turn]) % 4)
    answer = WINDS[path[-1]]
    reason = f"The directions are {', '.join(WINDS[place] for place in path)}."
    slots = {"d": WINDS[start], "t": ", then ".join(turns), "n": draw.name()}
    return draw.ask(answer, draw.others(WINDS, answer), reason, f"{start} {turns}", **slots)


def solve_turning(question: str, lexicon: Lexicon) -> str:
    vectors = {"north": (0, 1), "east": (1, 0), "south": (0, -1), "west": (-1, 0)}
    x, y = vectors[search("north|east|south|west", question).group()]
    for turn in re.findall(r"left|right|around", question):
        x, y = {"left": (-y, x), "right": (y, -x), "around": (-x, -y)}[turn]
    return next(name for name, vector in vectors.items() if vector == (x, y))


def month(draw: Draw) -> Drafts:
    """The month some months before or after another."""
    for start, count, form in draw.shuffled(product(range(12), range(1, 12), draw.forms)):
        sign = {"after": 1, "before": -1}[form.kind]
        passed = [MONTHS[(start + sign * i) % 12] for i in range(1, count + 1)]
        slots = {"m": MONTHS[start], "k": f"{count} month" + "s" * (count > 1), "n": draw.name()}
        wrong = draw.others(MONTHS, passed[-1])
        yield draw.ask(passed[-1], wrong, f"Count: {', '.join(passed)}.", f"{start} {sign * count}", form, **slots)


def solve_month(question: str, lexicon: Lexicon) -> str:
    here = MONTHS.index(search("|".join(MONTHS), question).group())
    back = any(word in question for word in ("before", "ago", "earlier"))
    for _ in range(numbers_in(question)[0]):
        here = (here or 12) - 1 if back else (here + 1 if here < 11 else 0)
    return MONTHS[here]


def dates(draw: Draw) -> Draft:
    """Days between two dates of a common year, up to six weeks."""
    days = [f"{MONTHS[m]} {d}" for m in range(12) for d in range(1, MONTH_DAYS[m] + 1)]
    start, span = draw.randrange(320), draw.randint(2, 42)
    a, b = days[start], days[start + span]
    month = a.split()[0]
    reason = f"From {a} on, {b} is day {span}."
    if month != b.split()[0]:
        reason = f"{month} has {MONTH_DAYS[MONTHS.index(month)]} days; counting on past its end gives {span}."
    name, wrong = draw.name(), draw.near(span, low=1, spread=(1, 2, 3, 7))
    return draw.ask(span, wrong, reason, f"{start} {span}", a=a, b=b, n=name)


def solve_dates(question: str, lexicon: Lexicon) -> str:
    (m1, d1), (m2, d2) = re.findall(rf"({'|'.join(MONTHS)}) (\d+)", question)
    here, end, count = [MONTHS.index(m1), int(d1)], [MONTHS.index(m2), int(d2)], 0
    while here != end:
        here[1] += 1
        if here[1] > MONTH_DAYS[here[0]]:
            here = [here[0] + 1, 1]
        count += 1
    return str(count)


def coins(draw: Draw) -> Draft:
    """The worth of coins of two kinds."""
    x, y = draw.sample((2, 5, 10, 20, 50), 2)
    a, b = draw.randint(2, 6), draw.randint(2, 6)
    total = a * x + b * y
    reason = f"{a} x {x} = {a * x} and {b} x {y} = {b * y}; together {total}."
    name, wrong = draw.name(), draw.near(total, low=1, spread=(1, 2, 5, 10))
    return draw.ask(total, wrong, reason, str(sorted(((a, x), (b, y)))), n=name, a=a, b=b, x=x, y=y)


def solve_coins(question: str, lexicon: Lexicon) -> str:
    a, x, b, y = numbers_in(question)
    return str(sum([x] * a + [y] * b))


SIDE = ("side by side and started together", "all at the same time, with room for each")
AFTER = ("one after the other", "with room for only one at a time")
CHORES = (
    ("towel", "dries"), ("shirt", "dries"), ("candle", "burns down"), ("cake", "bakes"), ("loaf", "bakes"),
    ("pot", "cools down"), ("battery", "charges"), ("plant", "is watered"), ("film", "is shown"), ("jar", "sets"),
)  # fmt: skip


def chores(draw: Draw) -> Draft:
    """What happens side by side takes no longer for many; what happens in turn does."""
    (thing, verb), hours, count = draw.choice(CHORES), draw.randint(2, 9), draw.randint(2, 6)
    turns = draw.random() < 0.5
    answer, other = (hours * count, hours) if turns else (hours, hours * count)
    reason = f"They do not wait for each other, so it stays at {hours} hours."
    reason = f"Each waits for the one before, so it is {count} x {hours} = {answer} hours." if turns else reason
    wrong = pick_wrong(answer, (other, hours + count, hours * count + 1))
    slots = {
        "t": thing,
        "v": verb,
        "h": hours,
        "k": count,
        "n": draw.name(),
        "w": draw.choice(AFTER if turns else SIDE),
    }
    return draw.ask(answer, wrong, reason, f"{turns} {thing} {hours} {count}", **slots)


def solve_chores(question: str, lexicon: Lexicon) -> str:
    hours, count = numbers_in(question)
    return str(sum(hours for _ in range(count)) if any(words in question for words in AFTER) else hours)


def packing(draw: Draw) -> Draft:
    """How many boxes are needed; a box that is not full counts as one."""
    k, a = draw.randint(2, 10), draw.randint(5, 60)
    full, rest = divmod(a, k)
    answer = full + (rest > 0)
    reason = f"{full} x {k} = {full * k}" + (f", which leaves {rest} for one more." if rest else ".")
    slots = {"b": draw.choice(("box", "dish")), "t": draw.choice(draw.lexicon["things"]), "n": draw.name()}
    return draw.ask(answer, draw.near(answer, low=1, spread=(1, 2, 3)), reason, f"{a} {k}", a=a, k=k, **slots)


def solve_packing(question: str, lexicon: Lexicon) -> str:
    numbers = numbers_in(question)
    total, each = max(numbers), min(numbers)
    if re.match(r"How many .* of (\d+)|A |\d+ \w+ fit", question):
        each, total = numbers
    elif re.match(r"\w+ packs|There are", question):
        total, each = numbers
    boxes = 0
    while total > 0:
        total -= each
        boxes += 1
    return str(boxes)
