"""Numbers and measures: the operations, fractions, units, figures. The solvers count, list or search."""

import re
from collections.abc import Iterator
from itertools import product
from random import Random

from components.synthesis.drafts import Draft
from components.synthesis.generators import Lexicon, Task, ask, near, numbers_in, others, shuffled

SUBTRACT = (
    "What is {a} - {b}?",
    "Subtract {b} from {a}.",
    "Take {b} away from {a}. What is left?",
    "{a} - {b} =",
    "What is the difference between {a} and {b}?",
    "How much is {a} less {b}?",
    "By how much is {a} larger than {b}?",
)


def subtraction(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Differences of numbers up to 60."""
    while True:
        a = rng.randint(1, 60)
        b = rng.randint(0, a)
        reason = f"Count from {b} up to {a}: it is {a - b} steps."
        yield ask(rng, SUBTRACT, a - b, near(rng, a - b), reason, f"{a} {b}", a=a, b=b)


def solve_subtraction(question: str, lexicon: Lexicon) -> str:
    small, large = sorted(int(n) for n in re.findall(r"\d+", question))
    return str(len(range(small, large)))


MULTIPLY = (
    "What is {a} x {b}?",
    "Multiply {a} by {b}.",
    "{a} times {b} =",
    "What is the product of {a} and {b}?",
    "How many squares has a board of {a} rows with {b} squares each?",
    "{n} fills {a} bags with {b} {t} each. How many {t} are that?",
    "How many {t} are in {a} boxes of {b}?",
)


def multiplication(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """The tables up to 12."""
    while True:
        a, b = rng.randint(2, 12), rng.randint(2, 12)
        reason = f"{a} x {b} is {b} added {a} times, {a * b}."
        slots = {"a": a, "b": b, "n": rng.choice(lexicon["names"]), "t": rng.choice(lexicon["things"])}
        wrong = near(rng, a * b, spread=(1, 2, a, b) if a != b and min(a, b) > 2 else (1, 2, 3, 4))
        yield ask(rng, MULTIPLY, a * b, wrong, reason, f"{min(a, b)} {max(a, b)}", **slots)


def solve_multiplication(question: str, lexicon: Lexicon) -> str:
    a, b = numbers_in(question)
    return str(sum(a for _ in range(b)))


DIVIDE = (
    ("What is {a} divided by {b}?", "q"),
    ("{a} : {b} =", "q"),
    ("How many times does {b} go into {a} exactly?", "q"),
    ("Divide {a} by {b}.", "q"),
    ("What is the remainder of {c} divided by {b}?", "r"),
    ("{c} is divided by {b}. What remains?", "r"),
    ("{c} modulo {b} =", "r"),
)


def division(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Exact quotients and remainders."""
    while True:
        q, b = rng.randint(1, 12), rng.randint(2, 12)
        r = rng.randrange(b)
        form, wanted = rng.choice(DIVIDE)
        a, c = q * b, q * b + r
        answer = q if wanted == "q" else r
        reason = f"{q} x {b} = {a}" + (f", and {c} - {a} = {r}." if wanted == "r" else ".")
        key = f"{wanted} {a if wanted == 'q' else c} {b}"
        yield ask(rng, (form,), answer, near(rng, answer, spread=(1, 2, 3, 4)), reason, key, a=a, b=b, c=c)


def solve_division(question: str, lexicon: Lexicon) -> str:
    numbers = [int(n) for n in re.findall(r"\d+", question)]
    a, b = numbers[::-1] if "go into" in question else numbers
    count = 0
    while a >= b:
        a, count = a - b, count + 1
    return str(a if re.search("remain|modulo", question) else count)


MISSING = (
    ("{a} + ? = {s}. Which number is missing?", "+"),
    ("? + {a} = {s}. What stands for the question mark?", "+"),
    ("I think of a number and add {a}. I get {s}. What was the number?", "+"),
    ("{s} - ? = {a}. Which number is missing?", "+"),
    ("? - {a} = {x}. Which number is missing?", "-"),
    ("I think of a number and take {a} away. I get {x}. What was the number?", "-"),
    ("{a} x ? = {p}. Which number is missing?", "x"),
    ("{a} times a number is {p}. What is the number?", "x"),
)


def missing(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """One unknown in a sum, a difference or a product."""
    while True:
        form, kind = rng.choice(MISSING)
        a, x = (rng.randint(2, 9), rng.randint(1, 10)) if kind == "x" else (rng.randint(1, 30), rng.randint(1, 30))
        answer = x + a if kind == "-" else x
        check = {"+": f"{a} + {x} = {a + x}", "-": f"{a + x} - {a} = {x}", "x": f"{a} x {x} = {a * x}"}[kind]
        slots = {"a": a, "s": a + x, "x": x, "p": a * x}
        yield ask(rng, (form,), answer, near(rng, answer, spread=(1, 2, 3, 5)), f"{check}.", f"{kind} {a} {x}", **slots)


def solve_missing(question: str, lexicon: Lexicon) -> str:
    first, second = (int(n) for n in re.findall(r"\d+", question))
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
UNIT_FORMS = (
    ("How many {y} are {k} {x}?", "down"),
    ("{k} {x} are how many {y}?", "down"),
    ("{n} needs {k} {x} of it. How many {y} are that?", "down"),
    ("How many {x} are {m} {y}?", "up"),
    ("{m} {y} make how many {x}?", "up"),
    ("{n} counts {m} {y}. How many whole {x} are that?", "up"),
)


def units(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Units of time, length, weight and number."""
    while True:
        (larger, smaller), size = rng.choice(list(UNITS.items()))
        k = rng.randint(2, 20)
        form, way = rng.choice(UNIT_FORMS)
        answer = k * size if way == "down" else k
        wrong = near(rng, k, low=1, spread=(1, 2, 3, 4))
        wrong = tuple(str(int(n) * size) for n in wrong) if way == "down" else wrong
        reason = f"One of the {larger} has {size} {smaller}, so {k} x {size} = {k * size}."
        slots = {"x": larger, "y": smaller, "k": k, "m": k * size, "n": rng.choice(lexicon["names"])}
        yield ask(rng, (form,), answer, wrong, reason, f"{larger} {smaller} {k}", **slots)


def solve_units(question: str, lexicon: Lexicon) -> str:
    (number,) = numbers_in(question)
    given = re.search(r"\d+ (\w+)", question).group(1)
    named = {word for pair in UNITS for word in pair if re.search(rf"\b{word}\b", question)}
    (asked,) = named - {given}
    if (given, asked) in UNITS:
        return str(sum(UNITS[given, asked] for _ in range(number)))
    return str(len(range(0, number, UNITS[asked, given])))


ROUND = (
    "Round {a} to the nearest {u}.",
    "What is {a}, rounded to the nearest {u}?",
    "Which full {u} is closest to {a}?",
    "{n} says {a} roughly, to the nearest {u}. Which number does {n} say?",
    "About how much is {a}, to the nearest {u}?",
)


def rounding(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Rounding to tens and hundreds; never a number that lies exactly between."""
    while True:
        size, unit = rng.choice(((10, "ten"), (100, "hundred")))
        a = rng.randint(11, 999)
        if a % size == size // 2 or a % size == 0 or a < size:
            continue
        low = a // size * size
        answer = low if a - low < size / 2 else low + size
        other = low + size if answer == low else low
        wrong = shuffled(rng, (str(other), str(answer + 2 * size), str(a)))
        reason = f"{a} lies between {low} and {low + size}, closer to {answer}."
        yield ask(rng, ROUND, answer, wrong, reason, f"{unit} {a}", a=a, u=unit, n=rng.choice(lexicon["names"]))


def solve_rounding(question: str, lexicon: Lexicon) -> str:
    (number,) = numbers_in(question)
    size = 10 if re.search(r"\bten\b", question) else 100
    return str(min(range(0, 1101, size), key=lambda full: abs(full - number)))


DIGIT = (
    "Which digit of {a} stands at the {p} place?",
    "What is the {p} digit of {a}?",
    "In the number {a}, which digit counts the {p}?",
    "{n} writes {a}. Which digit is in the column of the {p}?",
    "Name the digit of {a} that stands for {p}.",
)
PLACES = ("ones", "tens", "hundreds", "thousands")


def digits(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Place value."""
    while True:
        figures = rng.sample(range(1, 10), 4)
        a = figures[3] * 1000 + figures[2] * 100 + figures[1] * 10 + figures[0]
        place = rng.randrange(4)
        wrong = shuffled(rng, [str(f) for i, f in enumerate(figures) if i != place])
        reason = f"{a} has {figures[3]} thousands, {figures[2]} hundreds, {figures[1]} tens and {figures[0]} ones."
        slots = {"a": a, "p": PLACES[place], "n": rng.choice(lexicon["names"])}
        yield ask(rng, DIGIT, figures[place], wrong, reason, f"{a} {place}", **slots)


def solve_digits(question: str, lexicon: Lexicon) -> str:
    (number,) = numbers_in(question)
    for place in PLACES:
        number, figure = divmod(number, 10)
        if place in question:
            return str(figure)
    raise ValueError(question)


PERCENT = (
    "What is {p} percent of {a}?",
    "How much are {p}% of {a}?",
    "{p} percent of {a} {t} are ripe. How many are that?",
    "A coat costs {a} coins and becomes {p}% cheaper. By how many coins does the price fall?",
    "Of {a} pupils {p} percent are ill. How many pupils are ill?",
)


def percent(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Percentages that come out even."""
    while True:
        p, a = rng.choice((5, 10, 20, 25, 40, 50, 60, 75, 80)), rng.randint(1, 30) * 20
        answer = a * p // 100
        reason = f"One percent of {a} is {a / 100:g}, and {p} x {a / 100:g} = {answer}."
        slots = {"p": p, "a": a, "t": rng.choice(("apples", "pears", "plums"))}
        yield ask(rng, PERCENT, answer, near(rng, answer, low=1, spread=(1, 2, 5, 10)), reason, f"{p} {a}", **slots)


def solve_percent(question: str, lexicon: Lexicon) -> str:
    rate, total = numbers_in(question)
    if question.startswith(("A coat", "Of ")):
        rate, total = total, rate
    return str(next(n for n in range(total + 1) if n * 100 == total * rate))


FIELD = (
    ("A rectangle is {a} m long and {b} m wide. What is its area in square metres?", "area"),
    ("How many tiles of one square metre cover a floor of {a} m by {b} m?", "area"),
    ("{n} sows a bed of {a} m by {b} m. How many square metres are that?", "area"),
    ("A rectangle is {a} m long and {b} m wide. How long is its edge all around, in m?", "edge"),
    ("How many metres of fence does a garden of {a} m by {b} m need?", "edge"),
    ("{n} walks once around a field of {a} m by {b} m. How many metres is that?", "edge"),
)


def field(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Area and circumference of a rectangle."""
    while True:
        a, b = rng.randint(2, 15), rng.randint(2, 15)
        form, kind = rng.choice(FIELD)
        area, edge = a * b, 2 * (a + b)
        answer, other = (area, edge) if kind == "area" else (edge, area)
        reason = f"{a} x {b} = {area}." if kind == "area" else f"2 x {a} + 2 x {b} = {edge}."
        wrong = [n for n in dict.fromkeys((other, answer + a, answer + 1, answer + 2)) if n != answer][:3]
        slots = {"a": a, "b": b, "n": rng.choice(lexicon["names"])}
        yield ask(rng, (form,), answer, shuffled(rng, wrong), reason, f"{kind} {sorted((a, b))}", **slots)


def solve_field(question: str, lexicon: Lexicon) -> str:
    a, b = numbers_in(question)
    if re.search(r"edge|fence|around", question):
        return str(sum(1 for side in (a, b, a, b) for _ in range(side)))
    return str(sum(1 for _ in product(range(a), range(b))))


MEAN = (
    "What is the mean of {l}?",
    "{n} throws {l} points. How many points is that on average?",
    "The days have {l} degrees. What is their average?",
    "Find the average of {l}.",
    "If {l} are made level, how high is each?",
)


def mean(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Averages that are whole."""
    while True:
        values = [rng.randint(1, 20) for _ in range(rng.choice((2, 3, 3, 4)))]
        total, count = sum(values), len(values)
        if total % count:
            continue
        answer = total // count
        listed = f"{', '.join(map(str, values[:-1]))} and {values[-1]}"
        reason = f"The sum is {total}, and {total} / {count} = {answer}."
        wrong = near(rng, answer, spread=(1, 2, 3, 4))
        yield ask(rng, MEAN, answer, wrong, reason, str(sorted(values)), l=listed, n=rng.choice(lexicon["names"]))


def solve_mean(question: str, lexicon: Lexicon) -> str:
    heaps = numbers_in(question)
    while max(heaps) > min(heaps):  # level the heaps, one from the highest to the lowest at a time
        heaps[heaps.index(max(heaps))] -= 1
        heaps[heaps.index(min(heaps))] += 1
    return str(heaps[0])


FRACTION = (
    ("Which is larger, {x} or {y}?", "large"),
    ("Which is more of a cake: {x} or {y}?", "large"),
    ("Compare {x} with {y}. Which one is greater?", "large"),
    ("Which is smaller, {x} or {y}?", "small"),
    ("{n} wants the shorter way: {x} km or {y} km. Which one?", "small"),
    ("Which is less, {x} or {y}?", "small"),
)


def fraction(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """The larger or smaller of two fractions under one."""
    while True:
        b, d = rng.randint(2, 12), rng.randint(2, 12)
        a, c = rng.randint(1, b - 1), rng.randint(1, d - 1)
        if a * d == b * c:
            continue
        x, y = f"{a}/{b}", f"{c}/{d}"
        form, kind = rng.choice(FRACTION)
        answer, wrong = (x, y) if (a * d > b * c) == (kind == "large") else (y, x)
        reason = f"In parts of {b * d} they are {a * d} and {b * c}."
        yield ask(rng, (form,), answer, (wrong,), reason, str(sorted((x, y))), x=x, y=y, n=rng.choice(lexicon["names"]))


def solve_fraction(question: str, lexicon: Lexicon) -> str:
    values = {f"{a}/{b}": int(a) / int(b) for a, b in re.findall(r"(\d+)/(\d+)", question)}
    largest = re.search(r"larger|more of|greater", question)
    return max(values, key=values.__getitem__) if largest else min(values, key=values.__getitem__)


ROMAN = ((100, "C"), (90, "XC"), (50, "L"), (40, "XL"), (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I"))
ROMAN_FORMS = (
    ("What is {r} in ordinary figures?", "figures"),
    ("Which number is the Roman numeral {r}?", "figures"),
    ("On an old house stands {r}. Which number is that?", "figures"),
    ("Write {a} in Roman numerals.", "roman"),
    ("How did the Romans write {a}?", "roman"),
    ("Which Roman numeral is {a}?", "roman"),
)


def _roman(number: int) -> str:
    text = ""
    for value, sign in ROMAN:
        while number >= value:
            text, number = text + sign, number - value
    return text


def roman(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Roman numerals up to 100."""
    for a, (form, kind) in shuffled(rng, product(range(1, 101), ROMAN_FORMS)):
        wrong = near(rng, a, low=1, spread=(1, 2, 5, 10))
        answer, wrong = (str(a), wrong) if kind == "figures" else (_roman(a), tuple(_roman(int(n)) for n in wrong))
        parts, rest = [], a
        for value, sign in ROMAN:
            parts += [f"{sign} = {value}"] * (rest // value)
            rest %= value
        reason = f"From left to right: {', '.join(parts)}."
        yield ask(rng, (form,), answer, wrong, reason, f"{a}", a=a, r=_roman(a))


def solve_roman(question: str, lexicon: Lexicon) -> str:
    numerals = {}
    for number in range(1, 130):
        tens, ones = divmod(number, 10)
        of_ten = ("", "X", "XX", "XXX", "XL", "L", "LX", "LXX", "LXXX", "XC", "C", "CX", "CXX")[tens]
        numerals[of_ten + ("", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX")[ones]] = number
    if given := numbers_in(question):
        return next(numeral for numeral, number in numerals.items() if number == given[0])
    return str(numerals[re.search(r"\b[CLXVI]+\b", question).group()])


BINARY = (
    ("What is the binary number {b} in decimal?", "decimal"),
    ("Which number is {b} in the binary system?", "decimal"),
    ("Switches show {b}, 1 for on, the last one counting one. Which number is that?", "decimal"),
    ("Write {a} as a binary number.", "binary"),
    ("What is {a} in the binary system?", "binary"),
    ("How does a computer write {a} with zeros and ones?", "binary"),
)


def binary(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Binary numbers up to 63."""
    for a, (form, kind) in shuffled(rng, product(range(2, 64), BINARY)):
        figures, rest = "", a
        while rest:
            figures, rest = str(rest % 2) + figures, rest // 2
        wrong = near(rng, a, low=1, spread=(1, 2, 4, 8))
        worth = [str(2 ** (len(figures) - 1 - i)) for i, figure in enumerate(figures) if figure == "1"]
        answer, wrong = (str(a), wrong) if kind == "decimal" else (figures, tuple(f"{int(n):b}" for n in wrong))
        yield ask(rng, (form,), answer, wrong, f"{' + '.join(worth)} = {a}.", f"{a}", a=a, b=figures)


def solve_binary(question: str, lexicon: Lexicon) -> str:
    found = re.search(r"\d+", question).group()
    if re.search(r"as a binary|What is \d+ in the|zeros", question):
        return f"{int(found):b}"
    value = 0
    for figure in found:
        value += value + (figure == "1")
    return str(value)


CHANCE = (
    "A bag holds {a} red and {b} blue balls. {n} draws one blindly. In how many of {t} equal cases is it {c}?",
    "{a} red and {b} blue balls are in a bag. Of {t} equally likely draws, how many give {c}?",
    "{n} has {a} red and {b} blue cards, turned over. How many of the {t} cards would be {c}?",
)
LIKELY = (
    "A bag holds {a} red and {b} blue balls. Which colour is more likely to be drawn, or are both equally likely?",
    "{n} draws from {a} red and {b} blue cards. Which colour is more likely, or equally likely?",
    "Of {a} red and {b} blue tickets one wins. Is red or blue more likely, or are they equally likely?",
)


def chance(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """What is likely when one of some things is drawn."""
    while True:
        a = rng.randint(1, 15)
        b = a if rng.random() < 0.15 else rng.randint(1, 15)
        slots = {"a": a, "b": b, "t": a + b, "n": rng.choice(lexicon["names"]), "c": rng.choice(("red", "blue"))}
        if rng.random() < 0.5:
            answer = a if slots["c"] == "red" else b
            reason = f"{answer} of the {a + b} are {slots['c']}."
            wrong = [n for n in dict.fromkeys((b if answer == a else a, a + b, answer + 1)) if n != answer]
            yield ask(rng, CHANCE, answer, wrong, reason, f"{slots['c']} {a} {b}", **slots)
        else:
            answer = "equally likely" if a == b else "red" if a > b else "blue"
            wrong = others(rng, ("red", "blue", "equally likely"), answer, 2)
            yield ask(rng, LIKELY, answer, wrong, f"There are {a} red and {b} blue.", f"likely {a} {b}", **slots)


def solve_chance(question: str, lexicon: Lexicon) -> str:
    numbers = numbers_in(question)
    bag = ["red"] * numbers[0] + ["blue"] * numbers[1]
    if "likely, or" in question or "drawn, or" in question or "are they" in question:
        first, last = bag[(len(bag) - 1) // 2], bag[len(bag) // 2]  # the colour at the middle has the majority
        return first if first == last else "equally likely"
    return str(bag.count(re.search(r"(red|blue)\?", question).group(1)))


TASKS = (
    Task("subtraction", "math", subtraction, solve_subtraction, weight=0.4),
    Task("multiplication", "math", multiplication, solve_multiplication, weight=0.4),
    Task("division", "math", division, solve_division, weight=0.3),
    Task("missing", "math", missing, solve_missing, weight=0.3),
    Task("units", "math", units, solve_units, weight=0.3),
    Task("rounding", "math", rounding, solve_rounding, weight=0.3),
    Task("digits", "math", digits, solve_digits, weight=0.4),
    Task("percent", "math", percent, solve_percent, weight=0.3),
    Task("field", "math", field, solve_field, weight=0.3),
    Task("mean", "math", mean, solve_mean, weight=0.3),
    Task("fraction", "math", fraction, solve_fraction, weight=0.3),
    Task("roman", "math", roman, solve_roman, weight=0.3),
    Task("binary", "math", binary, solve_binary, weight=0.3),
    Task("chance", "math", chance, solve_chance, weight=0.3),
)
