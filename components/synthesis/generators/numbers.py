"""Arithmetic: small ranges that are gone through as a whole; the solvers count, sum or test instead of computing."""

from itertools import product
from math import gcd

from components.synthesis.drafts import Draft
from components.synthesis.generators import Drafts, Draw, Lexicon, extract, numbers_in, pick_wrong


def addition(draw: Draw) -> Drafts:
    """Sums of two numbers up to 40."""
    for a, b, form in draw.shuffled(product(range(41), range(41), draw.forms)):
        tens, ones = a // 10 * 10 + b // 10 * 10, a % 10 + b % 10
        reason = f"The tens give {tens}, the ones give {ones}, and {tens} + {ones} = {a + b}."
        if a < 10 and b < 10:
            reason = f"Count on from {max(a, b)} by {min(a, b)}: you reach {a + b}."
        yield form.draft(a + b, draw.near(a + b), reason, f"{min(a, b)} {max(a, b)}", a=a, b=b)


def solve_addition(question: str, lexicon: Lexicon) -> str:
    a, b = numbers_in(question)
    return str(len(range(a)) + len(range(a, a + b)) if b else len("|" * a))


def word_problem(draw: Draw) -> Draft:
    """One-step stories of gain, loss and change, numbers up to 20."""
    a, b = draw.randint(2, 20), draw.randint(1, 12)
    name, other = draw.sample(draw.lexicon["names"], 2)
    thing = draw.choice(("apples", "coins", "books", "eggs", "stamps", "marbles", "pears", "cards"))
    number = draw.randrange(len(draw.forms))
    text, sign = draw.forms[number]
    if sign == "-" and b > a:
        a, b = b, a
    answer = a + b if sign == "+" else a - b
    verb = "adds to" if sign == "+" else "takes away from"
    reason = f"The story {verb} the {a}: {a} {sign} {b} = {answer}."
    wrong = draw.near(answer, spread=(1, 2, 3, 4))
    story = text.format(n=name, o=other, t=thing, a=a, b=b)
    return Draft(story, str(answer), tuple(wrong), reason, f"{number} {a} {b}", f"story {number}")


def solve_word_problem(question: str, lexicon: Lexicon) -> str:
    numbers = numbers_in(question)
    pile = ["x"] * max(numbers)
    if "more" in question or "together" in question:
        pile += ["x"] * min(numbers)
    else:
        del pile[: min(numbers)]
    return str(len(pile))


def largest(draw: Draw) -> Draft:
    """The largest or smallest of three numbers under 100."""
    values = draw.sample(range(100), 3)
    word, answer = draw.choice((("largest", max(values)), ("smallest", min(values))))
    order = sorted(values)
    reason = f"In order they are {' < '.join(map(str, order))}."
    key = f"{word} {' '.join(map(str, order))}"
    listed = ", ".join(map(str, values))
    return draw.ask(answer, pick_wrong(answer, values), reason, key, "", word, w=word, l=listed)


def solve_largest(question: str, lexicon: Lexicon) -> str:
    best, *rest = numbers_in(question)
    for value in rest:
        if (value - best > 0) == ("largest" in question):
            best = value
    return str(best)


def parity(draw: Draw) -> Drafts:
    """Even or odd, numbers under 1000."""
    for n, form in draw.shuffled(product(range(1000), draw.forms)):
        answer, wrong = ("odd", "even") if n % 2 else ("even", "odd")
        yield form.draft(answer, (wrong,), f"The last digit, {n % 10}, is {answer}, so {n} is {answer}.", f"{n}", n=n)


def solve_parity(question: str, lexicon: Lexicon) -> str:
    (n,) = numbers_in(question)
    return "even" if n // 2 * 2 == n else "odd"


def common_divisor(draw: Draw) -> Drafts:
    """Greatest common divisor of two numbers up to 40, coprime pairs thinned out."""
    pairs = {(a, b): gcd(a, b) for a in range(2, 41) for b in range(2, 41)}
    coprime = [pair for pair, x in pairs.items() if x == 1]
    even = sum(x == 2 for x in pairs.values())
    for pair in draw.sample(coprime, len(coprime) - even):  # else "1" would be right more often than not
        del pairs[pair]
    for ((a, b), x), form in draw.shuffled(product(pairs.items(), draw.forms)):
        wrong = pick_wrong(x, [n for n in (*range(1, 11), 12, min(a, b)) if n <= min(a, b)], None)
        if len(wrong) < 3:
            wrong = pick_wrong(x, (*wrong, 3, 4, 5), None)
        reason = f"{a} = {x} x {a // x} and {b} = {x} x {b // x}, and {a // x} and {b // x} share no divisor but 1."
        yield form.draft(x, draw.sample(wrong, 3), reason, f"{min(a, b)} {max(a, b)}", a=a, b=b)


def solve_common_divisor(question: str, lexicon: Lexicon) -> str:
    a, b = numbers_in(question)
    return str(max(n for n in range(1, min(a, b) + 1) if a % n == 0 and b % n == 0))


def sequence(draw: Draw) -> Drafts:
    """Continue an arithmetic sequence of four numbers."""
    for start, step, form in draw.shuffled(product(range(60), (*range(-9, 0), *range(1, 11)), draw.forms)):
        *terms, answer = (start + step * i for i in range(5))
        if answer < 0:
            continue
        way = f"grows by {step}" if step > 0 else f"falls by {-step}"
        reason = f"Each number {way}, so after {terms[3]} comes {answer}."
        listed = ", ".join(map(str, terms))
        yield form.draft(answer, draw.near(answer, spread=(1, 2, 3, 5)), reason, f"{start} {step}", s=listed)


def solve_sequence(question: str, lexicon: Lexicon) -> str:
    terms = numbers_in(question)
    return str(2 * terms[-1] - terms[-2])  # a linear sequence has second differences of zero


def letter_count(draw: Draw) -> Draft:
    """How often a letter occurs in a row of letters."""
    x, y, z = draw.sample(draw.lexicon["letters"], 3)
    row = [draw.choice((x, x, y, z)) for _ in range(draw.randint(3, 7))]
    places = [str(i) for i, letter in enumerate(row, 1) if letter == x]
    reason = f"{x} is in place {', '.join(places)}." if places else f"{x} does not occur in it."
    form, answer = draw.choice(draw.forms), len(places)
    wrong = draw.near(answer, spread=(1, 2, 3))
    return form.draft(answer, wrong, reason, f"{x} {''.join(row)}", x=x, s=" ".join(row))


def solve_letter_count(question: str, lexicon: Lexicon) -> str:
    letter = extract(r"(?:does|letter) (\w) ", question)
    row = extract(r" in ([\w ]+)", question)
    return str(len(f" {row} ".split(f" {letter}")) - 1)
