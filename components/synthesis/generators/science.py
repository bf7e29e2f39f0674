"""Science that can be computed: motion, current, matter, atoms, heredity, seasons. The solvers count or simulate."""

import re
from itertools import product
from typing import Any

from components.synthesis.drafts import Draft
from components.synthesis.generators import Drafts, Draw, Lexicon, extract, numbers_in, pick_wrong, search


def motion(draw: Draw) -> Draft:
    """Distance, speed and time of an even motion."""
    speed, hours = draw.choice((4, 5, 10, 12, 15, 20, 30, 40, 50, 60, 80, 100)), draw.randint(2, 9)
    form, distance = draw.choice(draw.forms), speed * hours
    reason = f"In one hour it covers {speed} km, in {hours} hours {hours} x {speed} = {distance} km."
    vehicle = draw.choice(("bicycle", "boat", "bus", "car", "cart", "ship", "train", "truck"))
    slots: dict[str, Any] = {"v": vehicle, "s": speed, "t": hours, "d": distance, "n": draw.name()}
    wrong = draw.near(slots[form.kind], low=1, spread=(1, 2, 5, 10))
    return draw.ask(slots[form.kind], wrong, reason, f"{form.kind} {speed} {hours}", form, **slots)


def solve_motion(question: str, lexicon: Lexicon) -> str:
    known = {unit: int(number) for number, unit in re.findall(r"(\d+) (km per hour|km|hours)", question)}
    if "km" not in known:
        return str(sum([known["km per hour"]] * known["hours"]))
    if "hours" not in known:
        return str(len(range(0, known["km"], known["km per hour"])))
    return str(next(s for s in range(known["km"] + 1) if s * known["hours"] == known["km"]))


def current(draw: Draw) -> Draft:
    """Ohm's law: voltage is resistance times current."""
    amperes, ohms = draw.randint(1, 12), draw.randint(2, 30)
    form, volts = draw.choice(draw.forms), amperes * ohms
    reason = f"Voltage is resistance times current: {ohms} x {amperes} = {volts}."
    slots: dict[str, Any] = {"u": volts, "i": amperes, "r": ohms, "n": draw.name()}
    wrong = draw.near(slots[form.kind], low=1, spread=(1, 2, 3, 5))
    return draw.ask(slots[form.kind], wrong, reason, f"{form.kind} {amperes} {ohms}", form, **slots)


def solve_current(question: str, lexicon: Lexicon) -> str:
    known = {unit: int(number) for number, unit in re.findall(r"(\d+) (volts|A|ohms)", question)}
    if "volts" not in known:
        return str(sum([known["ohms"]] * known["A"]))
    divisor = known.get("ohms") or known["A"]
    return str(len(range(0, known["volts"], divisor)))


def density(draw: Draw) -> Draft:
    """Density, mass and volume."""
    dense, volume = draw.randint(2, 20), draw.randint(2, 20)
    form, mass = draw.choice(draw.forms), dense * volume
    reason = f"Mass is density times volume: {dense} x {volume} = {mass}."
    slots: dict[str, Any] = {"d": dense, "m": mass, "s": volume, "n": draw.name()}
    wrong = draw.near(slots[form.kind], low=1, spread=(1, 2, 3, 5))
    return draw.ask(slots[form.kind], wrong, reason, f"{form.kind} {dense} {volume}", form, **slots)


def solve_density(question: str, lexicon: Lexicon) -> str:
    if "does one cubic" in question or "What is its density" in question:
        grams, volume = int(extract(r"(\d+) g", question)), int(extract(r"(\d+) cubic", question))
        return str(next(d for d in range(grams + 1) if d * volume == grams))
    first, second = numbers_in(question)
    if "How many cubic" in question:
        grams, dense = (first, second) if re.match(r"\w+ has", question) else (second, first)
        return str(len(range(0, grams, dense)))
    return str(sum(first for _ in range(second)))


def atoms(draw: Draw) -> Draft:
    """Atoms of an element in some molecules, from the formula."""
    molecule, formula = draw.choice(list(draw.lexicon["molecules"].items()))
    parts = {symbol: int(number or 1) for symbol, number in re.findall(r"([A-Z][a-z]?)(\d*)", formula)}
    symbol, each = draw.choice(list(parts.items()))
    form = draw.choice(draw.forms)
    count = 1 if form.kind == "one" else draw.randint(2, 9)
    answer = count * each
    reason = f"{formula} has {each} x {symbol}" + ("." if form.kind == "one" else f"; {count} x {each} = {answer}.")
    slots = {"m": molecule, "f": formula, "e": draw.lexicon["symbols"][symbol], "k": count, "n": draw.name()}
    wrong = draw.near(answer, low=1, spread=(1, 2, 3, 4))
    return draw.ask(answer, wrong, reason, f"{formula} {symbol} {count}", form, **slots)


def solve_atoms(question: str, lexicon: Lexicon) -> str:
    formula = search(r"\b(?:[A-Z][a-z]?\d*){2,}|\b[A-Z][a-z]?\d+", question).group()
    symbol = next(symbol for symbol, name in lexicon["symbols"].items() if re.search(rf"\b{name}\b", question))
    spelled = "".join(s * int(n or 1) + "." for s, n in re.findall(r"([A-Z][a-z]?)(\d*)", formula))
    one = len(re.findall(rf"{symbol}(?![a-z])", spelled))
    count = re.search(r"(\d+) (?:molecules|models)", question)
    return str(sum(one for _ in range(int(count.group(1)) if count else 1)))


def neutrons(draw: Draw) -> Draft:
    """Protons, neutrons, electrons and the mass number."""
    element, z = draw.choice(list(draw.lexicon["elements"].items()))
    k = max(1, z + draw.randint(0, max(1, z // 3)))
    form = draw.choice(draw.forms)
    answer = {"n": k, "a": z + k, "z": z, "e": z}[form.kind]
    reason = f"The mass number counts protons and neutrons: {z} + {k} = {z + k}."
    reason = f"An atom without charge has as many electrons as protons, {z}." if form.kind == "e" else reason
    wrong = draw.near(answer, low=1, spread=(1, 2, 3, 4))
    return draw.ask(answer, wrong, reason, f"{form.kind} {z} {k}", form, e=element, z=z, k=k, a=z + k)


def solve_neutrons(question: str, lexicon: Lexicon) -> str:
    numbers = numbers_in(question)
    if "electrons" in question:
        return str(len("p" * numbers[0]))
    if "what is" in question.lower():
        return str(len("p" * numbers[0] + "n" * numbers[1]))
    return str(len(range(min(numbers), max(numbers))))


def halves(draw: Draw) -> Draft:
    """Radioactive decay over whole half-lives."""
    steps, left, life = draw.randint(1, 4), draw.randint(1, 25), draw.randint(2, 12)
    path = [left * 2**i for i in range(steps, -1, -1)]
    unit = draw.choice(("hours", "days", "years", "minutes"))
    slots = {"m": path[0], "h": life, "t": life * steps, "u": unit, "n": draw.name()}
    wrong = pick_wrong(left, (left * 2, path[0] // (steps + 1), left + 1, left + 3))
    reason = f"Half-life after half-life: {', '.join(map(str, path))}."
    return draw.ask(left, wrong, reason, f"{path[0]} {life} {steps}", **slots)


def solve_halves(question: str, lexicon: Lexicon) -> str:
    mass = int(extract(r"(\d+) g\b", question))
    life, total = (int(n) for n in re.findall(r"(\d+) (?:hours|days|years|minutes)", question))
    for _ in range(life, total + 1, life):
        mass -= mass // 2
    return str(mass)


TRAITS = (
    ("peas", "yellow", "green"), ("mice", "grey", "white"), ("rabbits", "black", "brown"), ("flowers", "red", "white"),
    ("cats", "short-haired", "long-haired"), ("dogs", "dark", "light"), ("beans", "smooth", "wrinkled"),
    ("hens", "feathered", "bare-legged"), ("fish", "striped", "plain"), ("corn plants", "tall", "dwarfish"),
)  # fmt: skip


def cross(draw: Draw) -> Draft:
    """Mendel's crosses with one pair of genes."""
    organism, dominant, recessive = draw.choice(TRAITS)
    letter = draw.choice("ABDEFGHKLMNPRST")
    low = letter.lower()
    genes = (letter * 2, letter + low, low * 2)
    x, y = draw.choice(genes), draw.choice(genes)
    pairs = [p + q for p, q in product(x, y)]
    hidden, wanted = pairs.count(low * 2), draw.random() < 0.5
    answer = str(hidden if wanted else 4 - hidden)
    reason = f"Of the four pairs {', '.join(pairs)}, {hidden} lack {letter}."
    slots = {"o": organism, "O": organism.capitalize(), "D": dominant, "R": recessive, "A": letter, "a": low}
    slots |= {"x": x, "y": y, "w": recessive if wanted else dominant}
    return draw.ask(answer, draw.others("01234", answer), reason, f"{organism} {letter} {x} {y} {wanted}", **slots)


def solve_cross(question: str, lexicon: Lexicon) -> str:
    x, y = (pair for pair in re.findall(r"\b[A-Za-z]{2}\b", question) if pair[0].lower() == pair[1].lower())
    organism = next(traits for traits in TRAITS if re.search(rf"\b{traits[0]}\b", question, re.I))
    shown = extract(r"(?:are|to be) ([\w-]+)(?: on average)?\?", question)
    young = [a + b for a in x for b in y]
    plain = len([pair for pair in young if pair.islower()])
    return str(plain if shown == organism[2] else len(young) - plain)


SEASONS = ("winter", "spring", "summer", "autumn")
MONTHS = {"January": 0, "February": 0, "April": 1, "May": 1, "July": 2, "August": 2, "October": 3, "November": 3}


def seasons(draw: Draw) -> Drafts:
    """The season of a month, north and south of the equator."""
    places = [(place, side) for side, places in draw.lexicon["hemispheres"].items() for place in places]
    for month, (place, side), form in draw.shuffled(product(MONTHS, places, draw.forms)):
        answer = SEASONS[(MONTHS[month] + (2 if side == "south" else 0)) % 4]
        reason = f"{place} lies {side} of the equator, where {month} belongs to {answer}."
        slots = {"m": month, "p": place, "n": draw.name()}
        yield draw.ask(answer, draw.others(SEASONS, answer), reason, f"{month} {place}", form, **slots)


def solve_seasons(question: str, lexicon: Lexicon) -> str:
    season = next(
        season
        for season, months in zip(SEASONS, ("Jan|Feb", "Apr|May", "Jul|Aug", "Oct|Nov"), strict=True)
        if re.search(rf"\b({months})", question)
    )
    turned = dict(zip(SEASONS, ("summer", "autumn", "winter", "spring"), strict=True))
    south = any(place in question for place in lexicon["hemispheres"]["south"])
    return turned[season] if south else season


def degrees(draw: Draw) -> Drafts:
    """Celsius and Fahrenheit, in steps of five degrees."""
    for c, form, name in draw.shuffled(product(range(-40, 260, 5), draw.forms, draw.lexicon["names"][:2])):
        f = c * 9 // 5 + 32
        answer = f if form.kind == "f" else c
        reason = f"Five degrees Celsius are nine degrees Fahrenheit, and 0 is 32: {c} x 9 / 5 + 32 = {f}."
        wrong = draw.near(answer, low=-100, spread=(5, 10, 9, 18))
        yield draw.ask(answer, wrong, reason, f"{c}", form, c=c, f=f, n=name)


def solve_degrees(question: str, lexicon: Lexicon) -> str:
    number, unit = search(r"(-?\d+) degrees (Celsius|Fahrenheit)", question).groups()
    celsius, fahrenheit = -40, -40  # where both scales agree
    while int(number) != (celsius if unit == "Celsius" else fahrenheit):
        celsius, fahrenheit = celsius + 5, fahrenheit + 9
    return str(fahrenheit if unit == "Celsius" else celsius)


def series(draw: Draw) -> Draft:
    """Resistors one after another add up."""
    a, b, c = (draw.randint(1, 20) for _ in range(3))
    total, name = a + b + c, draw.name()
    reason = f"In series they add up: {a} + {b} + {c} = {total}."
    wrong = draw.near(total, spread=(1, 2, 3, 10))
    return draw.ask(total, wrong, reason, str(sorted((a, b, c))), a=a, b=b, c=c, n=name)


def solve_series(question: str, lexicon: Lexicon) -> str:
    return str(len("".join("z" * number for number in numbers_in(question))))
