"""Daily activities: shopping, sharing, cooking, queues, ways, dates. The solvers act them out, one coin or day at a time."""

import re
from collections.abc import Iterator
from itertools import product
from random import Random

from components.synthesis.drafts import Draft
from components.synthesis.generators import Lexicon, Task, ask, near, numbers_in, others, shuffled

MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

CHANGE = (
    "{n} buys {x} for {a} coins and {y} for {b} coins and pays with {p} coins. How many coins come back?",
    "At the shop {n} takes {x} for {a} coins and {y} for {b} coins and hands over {p} coins. How much is the change?",
    "{X} costs {a} coins, {y} costs {b} coins. {n} buys both and pays {p} coins. What is the change?",
    "{n} pays for {x} ({a} coins) and {y} ({b} coins) with {p} coins. How many coins does the seller give back?",
    "The bill shows {a} coins for {x} and {b} coins for {y}. {n} puts down {p} coins. How many of them return?",
    "{X} for {a} coins and {y} for {b} coins are in the bag. {n} had {p} coins before. How many are left?",
)


def change(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Change after buying two things."""
    while True:
        x, y = rng.sample(lexicon["goods"], 2)
        a, b = rng.randint(1, 15), rng.randint(1, 15)
        p = rng.choice([v for v in (10, 20, 30, 40, 50) if v >= a + b])
        left = p - a - b
        reason = f"Together they cost {a} + {b} = {a + b}, and {p} - {a + b} = {left}."
        slots = {"n": rng.choice(lexicon["names"]), "x": x, "X": _capital(x), "y": y, "a": a, "b": b, "p": p}
        yield ask(rng, CHANGE, left, near(rng, left, spread=(1, 2, 3, 5)), reason, f"{sorted((a, b))} {p}", **slots)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def solve_change(question: str, lexicon: Lexicon) -> str:
    a, b, paid = numbers_in(question)
    purse = ["coin"] * paid
    for cost in (a, b):
        del purse[:cost]
    return str(len(purse))


RIDE = (
    "The {v} leaves at {s} and arrives at {e}. How many minutes does the ride take?",
    "{n} gets on the {v} at {s} and off at {e}. How many minutes is that?",
    "A {v} is on its way from {s} to {e}. How many minutes pass?",
    "It is {s}. The {v} comes at {e}. How many minutes does {n} have to wait?",
    "{n} waits for the {v} from {s} to {e}. How many minutes is the wait?",
    "Between {s} and {e} {n} sits on the {v}. How long is that in minutes?",
)


def ride(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Minutes between two times of one day."""
    while True:
        start, took = rng.randrange(6 * 60, 20 * 60, 5), rng.randrange(5, 100, 5)
        slots = {"s": _clock(start), "e": _clock(start + took), "n": rng.choice(lexicon["names"])}
        slots["v"] = rng.choice(("bus", "train", "tram", "ferry", "boat", "coach"))
        whole, rest = divmod(took, 60)
        reason = f"From {slots['s']} to {slots['e']} it is " + (f"{whole} hour and {rest}" if whole else str(rest))
        yield ask(
            rng, RIDE, took, near(rng, took, spread=(5, 10, 15, 60)), reason + " minutes.", f"{start} {took}", **slots
        )


def _clock(minutes: int) -> str:
    return f"{minutes // 60}:{minutes % 60:02d}"


def solve_ride(question: str, lexicon: Lexicon) -> str:
    (hour, minute), end = (tuple(map(int, pair)) for pair in re.findall(r"(\d+):(\d\d)", question))
    minutes = 0
    while (hour, minute) != end:
        hour, minute = (hour + 1, 0) if minute == 59 else (hour, minute + 1)
        minutes += 1
    return str(minutes)


EACH = (
    "{n} shares {a} {t} equally among {k} children. How many does each child get?",
    "{a} {t} are dealt out to {k} children, as many to each as possible. How many does one child get?",
    "{k} friends: {a} {t} are shared fairly. How many for each friend?",
    "{n} puts {a} {t} into {k} bags, equally many in each. How many are in a bag?",
)
LEFT = (
    "{n} shares {a} {t} equally among {k} children. How many are left over?",
    "{a} {t} are dealt out to {k} children, as many to each as possible. How many remain?",
    "{k} friends: {a} {t} are shared fairly. How many cannot be shared?",
    "{n} puts {a} {t} into {k} bags, equally many in each. How many do not fit and remain?",
)


def sharing(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Shares and what is left over."""
    while True:
        a, k, left = rng.randint(3, 40), rng.randint(2, 8), rng.random() < 0.5
        each, rest = divmod(a, k)
        answer = rest if left else each
        reason = f"Each gets {each}, that is {k} x {each} = {k * each}, and {rest} are left."
        slots = {"n": rng.choice(lexicon["names"]), "t": rng.choice(lexicon["things"]), "a": a, "k": k}
        yield ask(
            rng, LEFT if left else EACH, answer, near(rng, answer, spread=(1, 2, 3)), reason, f"{left} {a} {k}", **slots
        )


def solve_sharing(question: str, lexicon: Lexicon) -> str:
    first, second = numbers_in(question)
    heap, people = (second, first) if re.match(r"\d+ friends", question) else (first, second)
    hands = [0] * people
    while heap >= people:
        hands = [held + 1 for held in hands]
        heap -= people
    left = any(word in question for word in ("left over", "remain", "cannot"))
    return str(heap if left else hands[0])


RECIPE = (
    "A recipe for {p} people needs {e} {t}. How many {t} are needed for {q} people?",
    "For {p} guests {n} takes {e} {t}. How many {t} does {n} take for {q} guests?",
    "{p} plates need {e} {t}. How many {t} do {q} plates need?",
    "With {p} eaters the pot gets {e} {t}. How many {t} does it get with {q} eaters?",
    "The book says: {p} people, {e} {t}. Today {q} people come. How many {t}?",
)


def recipe(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Amounts in proportion."""
    while True:
        p, each, q = rng.randint(2, 6), rng.randint(1, 5), rng.randint(2, 12)
        if p == q:
            continue
        e, answer = p * each, q * each
        reason = f"One of {p} needs {e} / {p} = {each}, and {q} x {each} = {answer}."
        slots = {"n": rng.choice(lexicon["names"]), "t": rng.choice(lexicon["foods"]), "p": p, "e": e, "q": q}
        yield ask(
            rng, RECIPE, answer, near(rng, answer, low=1, spread=(1, 2, 3, 5)), reason, f"{p} {each} {q}", **slots
        )


def solve_recipe(question: str, lexicon: Lexicon) -> str:
    people, amount, wanted = numbers_in(question)
    each = next(n for n in range(amount + 1) if n * people == amount)
    return str(sum(each for _ in range(wanted)))


QUEUE = (
    ("{n} is number {a} in the queue. {k} people in front of {n} are served and leave. Which number is {n} now?", -1),
    ("{n} stands at place {a} of a line. The first {k} people go in. At which place does {n} stand now?", -1),
    ("{n} waits at place {a}. {k} people before {n} give up and go home. What is the place of {n} now?", -1),
    ("{n} is number {a} in the queue and lets {k} people go ahead. Which number is {n} now?", 1),
    ("{n} stands at place {a} of a line. {k} people push in at the front. At which place does {n} stand now?", 1),
    ("{n} waits at place {a}. {k} more people join at the end. What is the place of {n} now?", 0),
    ("{n} is number {a} in the queue. Behind {n}, {k} people leave. Which number is {n} now?", 0),
)


def queue(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """The place in a queue after others came or went, in front or behind."""
    while True:
        a = rng.randint(3, 20)
        k = rng.randint(2, a - 1)
        form, sign = rng.choice(QUEUE)
        answer = a + sign * k
        why = {-1: f"{k} fewer are in front", 1: f"{k} more are in front", 0: "nobody in front came or went"}[sign]
        wrong = [n for n in dict.fromkeys((a + k, a - k, a, answer + 1, answer + 2)) if n != answer and n > 0][:3]
        slots = {"n": rng.choice(lexicon["names"]), "a": a, "k": k}
        yield ask(
            rng,
            (form,),
            answer,
            shuffled(rng, wrong),
            f"{why.capitalize()}, so it is {answer}.",
            f"{sign} {a} {k}",
            **slots,
        )


def solve_queue(question: str, lexicon: Lexicon) -> str:
    place, count = numbers_in(question)
    line = ["other"] * (place - 1) + ["me"] + ["other"] * count
    if any(words in question for words in ("served and leave", "The first", "before")):
        line = line[count:]
    elif any(words in question for words in ("go ahead", "push in")):
        line = ["other"] * count + line
    return str(line.index("me") + 1)


WINDS = ("north", "east", "south", "west")
WAYS = (
    "{n} walks {d} and turns {t}. In which direction does {n} walk now?",
    "You face {d} and turn {t}. Which way do you face?",
    "A ship sails {d}, then it turns {t}. Where is it heading?",
    "{n} rides a bicycle to the {d} and turns {t}. What is the new direction?",
    "Looking {d}, {n} turns {t}. In which direction does {n} look?",
)
TURNS = {"left": -1, "right": 1, "around": 2}


def turning(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """The direction after one to three turns."""
    while True:
        start, turns = rng.randrange(4), [rng.choice(list(TURNS)) for _ in range(rng.randint(1, 3))]
        path = [start]
        for turn in turns:
            path.append((path[-1] + TURNS[turn]) % 4)
        answer = WINDS[path[-1]]
        reason = f"The directions are {', '.join(WINDS[place] for place in path)}."
        slots = {"d": WINDS[start], "t": ", then ".join(turns), "n": rng.choice(lexicon["names"])}
        yield ask(rng, WAYS, answer, others(rng, WINDS, answer, 3), reason, f"{start} {turns}", **slots)


def solve_turning(question: str, lexicon: Lexicon) -> str:
    vectors = {"north": (0, 1), "east": (1, 0), "south": (0, -1), "west": (-1, 0)}
    x, y = vectors[re.search("north|east|south|west", question).group()]
    for turn in re.findall(r"left|right|around", question):
        x, y = {"left": (-y, x), "right": (y, -x), "around": (-x, -y)}[turn]
    return next(name for name, vector in vectors.items() if vector == (x, y))


MONTH_FORMS = (
    ("Which month is {k} after {m}?", 1),
    ("It is {m}. Which month will it be in {k}?", 1),
    ("{n} plants a tree in {m} and looks at it again {k} later. In which month is that?", 1),
    ("Which month is {k} before {m}?", -1),
    ("It is {m}. Which month was it {k} ago?", -1),
    ("In {m} {n} remembers a day {k} earlier. In which month was it?", -1),
)


def month(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """The month some months before or after another."""
    for start, count, (form, sign) in shuffled(rng, product(range(12), range(1, 12), MONTH_FORMS)):
        answer = MONTHS[(start + sign * count) % 12]
        passed = [MONTHS[(start + sign * i) % 12] for i in range(1, count + 1)]
        span = "1 month" if count == 1 else f"{count} months"
        slots = {"m": MONTHS[start], "k": span, "n": rng.choice(lexicon["names"])}
        key = f"{start} {sign * count}"
        yield ask(rng, (form,), answer, others(rng, MONTHS, answer, 3), f"Count: {', '.join(passed)}.", key, **slots)


def solve_month(question: str, lexicon: Lexicon) -> str:
    here = MONTHS.index(re.search("|".join(MONTHS), question).group())
    back = any(word in question for word in ("before", "ago", "earlier"))
    for _ in range(numbers_in(question)[0]):
        here = (here or 12) - 1 if back else (here + 1 if here < 11 else 0)
    return MONTHS[here]


DATES = (
    "How many days are there from {a} to {b} of the same year, which is no leap year?",
    "Today is {a}, in a year of 365 days. How many days is it until {b}?",
    "{n} leaves on {a} and returns on {b} of that year (no leap year). How many days later is that?",
    "In a common year, how many days after {a} is {b}?",
    "A calendar of 365 days: how many days lie between {a} and {b}, counting the last one?",
)


def dates(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Days between two dates of a common year, up to six weeks."""
    days = [f"{MONTHS[m]} {d}" for m in range(12) for d in range(1, MONTH_DAYS[m] + 1)]
    while True:
        start, span = rng.randrange(320), rng.randint(2, 42)
        a, b = days[start], days[start + span]
        reason = f"From {a} on, {b} is day {span}."
        if a.split()[0] != b.split()[0] and start + span < 365:
            length = MONTH_DAYS[MONTHS.index(a.split()[0])]
            reason = f"{a.split()[0]} has {length} days; counting on past its end one comes to {span}."
        slots = {"a": a, "b": b, "n": rng.choice(lexicon["names"])}
        yield ask(rng, DATES, span, near(rng, span, low=1, spread=(1, 2, 3, 7)), reason, f"{start} {span}", **slots)


def solve_dates(question: str, lexicon: Lexicon) -> str:
    (m1, d1), (m2, d2) = re.findall(rf"({'|'.join(MONTHS)}) (\d+)", question)
    here, end, count = [MONTHS.index(m1), int(d1)], [MONTHS.index(m2), int(d2)], 0
    while here != end:
        here[1] += 1
        if here[1] > MONTH_DAYS[here[0]]:
            here = [here[0] + 1, 1]
        count += 1
    return str(count)


COINS = (
    "{n} has {a} coins of {x} cents and {b} coins of {y} cents. How many cents is that?",
    "{a} coins of {x} cents and {b} coins of {y} cents lie on the table. What are they worth in cents?",
    "How much are {a} coins of {x} cents and {b} coins of {y} cents together, in cents?",
    "{n} saves {a} coins of {x} cents and then {b} coins of {y} cents. How many cents are in the purse?",
    "A machine takes {a} coins of {x} cents and {b} coins of {y} cents. How many cents has it got?",
)


def coins(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """The worth of coins of two kinds."""
    while True:
        x, y = rng.sample((2, 5, 10, 20, 50), 2)
        a, b = rng.randint(2, 6), rng.randint(2, 6)
        total = a * x + b * y
        reason = f"{a} x {x} = {a * x} and {b} x {y} = {b * y}; together {total}."
        slots = {"n": rng.choice(lexicon["names"]), "a": a, "b": b, "x": x, "y": y}
        wrong = near(rng, total, low=1, spread=(1, 2, 5, 10))
        yield ask(rng, COINS, total, wrong, reason, str(sorted(((a, x), (b, y)))), **slots)


def solve_coins(question: str, lexicon: Lexicon) -> str:
    a, x, b, y = numbers_in(question)
    return str(sum([x] * a + [y] * b))


TOGETHER = (
    "One {t} {v} in {h} hours. How many hours do {k} of them need {w}?",
    "A {t} {v} in {h} hours. {n} has {k}, {w}. How many hours pass until all are done?",
    "It takes {h} hours until one {t} {v}. How many hours is it for {k}, {w}?",
)
SIDE = ("side by side, all begun at once", "all at the same time, with room for each")
AFTER = ("one after the other", "with room for only one at a time")
CHORES = (
    ("towel", "dries"), ("shirt", "dries"), ("candle", "burns down"), ("cake", "bakes"), ("loaf", "bakes"),
    ("pot", "cools down"), ("battery", "charges"), ("plant", "is watered"), ("film", "is shown"), ("jar", "sets"),
)  # fmt: skip


def chores(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """What happens side by side takes no longer for many; what happens in turn does."""
    while True:
        (thing, verb), hours, count = rng.choice(CHORES), rng.randint(2, 9), rng.randint(2, 6)
        turns = rng.random() < 0.5
        answer = hours * count if turns else hours
        why = f"each waits for the one before, so it is {count} x {hours} = {answer} hours"
        why = why if turns else f"they do not wait for each other, so it stays at {hours} hours"
        slots = {"t": thing, "v": verb, "h": hours, "k": count, "n": rng.choice(lexicon["names"])}
        slots["w"] = rng.choice(AFTER if turns else SIDE)
        wrong = [hours if turns else hours * count, hours + count, hours * count + 1]
        wrong = [n for n in dict.fromkeys(wrong) if n != answer]
        yield ask(rng, TOGETHER, answer, wrong, f"{why.capitalize()}.", f"{turns} {thing} {hours} {count}", **slots)


def solve_chores(question: str, lexicon: Lexicon) -> str:
    hours, count = numbers_in(question)
    return str(sum(hours for _ in range(count)) if any(words in question for words in AFTER) else hours)


PACKING = (
    "A {b} holds {k} {t}. How many {b}es are needed for {a} {t}?",
    "{n} packs {a} {t} into {b}es of {k}. How many {b}es does {n} need?",
    "{k} {t} fit into one {b}. How many {b}es must {n} buy for {a} {t}?",
    "There are {a} {t}, and each {b} takes {k}. How many {b}es hold them all?",
    "How many {b}es of {k} {t} does it take for {a} {t}?",
)


def packing(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """How many boxes are needed; a box that is not full counts as one."""
    while True:
        k, a = rng.randint(2, 10), rng.randint(5, 60)
        full, rest = divmod(a, k)
        answer = full + (rest > 0)
        reason = f"{full} are full with {full * k}" + (f", and {rest} more need another one." if rest else ".")
        slots = {
            "b": rng.choice(("box", "dish")),
            "t": rng.choice(lexicon["things"]),
            "n": rng.choice(lexicon["names"]),
        }
        wrong = near(rng, answer, low=1, spread=(1, 2, 3))
        yield ask(rng, PACKING, answer, wrong, reason, f"{a} {k}", a=a, k=k, **slots)


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


TASKS = (
    Task("change", "commonsense", change, solve_change, weight=0.3),
    Task("ride", "commonsense", ride, solve_ride, weight=0.3),
    Task("sharing", "commonsense", sharing, solve_sharing, weight=0.3),
    Task("recipe", "commonsense", recipe, solve_recipe, weight=0.3),
    Task("queue", "commonsense", queue, solve_queue, weight=0.3),
    Task("turning", "commonsense", turning, solve_turning, weight=0.5),
    Task("month", "commonsense", month, solve_month, weight=0.3),
    Task("dates", "commonsense", dates, solve_dates, weight=0.3),
    Task("coins", "commonsense", coins, solve_coins, weight=0.3),
    Task("chores", "commonsense", chores, solve_chores, weight=0.3),
    Task("packing", "commonsense", packing, solve_packing, weight=0.3),
)
