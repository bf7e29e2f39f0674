"""Arithmetic: small ranges that are gone through as a whole; the solvers count, sum or test instead of computing."""

import re
from collections.abc import Iterator
from itertools import product
from random import Random

from components.synthesis.drafts import Draft
from components.synthesis.generators import Lexicon, Task, near, shuffled

_NUMBER = re.compile(r"-?\d+")


def _numbers(question: str) -> list[int]:
    return [int(n) for n in _NUMBER.findall(question)]


def addition(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Sums of two numbers up to 40."""
    forms = ("What is {a} + {b}?", "Add {a} and {b}.", "{a} + {b} =", "What is the sum of {a} and {b}?")
    for a, b, form in shuffled(rng, product(range(41), range(41), forms)):
        yield Draft(
            form.format(a=a, b=b),
            str(a + b),
            near(rng, a + b),
            _addition_reason(a, b),
            key=f"{min(a, b)} {max(a, b)}",
            template=form,
        )


def _addition_reason(a: int, b: int) -> str:
    tens, ones = a // 10 * 10 + b // 10 * 10, a % 10 + b % 10
    if a < 10 and b < 10:
        return f"Count on from {max(a, b)} by {min(a, b)}: you reach {a + b}."
    return f"The tens give {tens}, the ones give {ones}, and {tens} + {ones} = {a + b}."


def solve_addition(question: str, lexicon: Lexicon) -> str:
    a, b = _numbers(question)
    return str(len(range(a)) + len(range(a, a + b)) if b else len("|" * a))


def word_problem(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """One-step stories of gain, loss and change, numbers up to 20."""
    things = ("apples", "coins", "books", "eggs", "stamps", "marbles", "pears", "cards")
    while True:
        a, b = rng.randint(2, 20), rng.randint(1, 12)
        name, other = rng.sample(lexicon["names"], 2)
        thing = rng.choice(things)
        kind = rng.randrange(4)
        if kind >= 2 and b > a:
            a, b = b, a
        text, answer, sign = (
            (f"{name} has {a} {thing}. {other} gives {name} {b} more. How many {thing} does {name} have?", a + b, "+"),
            (f"{name} has {a} {thing} and {other} has {b}. How many {thing} do they have together?", a + b, "+"),
            (f"{name} has {a} {thing}. {name} gives {b} to {other}. How many {thing} are left?", a - b, "-"),
            (f"{name} pays for a toy that costs {b} coins with {a} coins. How many coins come back?", a - b, "-"),
        )[kind]
        verb = "adds to" if sign == "+" else "takes away from"
        reason = f"The story {verb} the {a}: {a} {sign} {b} = {answer}."
        yield Draft(
            text, str(answer), near(rng, answer, spread=(1, 2, 3, 4)), reason, f"{kind} {a} {b}", f"story {kind}"
        )


def solve_word_problem(question: str, lexicon: Lexicon) -> str:
    numbers = _numbers(question)
    pile = ["x"] * max(numbers)
    if "more" in question or "together" in question:
        pile += ["x"] * min(numbers)
    else:
        del pile[: min(numbers)]
    return str(len(pile))


def largest(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """The largest or smallest of three numbers under 100."""
    while True:
        values = rng.sample(range(100), 3)
        word, answer = rng.choice((("largest", max(values)), ("smallest", min(values))))
        listed = ", ".join(map(str, values))
        form = rng.choice(
            ("Which number is the {w}: {l}?", "What is the {w} of {l}?", "Of {l}, which number is the {w}?")
        )
        wrong = tuple(str(v) for v in values if v != answer)
        order = " < ".join(map(str, sorted(values)))
        key = f"{word} {' '.join(map(str, sorted(values)))}"
        yield Draft(
            form.format(w=word, l=listed), str(answer), wrong, f"In order they are {order}.", key, f"{form} [{word}]"
        )


def solve_largest(question: str, lexicon: Lexicon) -> str:
    best, *rest = _numbers(question)
    for value in rest:
        if (value - best > 0) == ("largest" in question):
            best = value
    return str(best)


def parity(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Even or odd, numbers under 1000."""
    forms = ("Is {n} even or odd?", "Is the number {n} odd or even?")
    for n, form in shuffled(rng, product(range(1000), forms)):
        answer, wrong = ("odd", "even") if n % 2 else ("even", "odd")
        yield Draft(
            form.format(n=n),
            answer,
            (wrong,),
            f"The last digit, {n % 10}, is {answer}, so {n} is {answer}.",
            key=f"{n}",
            template=form,
        )


def solve_parity(question: str, lexicon: Lexicon) -> str:
    (n,) = _numbers(question)
    return "even" if n // 2 * 2 == n else "odd"


def common_divisor(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Greatest common divisor of two numbers up to 40, coprime pairs thinned out."""
    forms = (
        "What is the greatest common divisor of {a} and {b}?",
        "What is the largest number that divides {a} and {b}?",
        "gcd({a}, {b}) =",
    )
    pairs = {(a, b): _euclid(a, b) for a in range(2, 41) for b in range(2, 41)}
    coprime = [pair for pair, x in pairs.items() if x == 1]
    even = sum(x == 2 for x in pairs.values())
    for pair in rng.sample(coprime, len(coprime) - even):  # else "1" would be right more often than not
        del pairs[pair]
    for ((a, b), x), form in shuffled(rng, product(pairs.items(), forms)):
        wrong = [n for n in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, min(a, b)) if n != x and n <= min(a, b)]
        wrong = list(dict.fromkeys(wrong))
        if len(wrong) < 3:
            wrong += [n for n in (3, 4, 5) if n != x and n not in wrong]
        reason = f"{a} = {x} x {a // x} and {b} = {x} x {b // x}, and {a // x} and {b // x} share no divisor but 1."
        key = f"{min(a, b)} {max(a, b)}"
        yield Draft(form.format(a=a, b=b), str(x), tuple(map(str, rng.sample(wrong, 3))), reason, key, form)


def _euclid(a: int, b: int) -> int:
    while b:
        a, b = b, a % b
    return a


def solve_common_divisor(question: str, lexicon: Lexicon) -> str:
    a, b = _numbers(question)
    return str(max(n for n in range(1, min(a, b) + 1) if a % n == 0 and b % n == 0))


def sequence(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Continue an arithmetic sequence of four numbers."""
    forms = ("What comes next: {s}?", "Continue the sequence {s}.", "{s}: which number follows?")
    for start, step, form in shuffled(rng, product(range(60), (*range(-9, 0), *range(1, 11)), forms)):
        terms = [start + step * i for i in range(5)]
        if terms[4] < 0:
            continue
        listed = ", ".join(map(str, terms[:4]))
        way = f"grows by {step}" if step > 0 else f"falls by {-step}"
        reason = f"Each number {way}, so after {terms[3]} comes {terms[4]}."
        answer = terms[4]
        yield Draft(
            form.format(s=listed), str(answer), near(rng, answer, spread=(1, 2, 3, 5)), reason, f"{start} {step}", form
        )


def solve_sequence(question: str, lexicon: Lexicon) -> str:
    terms = _numbers(question)
    return str(2 * terms[-1] - terms[-2])  # a linear sequence has second differences of zero


def letter_count(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """How often a letter stands in a row of letters."""
    forms = ("How many times does {x} occur in {s}?", "Count the letter {x} in {s}.")
    while True:
        x, y, z = rng.sample(lexicon["letters"], 3)
        row = [rng.choice((x, x, y, z)) for _ in range(rng.randint(3, 7))]
        answer = sum(letter == x for letter in row)
        places = [str(i) for i, letter in enumerate(row, 1) if letter == x]
        reason = f"{x} stands at place {', '.join(places)}." if places else f"{x} does not stand in it."
        form = rng.choice(forms)
        text = form.format(x=x, s=" ".join(row))
        yield Draft(text, str(answer), near(rng, answer, spread=(1, 2, 3)), reason, f"{x} {''.join(row)}", form)


def solve_letter_count(question: str, lexicon: Lexicon) -> str:
    letter, row = re.search(r"(?:does|letter) (\w) (?:occur )?in ([\w ]+)", question).groups()
    return str(len(f" {row} ".split(f" {letter}")) - 1)


TASKS = (
    Task("addition", "math", addition, solve_addition, weight=0.7),
    Task("word_problem", "math", word_problem, solve_word_problem, weight=0.7),
    Task("largest", "math", largest, solve_largest, weight=1.5),
    Task("parity", "math", parity, solve_parity, weight=2),
    Task("common_divisor", "math", common_divisor, solve_common_divisor, weight=0.7),
    Task("sequence", "math", sequence, solve_sequence, weight=0.7),
    Task("letter_count", "math", letter_count, solve_letter_count, weight=0.7),
)
