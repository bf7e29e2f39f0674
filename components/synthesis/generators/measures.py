"""Numbers and measures: the operations, fractions, units, figures. The solvers count, list or search."""

import re
from itertools import product

from components.synthesis.drafts import Draft
from components.synthesis.generators import Drafts, Draw, Lexicon, extract, numbers_in, pick_wrong, search


def subtraction(draw: Draw) -> Draft:
    """Differences of numbers up to 60."""
    a = draw.randint(1, 60)
    b = draw.randint(0, a)
    reason = f"Count from {b} up to {a}: it is {a - b} steps."
    return draw.ask(a - b, draw.near(a - b), reason, f"{a} {b}", a=a, b=b)


def solve_subtraction(question: str, lexicon: Lexicon) -> str:
    small, large = sorted(numbers_in(question))
    return str(len(range(small, large)))


def multiplication(draw: Draw) -> Draft:
    """The tables up to 12."""
    a, b = draw.randint(2, 12), draw.randint(2, 12)
    reason = f"{a} x {b} is {b} added {a} times, {a * b}."
    slots = {"a": a, "b": b, "n": draw.name(), "t": draw.choice(draw.lexicon["things"])}
    wrong = draw.near(a * b, spread=(1, 2, a, b) if a != b and min(a, b) > 2 else (1, 2, 3, 4))
    return draw.ask(a * b, wrong, reason, f"{min(a, b)} {max(a, b)}", **slots)


def solve_multiplication(question: str, lexicon: Lexicon) -> str:
    a, b = numbers_in(question)
    return str(sum(a for _ in range(b)))


def division(draw: Draw) -> Draft:
    """Exact quotients and remainders."""
    q, b = draw.randint(1, 12), draw.randint(2, 12)
    r = draw.randrange(b)
    form = draw.choice(draw.forms)
    a, c = q * b, q * b + r
    answer, key = (q, f"q {a} {b}") if form.kind == "q" else (r, f"r {c} {b}")
    reason = f"{q} x {b} = {a}" + (f", and {c} - {a} = {r}." if form.kind == "r" else ".")
    return draw.ask(answer, draw.near(answer, spread=(1, 2, 3, 4)), reason, key, form, a=a, b=b, c=c)


def solve_division(question: str, lexicon: Lexicon) -> str:
    a, b = numbers_in(question)[:: -1 if "go into" in question else 1]
    count = 0
    while a >= b:
        a, count = a - b, count + 1
    return str(a if re.search("remain|modulo", question) else count)


def missing(draw: Draw) -> Draft:
    """One unknown in a sum, a difference or a product."""
    form = draw.choice(draw.forms)
    most = (9, 10) if form.kind == "x" else (30, 30)
    a, x = draw.randint(2 if form.kind == "x" else 1, most[0]), draw.randint(1, most[1])
    answer = x + a if form.kind == "-" else x
    check = {"+": f"{a} + {x} = {a + x}.", "-": f"{a + x} - {a} = {x}.", "x": f"{a} x {x} = {a * x}."}[form.kind]
    wrong = draw.near(answer, spread=(1, 2, 3, 5))
    return draw.ask(answer, wrong, check, f"{form.kind} {a} {x}", form, a=a, s=a + x, x=x, p=a * x)


def solve_missing(question: str, lexicon: Lexicon) -> str:
    first, second = numbers_in(question)
    if " x " in question or "times" in question:
        return str(next(n for n in range(second + 1) if first * n == second))
    if re.match(r"\? -|I think of a number and take", question):
        return str(next(n for n in range(200) if n - first == second))
    small, large = sorted((first, second))
    return str(next(n for n in range(200) if small + n == large))


UNITS = {  # how many of the smaller make one of the larger
    ("hours", "minutes"): 60, ("minutes", "seconds"): 60, ("days", "hours"): 24, ("weeks", "days"): 7,
    ("years", "months"): 12, ("metres", "centimetres"): 100, ("kilometres", "metres"): 1000,
    ("centimetres", "millimetres"): 10, ("kilograms", "grams"): 1000, ("litres", "millilitres"): 1000,
    ("dozens", "pieces"): 12, ("tonnes", "kilograms"): 1000,
}  # fmt: skip


def units(draw: Draw) -> Draft:
    """Units of time, length, weight and number."""
    (larger, smaller), size = draw.choice(list(UNITS.items()))
    k, form = draw.randint(2, 20), draw.choice(draw.forms)
    scale = size if form.kind == "down" else 1
    wrong = [int(n) * scale for n in draw.near(k, low=1, spread=(1, 2, 3, 4))]
    reason = f"One of the {larger} has {size} {smaller}, so {k} x {size} = {k * size}."
    slots = {"x": larger, "y": smaller, "k": k, "m": k * size, "n": draw.name()}
    return draw.ask(k * scale, wrong, reason, f"{larger} {smaller} {k}", form, **slots)


def solve_units(question: str, lexicon: Lexicon) -> str:
    (number,) = numbers_in(question)
    given = extract(r"\d+ (\w+)", question)
    (asked,) = {word for pair in UNITS for word in pair if re.search(rf"\b{word}\b", question)} - {given}
    if (given, asked) in UNITS:
        return str(sum(UNITS[given, asked] for _ in range(number)))
    return str(len(range(0, number, UNITS[asked, given])))


def rounding(draw: Draw) -> Draft | None:
    """Rounding to tens and hundreds; never a number that lies exactly between."""
    size, unit = draw.choice(((10, "ten"), (100, "hundred")))
    a = draw.randint(11, 999)
    if a % size == size // 2 or a % size == 0 or a < size:
        return None
    low, high = a // size * size, a // size * size + size
    answer, other = (low, high) if a - low < size / 2 else (high, low)
    wrong = draw.shuffled((other, answer + 2 * size, a))
    reason = f"{a} lies between {low} and {high}, closer to {answer}."
    return draw.ask(answer, wrong, reason, f"{unit} {a}", a=a, u=unit, n=draw.name())


def solve_rounding(question: str, lexicon: Lexicon) -> str:
    (number,) = numbers_in(question)
    size = 10 if re.search(r"\bten\b", question) else 100
    return str(min(range(0, 1101, size), key=lambda full: abs(full - number)))


PLACES = ("ones", "tens", "hundreds", "thousands")


def digits(draw: Draw) -> Draft:
    """Place value."""
    figures = draw.sample(range(1, 10), 4)
    a = figures[3] * 1000 + figures[2] * 100 + figures[1] * 10 + figures[0]
    place = draw.randrange(4)
    wrong = draw.shuffled(pick_wrong(figures[place], figures))
    reason = f"Thousands: {figures[3]}, hundreds: {figures[2]}, tens: {figures[1]}, ones: {figures[0]}."
    return draw.ask(figures[place], wrong, reason, f"{a} {place}", a=a, p=PLACES[place], n=draw.name())


def solve_digits(question: str, lexicon: Lexicon) -> str:
    (number,) = numbers_in(question)
    for place in PLACES:
        number, figure = divmod(number, 10)
        if place in question:
            return str(figure)
    raise ValueError(question)


def percent(draw: Draw) -> Draft:
    """Percentages that come out even."""
    p, a = draw.choice((5, 10, 20, 25, 40, 50, 60, 75, 80)), draw.randint(1, 30) * 20
    answer = a * p // 100
    reason = f"One percent of {a} is {a / 100:g}, and {p} x {a / 100:g} = {answer}."
    thing = draw.choice(("apples", "pears", "plums"))
    return draw.ask(answer, draw.near(answer, low=1, spread=(1, 2, 5, 10)), reason, f"{p} {a}", p=p, a=a, t=thing)


def solve_percent(question: str, lexicon: Lexicon) -> str:
    rate, total = numbers_in(question)
    if question.startswith(("A coat", "Of ")):
        rate, total = total, rate
    return str(next(n for n in range(total + 1) if n * 100 == total * rate))


def field(draw: Draw) -> Draft:
    """Area and circumference of a rectangle."""
    a, b = draw.randint(2, 15), draw.randint(2, 15)
    form = draw.choice(draw.forms)
    area, edge = a * b, 2 * (a + b)
    answer, other = (area, edge) if form.kind == "area" else (edge, area)
    reason = f"{a} x {b} = {area}." if form.kind == "area" else f"2 x {a} + 2 x {b} = {edge}."
    wrong, name = pick_wrong(answer, (other, answer + a, answer + 1, answer + 2)), draw.name()
    return draw.ask(answer, draw.shuffled(wrong), reason, f"{form.kind} {sorted((a, b))}", form, a=a, b=b, n=name)


def solve_field(question: str, lexicon: Lexicon) -> str:
    a, b = numbers_in(question)
    if re.search(r"edge|fence|around", question):
        return str(sum(1 for side in (a, b, a, b) for _ in range(side)))
    return str(sum(1 for _ in product(range(a), range(b))))


def mean(draw: Draw) -> Draft | None:
    """Averages that are whole."""
    values = [draw.randint(1, 20) for _ in range(draw.choice((2, 3, 3, 4)))]
    answer, rest = divmod(sum(values), len(values))
    if rest:
        return None
    listed = f"{', '.join(map(str, values[:-1]))} and {values[-1]}"
    reason = f"The sum is {sum(values)}, and {sum(values)} / {len(values)} = {answer}."
    wrong = draw.near(answer, spread=(1, 2, 3, 4))
    return draw.ask(answer, wrong, reason, str(sorted(values)), l=listed, n=draw.name())


def solve_mean(question: str, lexicon: Lexicon) -> str:
    heaps = numbers_in(question)
    while max(heaps) > min(heaps):  # level the heaps, one from the highest to the lowest at a time
        heaps[heaps.index(max(heaps))] -= 1
        heaps[heaps.index(min(heaps))] += 1
    return str(heaps[0])


def fraction(draw: Draw) -> Draft | None:
    """The larger or smaller of two fractions under one."""
    b, d = draw.randint(2, 12), draw.randint(2, 12)
    a, c = draw.randint(1, b - 1), draw.randint(1, d - 1)
    if a * d == b * c:
        return None
    x, y = f"{a}/{b}", f"{c}/{d}"
    form = draw.choice(draw.forms)
    answer, wrong = (x, y) if (a * d > b * c) == (form.kind == "large") else (y, x)
    reason = f"In parts of {b * d} they are {a * d} and {b * c}."
    return draw.ask(answer, (wrong,), reason, str(sorted((x, y))), form, x=x, y=y, n=draw.name())


def solve_fraction(question: str, lexicon: Lexicon) -> str:
    values = {f"{a}/{b}": int(a) / int(b) for a, b in re.findall(r"(\d+)/(\d+)", question)}
    choose = max if re.search(r"larger|more of|greater", question) else min
    return choose(values, key=values.__getitem__)


ROMAN = ((100, "C"), (90, "XC"), (50, "L"), (40, "XL"), (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I"))


def _roman(number: int) -> list[tuple[int, str]]:
    """The signs of a numeral with their values."""
    signs = []
    for value, sign in ROMAN:
        signs += [(value, sign)] * (number // value)
        number %= value
    return signs


def _numeral(number: int) -> str:
    return "".join(sign for _, sign in _roman(number))


def roman(draw: Draw) -> Drafts:
    """Roman numerals up to 100."""
    for a, form in draw.shuffled(product(range(1, 101), draw.forms)):
        write = _numeral if form.kind == "roman" else str
        wrong = [write(int(n)) for n in draw.near(a, low=1, spread=(1, 2, 5, 10))]
        reason = f"From left to right: {', '.join(f'{sign} = {value}' for value, sign in _roman(a))}."
        yield draw.ask(write(a), wrong, reason, f"{a}", form, a=a, r=_numeral(a))


def solve_roman(question: str, lexicon: Lexicon) -> str:
    numerals = {}
    for number in range(1, 130):
        tens, ones = divmod(number, 10)
        of_ten = ("", "X", "XX", "XXX", "XL", "L", "LX", "LXX", "LXXX", "XC", "C", "CX", "CXX")[tens]
        numerals[of_ten + ("", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX")[ones]] = number
    if given := numbers_in(question):
        return next(numeral for numeral, number in numerals.items() if number == given[0])
    return str(numerals[search(r"\b[CLXVI]+\b", question).group()])


def binary(draw: Draw) -> Drafts:
    """Binary numbers up to 63."""
    for a, form in draw.shuffled(product(range(2, 64), draw.forms)):
        write = "{:b}".format if form.kind == "binary" else str
        figures, rest = "", a
        while rest:
            figures, rest = str(rest % 2) + figures, rest // 2
        wrong = [write(int(n)) for n in draw.near(a, low=1, spread=(1, 2, 4, 8))]
        worth = [str(2 ** (len(figures) - 1 - i)) for i, figure in enumerate(figures) if figure == "1"]
        answer = figures if form.kind == "binary" else a
        yield draw.ask(answer, wrong, f"{' + '.join(worth)} = {a}.", f"{a}", form, a=a, b=figures)


def solve_binary(question: str, lexicon: Lexicon) -> str:
    given = search(r"\d+", question).group()
    if re.search(r"as a binary|What is \d+ in the|zeros", question):
        return f"{int(given):b}"
    value = 0
    for figure in given:
        value += value + (figure == "1")
    return str(value)


def chance(draw: Draw) -> Draft:
    """What is likely when one of some things is drawn."""
    a = draw.randint(1, 15)
    b = a if draw.random() < 0.15 else draw.randint(1, 15)
    slots = {"a": a, "b": b, "t": a + b, "n": draw.name(), "c": draw.choice(("red", "blue"))}
    if draw.random() < 0.5:
        answer, other = (a, b) if slots["c"] == "red" else (b, a)
        reason = f"{answer} of the {a + b} are {slots['c']}."
        wrong = pick_wrong(answer, (other, a + b, answer + 1))
        return draw.ask(answer, wrong, reason, f"{slots['c']} {a} {b}", "count", **slots)
    likely = "equally likely" if a == b else "red" if a > b else "blue"
    unlikely = draw.others(("red", "blue", "equally likely"), likely, 2)
    reason = f"Red: {a}, blue: {b}."
    return draw.ask(likely, unlikely, reason, f"likely {a} {b}", "likely", **slots)


def solve_chance(question: str, lexicon: Lexicon) -> str:
    red, blue, *_ = numbers_in(question)
    bag = ["red"] * red + ["blue"] * blue
    if "likely, or" in question or "drawn, or" in question or "are they" in question:
        first, last = bag[(len(bag) - 1) // 2], bag[len(bag) // 2]  # the colour at the middle has the majority
        return first if first == last else "equally likely"
    return str(bag.count(extract(r"(red|blue)\?", question)))
