"""Science that can be computed: motion, current, matter, atoms, heredity, seasons. The solvers count or simulate."""

import re
from collections.abc import Iterator
from itertools import product
from random import Random

from components.synthesis.drafts import Draft
from components.synthesis.generators import Lexicon, Task, ask, near, numbers_in, others, shuffled

MOTION = (
    ("A {v} moves at {s} km an hour for {t} hours. How many km does it get?", "d"),
    ("How far does a {v} come in {t} hours at {s} km an hour, in km?", "d"),
    ("{n} travels {t} hours by {v}, always at {s} km an hour. How many km is the way?", "d"),
    ("A {v} covers {d} km in {t} hours. What is its speed in km an hour?", "s"),
    ("For {d} km a {v} takes {t} hours. How many km does it make in one hour?", "s"),
    ("A {v} has to go {d} km and makes {s} km an hour. How many hours does it need?", "t"),
    ("How many hours does {n} need for {d} km with a {v} that makes {s} km an hour?", "t"),
)


def motion(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Distance, speed and time of an even motion."""
    while True:
        speed, hours = rng.choice((4, 5, 10, 12, 15, 20, 30, 40, 50, 60, 80, 100)), rng.randint(2, 9)
        form, wanted = rng.choice(MOTION)
        distance = speed * hours
        answer = {"d": distance, "s": speed, "t": hours}[wanted]
        reason = f"In one hour it makes {speed} km, in {hours} hours {hours} x {speed} = {distance} km."
        vehicle = rng.choice(("bicycle", "boat", "bus", "car", "cart", "ship", "train", "truck"))
        slots = {"v": vehicle, "s": speed, "t": hours, "d": distance, "n": rng.choice(lexicon["names"])}
        wrong = near(rng, answer, low=1, spread=(1, 2, 5, 10))
        yield ask(rng, (form,), answer, wrong, reason, f"{wanted} {speed} {hours}", **slots)


def solve_motion(question: str, lexicon: Lexicon) -> str:
    def find(pattern: str) -> int | None:
        found = re.search(pattern, question)
        return int(found.group(1)) if found else None

    speed = find(r"(\d+) km an hour")
    hours = find(r"(\d+) hours")
    distance = find(r"(\d+) km(?! an hour)")
    if distance is None:
        return str(sum(speed for _ in range(hours)))
    if hours is None:
        return str(len(range(0, distance, speed)))
    return str(next(s for s in range(distance + 1) if s * hours == distance))


CURRENT = (
    ("A current of {i} ampere flows through a resistor of {r} ohm. What is the voltage in volt?", "u"),
    ("How many volt drive {i} ampere through {r} ohm?", "u"),
    ("A voltage of {u} volt lies across {r} ohm. How many ampere flow?", "i"),
    ("{n} connects {u} volt to a resistor of {r} ohm. What current flows, in ampere?", "i"),
    ("At {u} volt a current of {i} ampere flows. What is the resistance in ohm?", "r"),
    ("A lamp takes {i} ampere at {u} volt. How many ohm has it?", "r"),
)


def current(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Ohm's law: voltage is resistance times current."""
    while True:
        amperes, ohms = rng.randint(1, 12), rng.randint(2, 30)
        form, wanted = rng.choice(CURRENT)
        volts = amperes * ohms
        answer = {"u": volts, "i": amperes, "r": ohms}[wanted]
        reason = f"Voltage is resistance times current: {ohms} x {amperes} = {volts}."
        slots = {"u": volts, "i": amperes, "r": ohms, "n": rng.choice(lexicon["names"])}
        wrong = near(rng, answer, low=1, spread=(1, 2, 3, 5))
        yield ask(rng, (form,), answer, wrong, reason, f"{wanted} {amperes} {ohms}", **slots)


def solve_current(question: str, lexicon: Lexicon) -> str:
    known = {unit: int(number) for number, unit in re.findall(r"(\d+) (volt|ampere|ohm)", question)}
    if "volt" not in known:
        return str(sum([known["ohm"]] * known["ampere"]))
    divisor = known.get("ohm") or known["ampere"]
    return str(len(range(0, known["volt"], divisor)))


DENSITY = (
    ("A block of {s} cubic centimetres weighs {m} g. How many g weighs one cubic centimetre?", "d"),
    ("{m} g of a material fill {s} cubic centimetres. What is its density in g a cubic centimetre?", "d"),
    ("One cubic centimetre of a material weighs {d} g. How many g weigh {s} cubic centimetres?", "m"),
    ("A material has a density of {d} g a cubic centimetre. What does a piece of {s} cubic centimetres weigh, in g?", "m"),
    ("One cubic centimetre of a material weighs {d} g. How many cubic centimetres weigh {m} g?", "s"),
    ("{n} has {m} g of a material with {d} g a cubic centimetre. How many cubic centimetres are that?", "s"),
)  # fmt: skip


def density(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Density, mass and volume."""
    while True:
        dense, volume = rng.randint(2, 20), rng.randint(2, 20)
        form, wanted = rng.choice(DENSITY)
        mass = dense * volume
        answer = {"d": dense, "m": mass, "s": volume}[wanted]
        reason = f"Mass is density times volume: {dense} x {volume} = {mass}."
        slots = {"d": dense, "m": mass, "s": volume, "n": rng.choice(lexicon["names"])}
        wrong = near(rng, answer, low=1, spread=(1, 2, 3, 5))
        yield ask(rng, (form,), answer, wrong, reason, f"{wanted} {dense} {volume}", **slots)


def solve_density(question: str, lexicon: Lexicon) -> str:
    if "How many g weighs" in question or "What is its density" in question:
        grams = int(re.search(r"(\d+) g", question).group(1))
        volume = int(re.search(r"(\d+) cubic", question).group(1))
        return str(next(d for d in range(grams + 1) if d * volume == grams))
    first, second = numbers_in(question)
    if "How many cubic" in question:
        grams, dense = (first, second) if re.match(r"\w+ has", question) else (second, first)
        return str(len(range(0, grams, dense)))
    return str(sum(first for _ in range(second)))


ATOMS = (
    ("How many {e} atoms are in one molecule of {m}, {f}?", 1),
    ("The formula of {m} is {f}. How many atoms of {e} does a molecule have?", 1),
    ("How many {e} atoms do {k} molecules of {m} ({f}) have together?", 0),
    ("{n} builds {k} models of {m}, {f}. How many balls for {e} are needed?", 0),
    ("{k} molecules of {m}: the formula is {f}. How many atoms of {e} is that?", 0),
)


def atoms(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Atoms of an element in some molecules, from the formula."""
    symbols = lexicon["symbols"]
    while True:
        molecule, formula = rng.choice(list(lexicon["molecules"].items()))
        parts = {symbol: int(number or 1) for symbol, number in re.findall(r"([A-Z][a-z]?)(\d*)", formula)}
        symbol = rng.choice(list(parts))
        form, one = rng.choice(ATOMS)
        count = 1 if one else rng.randint(2, 9)
        answer = count * parts[symbol]
        reason = f"{formula} has {parts[symbol]} x {symbol}" + (
            "." if one else f"; {count} x {parts[symbol]} = {answer}."
        )
        slots = {"m": molecule, "f": formula, "e": symbols[symbol], "k": count, "n": rng.choice(lexicon["names"])}
        wrong = near(rng, answer, low=1, spread=(1, 2, 3, 4))
        yield ask(rng, (form,), answer, wrong, reason, f"{formula} {symbol} {count}", **slots)


def solve_atoms(question: str, lexicon: Lexicon) -> str:
    formula = re.search(r"\b(?:[A-Z][a-z]?\d*){2,}|\b[A-Z][a-z]?\d+", question).group()
    element = next(name for name in lexicon["symbols"].values() if re.search(rf"\b{name}\b", question))
    symbol = next(symbol for symbol, name in lexicon["symbols"].items() if name == element)
    spelled = "".join(s * int(n or 1) + "." for s, n in re.findall(r"([A-Z][a-z]?)(\d*)", formula))
    one = len(re.findall(rf"{symbol}(?![a-z])", spelled))
    count = re.search(r"(\d+) (?:molecules|models)", question)
    return str(sum(one for _ in range(int(count.group(1)) if count else 1)))


NEUTRONS = (
    ("An atom has {z} protons and the mass number {a}. How many neutrons has it?", "n"),
    ("The nucleus of an atom of {e} holds {a} particles, {z} of them protons. How many are neutrons?", "n"),
    ("An atom of {e} has {z} protons and {k} neutrons. What is its mass number?", "a"),
    ("{z} protons and {k} neutrons: what is the mass number of this atom?", "a"),
    ("An atom has the mass number {a} and {k} neutrons. How many protons has it?", "z"),
    ("An atom of {e} has {z} protons and is not charged. How many electrons has it?", "e"),
)


def neutrons(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Protons, neutrons, electrons and the mass number."""
    elements = lexicon["elements"]
    while True:
        element, z = rng.choice(list(elements.items()))
        k = max(1, z + rng.randint(0, max(1, z // 3)))
        form, wanted = rng.choice(NEUTRONS)
        answer = {"n": k, "a": z + k, "z": z, "e": z}[wanted]
        reason = f"The mass number counts protons and neutrons: {z} + {k} = {z + k}."
        reason = f"Without charge there are as many electrons as protons, {z}." if wanted == "e" else reason
        slots = {"e": element, "z": z, "k": k, "a": z + k}
        wrong = near(rng, answer, low=1, spread=(1, 2, 3, 4))
        yield ask(rng, (form,), answer, wrong, reason, f"{wanted} {z} {k}", **slots)


def solve_neutrons(question: str, lexicon: Lexicon) -> str:
    numbers = numbers_in(question)
    if "electrons" in question:
        return str(len("p" * numbers[0]))
    if "what is" in question.lower():
        return str(len("p" * numbers[0] + "n" * numbers[1]))
    return str(len(range(min(numbers), max(numbers))))


HALVES = (
    "{m} g of a substance decay with a half-life of {h} {u}. How many g are left after {t} {u}?",
    "A substance halves every {h} {u}. Of {m} g, how many g are there after {t} {u}?",
    "The half-life is {h} {u}. {n} starts with {m} g. How many g remain after {t} {u}?",
    "Every {h} {u} half of it is gone. What is left of {m} g after {t} {u}, in g?",
)


def halves(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Radioactive decay over whole half-lives."""
    while True:
        steps, left, life = rng.randint(1, 4), rng.randint(1, 25), rng.randint(2, 12)
        start = left * 2**steps
        path = [str(start // 2**i) for i in range(steps + 1)]
        unit = rng.choice(("hours", "days", "years", "minutes"))
        slots = {"m": start, "h": life, "t": life * steps, "u": unit, "n": rng.choice(lexicon["names"])}
        wrong = [n for n in dict.fromkeys((left * 2, start // (steps + 1), left + 1, left + 3)) if n != left][:3]
        yield ask(
            rng,
            HALVES,
            left,
            wrong,
            f"Half-life after half-life: {', '.join(path)}.",
            f"{start} {life} {steps}",
            **slots,
        )


def solve_halves(question: str, lexicon: Lexicon) -> str:
    mass = int(re.search(r"(\d+) g\b", question).group(1))
    life, total = (int(n) for n in re.findall(r"(\d+) (?:hours|days|years|minutes)", question))
    for _ in range(life, total + 1, life):
        mass -= mass // 2
    return str(mass)


CROSS = (
    "In {o} the trait {D} ({A}) is dominant over {R} ({a}). One parent is {x}, the other {y}. Of four young on average, "
    "how many are {w}?",
    "{O}: {A} gives {D}, {a} gives {R}, and {A} is dominant. {x} is crossed with {y}. How many of four young are {w} on "
    "average?",
    "A pair of {o} has the genes {x} and {y}. {A} stands for {D} and hides {a}, which stands for {R}. How many of four "
    "young are expected to be {w}?",
)
TRAITS = (
    ("peas", "yellow", "green"), ("mice", "grey", "white"), ("rabbits", "black", "brown"), ("flowers", "red", "white"),
    ("cats", "short-haired", "long-haired"), ("dogs", "dark", "light"), ("beans", "smooth", "wrinkled"),
    ("hens", "feathered", "bare-legged"), ("fish", "striped", "plain"), ("corn plants", "tall", "dwarfish"),
)  # fmt: skip


def cross(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Mendel's crosses with one pair of genes."""
    while True:
        organism, dominant, recessive = rng.choice(TRAITS)
        letter = rng.choice("ABDEFGHKLMNPRST")
        genes = (letter * 2, letter + letter.lower(), letter.lower() * 2)
        x, y = rng.choice(genes), rng.choice(genes)
        hidden = sum(p + q == letter.lower() * 2 for p, q in product(x, y))
        wanted = rng.random() < 0.5
        answer = hidden if wanted else 4 - hidden
        reason = f"Of the four pairs {', '.join(p + q for p, q in product(x, y))}, {hidden} lack {letter}."
        slots = {
            "o": organism,
            "O": organism.capitalize(),
            "D": dominant,
            "R": recessive,
            "A": letter,
            "a": letter.lower(),
            "x": x,
            "y": y,
        }
        slots["w"] = recessive if wanted else dominant
        wrong = others(rng, [str(n) for n in range(5)], str(answer), 3)
        yield ask(rng, CROSS, answer, wrong, reason, f"{organism} {letter} {x} {y} {wanted}", **slots)


def solve_cross(question: str, lexicon: Lexicon) -> str:
    x, y = (pair for pair in re.findall(r"\b[A-Za-z]{2}\b", question) if pair[0].lower() == pair[1].lower())
    organism = next(traits for traits in TRAITS if re.search(rf"\b{traits[0]}\b", question, re.I))
    shown = re.search(r"(?:are|to be) ([\w-]+)(?: on average)?\?", question).group(1)
    young = [a + b for a in x for b in y]
    plain = len([pair for pair in young if pair.islower()])
    return str(plain if shown == organism[2] else len(young) - plain)


SEASONS = ("winter", "spring", "summer", "autumn")
SEASON_FORMS = (
    "It is {m}. Which season is it in {p}?",
    "{n} flies to {p} in {m}. Which season does {n} find there?",
    "Which season has {p} in {m}?",
    "A letter from {p} is dated {m}. In which season was it written?",
    "In {m}, is it spring, summer, autumn or winter in {p}?",
)


def seasons(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """The season of a month, north and south of the equator."""
    months = (
        "January", "February", "April", "May", "July", "August", "October", "November",
    )  # fmt: skip
    halves_of = [(place, side) for side, places in lexicon["hemispheres"].items() for place in places]
    rank = {name: i for i, name in enumerate(
        ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November")
    )}  # fmt: skip
    for month, (place, side), form in shuffled(rng, product(months, halves_of, SEASON_FORMS)):
        answer = SEASONS[((rank[month] + 1) // 3 + (2 if side == "south" else 0)) % 4]
        reason = f"{place} lies {side} of the equator, where {month} belongs to {answer}."
        slots = {"m": month, "p": place, "n": rng.choice(lexicon["names"])}
        yield ask(rng, (form,), answer, others(rng, SEASONS, answer, 3), reason, f"{month} {place}", **slots)


def solve_seasons(question: str, lexicon: Lexicon) -> str:
    north = {"January": 0, "February": 0, "April": 1, "May": 1, "July": 2, "August": 2, "October": 3, "November": 3}
    season = SEASONS[next(number for month, number in north.items() if month in question)]
    turned = dict(zip(SEASONS, ("summer", "autumn", "winter", "spring"), strict=True))
    south = any(place in question for place in lexicon["hemispheres"]["south"])
    return turned[season] if south else season


DEGREES = (
    ("How many degrees Fahrenheit are {c} degrees Celsius?", "f"),
    ("The thermometer shows {c} degrees Celsius. What is that in Fahrenheit?", "f"),
    ("{n} reads {c} degrees Celsius. How many degrees Fahrenheit does a friend read?", "f"),
    ("How many degrees Celsius are {f} degrees Fahrenheit?", "c"),
    ("An oven stands at {f} degrees Fahrenheit. How many degrees Celsius is that?", "c"),
    ("It is {f} degrees Fahrenheit outside. What is that in Celsius?", "c"),
)


def degrees(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Celsius and Fahrenheit, in steps of five degrees."""
    for celsius, (form, wanted), name in shuffled(rng, product(range(-40, 260, 5), DEGREES, lexicon["names"][:2])):
        fahrenheit = celsius * 9 // 5 + 32
        answer = fahrenheit if wanted == "f" else celsius
        reason = (
            f"Five degrees Celsius are nine degrees Fahrenheit, and 0 is 32: {celsius} x 9 / 5 + 32 = {fahrenheit}."
        )
        wrong = near(rng, answer, low=-100, spread=(5, 10, 9, 18))
        yield ask(rng, (form,), answer, wrong, reason, f"{celsius}", c=celsius, f=fahrenheit, n=name)


def solve_degrees(question: str, lexicon: Lexicon) -> str:
    number, unit = re.search(r"(-?\d+) degrees (Celsius|Fahrenheit)", question).groups()
    celsius, fahrenheit = -40, -40  # where both scales agree
    while int(number) != (celsius if unit == "Celsius" else fahrenheit):
        celsius, fahrenheit = celsius + 5, fahrenheit + 9
    return str(fahrenheit if unit == "Celsius" else celsius)


SERIES = (
    "Resistors of {a}, {b} and {c} ohm are in series. How many ohm are they together?",
    "A current passes {a} ohm, then {b} ohm, then {c} ohm. What is the total resistance in ohm?",
    "{n} connects {a} ohm, {b} ohm and {c} ohm one after another. How many ohm is the whole?",
)


def series(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Resistors one after another add up."""
    while True:
        a, b, c = (rng.randint(1, 20) for _ in range(3))
        total = a + b + c
        slots = {"a": a, "b": b, "c": c, "n": rng.choice(lexicon["names"])}
        reason = f"In series they add up: {a} + {b} + {c} = {total}."
        wrong = near(rng, total, spread=(1, 2, 3, 10))
        yield ask(rng, SERIES, total, wrong, reason, str(sorted((a, b, c))), **slots)


def solve_series(question: str, lexicon: Lexicon) -> str:
    return str(len("".join("z" * number for number in numbers_in(question))))


TASKS = (
    Task("motion", "science", motion, solve_motion, weight=0.3),
    Task("current", "science", current, solve_current, weight=0.3),
    Task("density", "science", density, solve_density, weight=0.3),
    Task("atoms", "science", atoms, solve_atoms, weight=0.3),
    Task("neutrons", "science", neutrons, solve_neutrons, weight=0.3),
    Task("halves", "science", halves, solve_halves, weight=0.3),
    Task("cross", "science", cross, solve_cross, weight=0.3),
    Task("seasons", "science", seasons, solve_seasons, weight=0.5),
    Task("degrees", "science", degrees, solve_degrees, weight=0.3),
    Task("series", "science", series, solve_series, weight=0.3),
)
