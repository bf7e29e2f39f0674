"""Daily life and physical common sense: days, clocks, sizes, tools and places."""

from itertools import permutations, product

from components.synthesis.generators import Drafts, Draw, Lexicon, numbers_in, search, yes_no

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def weekday(draw: Draw) -> Drafts:
    """The day some days before or after another, up to two weeks."""
    for day, count, form in draw.shuffled(product(range(7), range(1, 15), draw.forms)):
        sign = {"after": 1, "before": -1}[form.kind]
        passed = [DAYS[(day + sign * i) % 7] for i in range(1, count + 1)]
        if count % 7 == 0:
            reason = f"{count} days are whole weeks, so it is the same day."
        elif count > 7:
            reason = f"7 of the {count} days are a whole week and change nothing, which leaves {count - 7}."
        else:
            reason = f"Count the days {form.kind} {DAYS[day]}: {', '.join(passed)}."
        span = "1 day" if count == 1 else f"{count} days"
        wrong = draw.others(DAYS, passed[-1])
        yield form.draft(passed[-1], wrong, reason, f"{day} {sign * count}", d=DAYS[day], n=span)


def solve_weekday(question: str, lexicon: Lexicon) -> str:
    here = DAYS.index(next(day for day in DAYS if day in question))
    back = " ago" in question or " before " in question
    for _ in range(numbers_in(question)[0]):  # one day at a time
        here = (6 if here == 0 else here - 1) if back else (0 if here == 6 else here + 1)
    return DAYS[here]


def clock(draw: Draw) -> Drafts:
    """The time some hours or minutes later or earlier on a twelve-hour clock."""
    spans = [(f"{h} hour{'s' if h > 1 else ''}", h * 60) for h in range(1, 12)]
    spans += [("15 minutes", 15), ("30 minutes", 30)]
    space = product(range(12), (0, 15, 30, 45), spans, draw.forms)
    for hour, minute, (span, minutes), form in draw.shuffled(space):
        start, passed = hour * 60 + minute, minutes if form.kind == "later" else -minutes
        answer = _time(start + passed)
        wrong = [_time(start + passed + shift) for shift in draw.sample((60, -60, 120, -120, 15, 30), 3)]
        reason = f"{span.capitalize()} {form.kind}, the clock shows {answer}."
        yield form.draft(answer, wrong, reason, f"{start} {passed}", t=_time(start), s=span)


def _time(minutes: int) -> str:
    minutes %= 720
    return f"{minutes // 60 or 12}:{minutes % 60:02d}"


def solve_clock(question: str, lexicon: Lexicon) -> str:
    hour, minute = map(int, search(r"(\d+):(\d\d)", question).groups())
    count, unit = search(r"(\d+) (hour|minute)", question).groups()
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


def size(draw: Draw) -> Drafts:
    """Which of two things is bigger; pairs whose sizes differ by a quarter at least."""
    sizes = draw.lexicon["sizes"]
    pairs = [(a, b) for a, b in permutations(sizes, 2) if not 0.8 < sizes[a] / sizes[b] < 1.25]
    for (a, b), word, form in draw.shuffled(product(pairs, ("bigger", "smaller"), draw.forms)):
        big, little = (a, b) if sizes[a] > sizes[b] else (b, a)
        answer, wrong = (big, little) if word == "bigger" else (little, big)
        reason = f"{_article(big).capitalize()} is about {sizes[big]:g} cm long, {_article(little)} about {sizes[little]:g} cm."
        yield form.draft(answer, (wrong,), reason, f"{big} {little}", word, w=word, a=_article(a), b=_article(b))


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def solve_size(question: str, lexicon: Lexicon) -> str:
    order = sorted(lexicon["sizes"], key=lexicon["sizes"].__getitem__)
    a, b = search(r" an? (\w+) or an? (\w+)\?", question).groups()
    return max(a, b, key=order.index) if "bigger" in question else min(a, b, key=order.index)


def fits(draw: Draw) -> Drafts:
    """Whether a thing fits into another: yes under a third of its size, no over twice its size; as often yes as no."""
    things, holders = draw.lexicon["sizes"], draw.lexicon["holders"]
    cases = [(a, b) for a in things for b in holders if a != b and not 1 / 3 < things[a] / holders[b] < 2]
    for (a, b), form in draw.shuffled(product(draw.balanced(cases, lambda a, b: things[a] < holders[b]), draw.forms)):
        small = things[a] < holders[b]
        reason = f"{_article(a).capitalize()} is {'much smaller' if small else 'bigger'} than {_article(b)}."
        yield form.draft(*yes_no(small), reason, f"{a} {b}", a=_article(a), b=_article(b))


def solve_fits(question: str, lexicon: Lexicon) -> str:
    thing, holder = search(r" an? (\w+)(?: fit into| into| in) an? ([\w ]+)\?", question).groups()
    order = sorted(
        [(size, "thing", name) for name, size in lexicon["sizes"].items()]
        + [(size, "holder", name) for name, size in lexicon["holders"].items()]
    )
    places = {(kind, name): place for place, (_, kind, name) in enumerate(order)}
    return "yes" if places["thing", thing] < places["holder", holder] else "no"


def object_use(draw: Draw) -> Drafts:
    """The tool for a purpose: a table of facts, taught and examined in different wordings."""
    uses = draw.lexicon["uses"]
    tools = sorted(set(uses.values()))
    for (purpose, tool), form in draw.shuffled(product(uses.items(), draw.forms)):
        reason = f"People use {tool if tool == 'scissors' else _article(tool)} to {purpose}."
        yield form.draft(tool, draw.others(tools, tool), reason, p=purpose)


def solve_object_use(question: str, lexicon: Lexicon) -> str:
    tools = {tool for purpose, tool in lexicon["uses"].items() if f"o {purpose}" in question}  # "to" or "To"
    return tools.pop() if len(tools) == 1 else "unknown"


def object_place(draw: Draw) -> Drafts:
    """Where things are: a table of facts, taught and examined in different wordings."""
    places = {place.partition(" ")[2]: things for place, things in draw.lexicon["places"].items()}
    facts = [(thing, place) for place, things in places.items() for thing in things]
    for (thing, place), form in draw.shuffled(product(facts, draw.forms)):
        reason = f"The place for {thing} is {_article(place)}."
        yield form.draft(place, draw.others(sorted(places), place), reason, t=thing)


def solve_object_place(question: str, lexicon: Lexicon) -> str:
    places = {
        place.partition(" ")[2]
        for place, things in lexicon["places"].items()
        if any(f" {thing}." in question or f" {thing}?" in question for thing in things)
    }
    return places.pop() if len(places) == 1 else "unknown"
