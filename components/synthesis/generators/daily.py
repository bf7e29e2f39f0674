"""Daily life and physical common sense: days, clocks, sizes, tools and places."""

import re
from collections.abc import Iterator
from itertools import permutations, product
from random import Random

from components.synthesis.drafts import Draft
from components.synthesis.generators import Lexicon, Task, others, shuffled

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
DAY_FORMS = (
    ("Today is {d}. What day is it in {n}?", 1),
    ("What day comes {n} after {d}?", 1),
    ("Today is {d}. What day was it {n} ago?", -1),
    ("What day is {n} before {d}?", -1),
)


def weekday(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """The day some days before or after another, up to two weeks."""
    for day, count, (form, sign) in shuffled(rng, product(range(7), range(1, 15), DAY_FORMS)):
        answer = DAYS[(day + sign * count) % 7]
        text = form.format(d=DAYS[day], n="1 day" if count == 1 else f"{count} days")
        if count % 7 == 0:
            reason = f"{count} days are whole weeks, so it is the same day."
        elif count > 7:
            reason = f"7 of the {count} days are a week and change nothing; {count - 7} are left."
        else:
            way = "after" if sign > 0 else "before"
            reason = f"Count the days {way} {DAYS[day]}: {', '.join(DAYS[(day + sign * i) % 7] for i in range(1, count + 1))}."
        yield Draft(text, answer, others(rng, DAYS, answer, 3), reason, f"{day} {sign * count}", form)


def solve_weekday(question: str, lexicon: Lexicon) -> str:
    here = DAYS.index(next(day for day in DAYS if day in question))
    back = " ago" in question or " before " in question
    for _ in range(int(re.search(r"\d+", question).group())):  # one day at a time
        here = (6 if here == 0 else here - 1) if back else (0 if here == 6 else here + 1)
    return DAYS[here]


def clock(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """The time some hours or minutes later or earlier on a twelve-hour clock."""
    spans = [(f"{h} hour{'s' if h > 1 else ''}", h * 60) for h in range(1, 12)] + [
        ("15 minutes", 15),
        ("30 minutes", 30),
    ]
    ways = (
        ("It is {t}. What time is it in {s}?", 1),
        ("What time is it {s} after {t}?", 1),
        ("It is {t}. What time was it {s} ago?", -1),
    )
    for hour, minute, (span, minutes), (form, sign) in shuffled(rng, product(range(12), (0, 15, 30, 45), spans, ways)):
        start = hour * 60 + minute
        answer = _time(start + sign * minutes)
        wrong = tuple(_time(start + sign * minutes + shift) for shift in rng.sample((60, -60, 120, -120, 15, 30), 3))
        reason = f"{span.capitalize()} {'later' if sign > 0 else 'earlier'} the clock shows {answer}."
        yield Draft(form.format(t=_time(start), s=span), answer, wrong, reason, f"{start} {sign * minutes}", form)


def _time(minutes: int) -> str:
    minutes %= 720
    return f"{minutes // 60 or 12}:{minutes % 60:02d}"


def solve_clock(question: str, lexicon: Lexicon) -> str:
    hour, minute = map(int, re.search(r"(\d+):(\d\d)", question).groups())
    count, unit = re.search(r"(\d+) (hour|minute)", question).groups()
    for _ in range(int(count) * (60 if unit == "hour" else 1)):  # one minute at a time
        if "ago" in question:
            minute -= 1
            if minute < 0:
                hour, minute = hour - 1 or 12, 59
        else:
            minute += 1
            if minute == 60:
                hour, minute = (1 if hour == 12 else hour + 1), 0
    return f"{hour}:{minute:02d}"


def size(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Which of two things is bigger; pairs whose sizes differ by a quarter at least."""
    sizes = lexicon["sizes"]
    forms = ("Which is {w}, {a} or {b}?", "What is {w}: {a} or {b}?")
    pairs = [(a, b) for a, b in permutations(sizes, 2) if not 0.8 < sizes[a] / sizes[b] < 1.25]
    for (a, b), word, form in shuffled(rng, product(pairs, ("bigger", "smaller"), forms)):
        big, little = (a, b) if sizes[a] > sizes[b] else (b, a)
        answer, wrong = (big, little) if word == "bigger" else (little, big)
        text = form.format(w=word, a=_article(a), b=_article(b))
        reason = f"{_article(big).capitalize()} is about {sizes[big]:g} cm long, {_article(little)} about {sizes[little]:g} cm."
        yield Draft(text, answer, (wrong,), reason, f"{big} {little}", f"{form} [{word}]")


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def solve_size(question: str, lexicon: Lexicon) -> str:
    order = sorted(lexicon["sizes"], key=lexicon["sizes"].__getitem__)
    a, b = re.search(r" an? (\w+) or an? (\w+)\?", question).groups()
    return max(a, b, key=order.index) if "bigger" in question else min(a, b, key=order.index)


def fits(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Whether a thing fits into another: yes under a third of its size, no over twice its size; as often yes as no."""
    things, holders = lexicon["sizes"], lexicon["holders"]
    forms = ("Does {a} fit into {b}?", "Can you put {a} into {b}?", "Is there room for {a} in {b}?")
    cases = [(a, b) for a in things for b in holders if a != b and not 1 / 3 < things[a] / holders[b] < 2]
    smaller = [(a, b, True) for a, b in cases if things[a] < holders[b]]
    bigger = [(a, b, False) for a, b in cases if things[a] > holders[b]]
    count = min(len(smaller), len(bigger))
    balanced = rng.sample(smaller, count) + rng.sample(bigger, count)
    for (a, b, yes), form in shuffled(rng, product(balanced, forms)):
        answer, wrong = ("yes", "no") if yes else ("no", "yes")
        reason = f"{_article(a).capitalize()} is {'much smaller' if yes else 'bigger'} than {_article(b)}."
        yield Draft(form.format(a=_article(a), b=_article(b)), answer, (wrong,), reason, f"{a} {b}", form)


def solve_fits(question: str, lexicon: Lexicon) -> str:
    thing, holder = re.search(r" an? (\w+)(?: fit into| into| in) an? ([\w ]+)\?", question).groups()
    order = sorted(
        [(size, "thing", name) for name, size in lexicon["sizes"].items()]
        + [(size, "holder", name) for name, size in lexicon["holders"].items()]
    )
    places = {(kind, name): place for place, (_, kind, name) in enumerate(order)}
    return "yes" if places["thing", thing] < places["holder", holder] else "no"


USE_FORMS = (
    "What do you use to {p}?",
    "Which thing helps you to {p}?",
    "You want to {p}. What do you need?",
    "To {p}, you take the right tool. Which one?",
    "Someone asks for a thing to {p}. What do you hand over?",
    "What is made to {p}?",
)


def object_use(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """The tool for a purpose: a table of facts, taught and examined in different wordings."""
    uses = lexicon["uses"]
    tools = sorted(set(uses.values()))
    for (purpose, tool), form in shuffled(rng, product(uses.items(), USE_FORMS)):
        reason = f"People use {_use_article(tool)} to {purpose}."
        yield Draft(form.format(p=purpose), tool, others(rng, tools, tool, 3), reason, template=form)


def _use_article(tool: str) -> str:
    return tool if tool == "scissors" else _article(tool)


def solve_object_use(question: str, lexicon: Lexicon) -> str:
    found = {tool for purpose, tool in lexicon["uses"].items() if f"o {purpose}" in question}  # "to" or "To"
    return found.pop() if len(found) == 1 else "unknown"


PLACE_FORMS = (
    "Where do you usually find {t}?",
    "In which place is {t}?",
    "You look for {t}. Where do you go?",
    "Which place has {t}?",
    "Someone sees {t}. Where is that person, most likely?",
)


def object_place(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Where things are: a table of facts, taught and examined in different wordings."""
    places = lexicon["places"]
    names = sorted(place.split(" ", 1)[1] for place in places)
    facts = [(thing, place.split(" ", 1)[1]) for place, things in places.items() for thing in things]
    for (thing, place), form in shuffled(rng, product(facts, PLACE_FORMS)):
        reason = f"{thing[0].upper()}{thing[1:]} belongs to {_article(place)}."
        yield Draft(form.format(t=thing), place, others(rng, names, place, 3), reason, template=form)


def solve_object_place(question: str, lexicon: Lexicon) -> str:
    found = {
        place.partition(" ")[2]
        for place, things in lexicon["places"].items()
        if any(f" {thing}." in question or f" {thing}?" in question for thing in things)
    }
    return found.pop() if len(found) == 1 else "unknown"


TASKS = (
    Task("weekday", "commonsense", weekday, solve_weekday),
    Task("clock", "commonsense", clock, solve_clock, weight=0.7),
    Task("size", "commonsense", size, solve_size, weight=2),
    Task("fits", "commonsense", fits, solve_fits),
    Task("object_use", "commonsense", object_use, solve_object_use),
    Task("object_place", "commonsense", object_place, solve_object_place),
)
