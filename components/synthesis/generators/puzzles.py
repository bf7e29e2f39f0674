"""Small puzzles with one right answer: multiples, prime factors, order, bits, letters. Those of reasoning-gym's tasks
(Stojanovski et al. 2025, arXiv 2505.24760) that have one and that no other module asks, in our own wording and ranges."""

import re
from collections import Counter
from itertools import combinations, permutations, product
from math import lcm, prod

from components.synthesis.drafts import Draft
from components.synthesis.generators import Drafts, Draw, Lexicon, extract, numbers_in, pick_wrong, yes_no

PRIMES = (2, 3, 5, 7, 11, 13)


def common_multiple(draw: Draw) -> Drafts:
    """Least common multiple of two numbers up to 15."""
    for (a, b), form in draw.shuffled(product(product(range(2, 16), repeat=2), draw.forms)):
        if a == b:
            continue
        x = lcm(a, b)
        wrong = pick_wrong(x, (a * b, a + b, 2 * x, max(a, b), x + min(a, b), x - 1))
        reason = f"{a} x {x // a} = {x} and {b} x {x // b} = {x}, and no smaller number is in both rows."
        yield form.draft(x, wrong, reason, f"{min(a, b)} {max(a, b)}", a=a, b=b)


def solve_common_multiple(question: str, lexicon: Lexicon) -> str:
    a, b = numbers_in(question)
    reached = {"a": a, "b": b}  # both rows are walked until they meet
    while reached["a"] != reached["b"]:
        behind, step = ("a", a) if reached["a"] < reached["b"] else ("b", b)
        reached[behind] += step
    return str(reached["a"])


def prime_factors(draw: Draw) -> Drafts:
    """Numbers of two to four small prime factors."""
    bags = {tuple(sorted(bag)) for size in (2, 3, 4) for bag in product(PRIMES, repeat=size) if prod(bag) <= 200}
    for bag, form in draw.shuffled(product(sorted(bags), draw.forms)):
        n, right = prod(bag), " x ".join(map(str, bag))
        merged = sorted((bag[0] * bag[1], *bag[2:]))  # the same product, but not of primes
        changed = [sorted((*bag[:-1], prime)) for prime in PRIMES if prime != bag[-1]]
        wrong = [" x ".join(map(str, other)) for other in draw.sample(changed, 3)]
        wrong[0] = " x ".join(map(str, merged)) if len(merged) > 1 else f"1 x {n}"
        yield form.draft(right, wrong, f"{right} = {n}, and each of these numbers is prime.", str(n), n=n)


def solve_prime_factors(question: str, lexicon: Lexicon) -> str:
    (n,) = numbers_in(question)
    factors = []
    while n > 1:
        factors.append(next(d for d in range(2, n + 1) if n % d == 0))
        n //= factors[-1]
    return " x ".join(map(str, factors))


def number_order(draw: Draw) -> Draft:
    """Three numbers under 100 in rising or falling order."""
    values = draw.sample(range(100), 3)
    form = draw.choice(draw.forms)
    falls = form.kind == "falls"
    right = sorted(values, reverse=falls)
    orders = [", ".join(map(str, order)) for order in permutations(values) if list(order) != right]
    reason = f"The {'largest' if falls else 'smallest'} is {right[0]}, then comes {right[1]}, and {right[2]} is left."
    key = f"{falls} {' '.join(map(str, sorted(values)))}"
    listed = ", ".join(map(str, values))
    return form.draft(", ".join(map(str, right)), draw.sample(orders, 3), reason, key, l=listed)


def solve_number_order(question: str, lexicon: Lexicon) -> str:
    values = numbers_in(question)
    rank = {value: sum(other < value for other in values) for value in values}
    if "largest to" in question or "falling" in question:
        rank = {value: -place for value, place in rank.items()}
    return ", ".join(str(value) for value in sorted(values, key=rank.__getitem__))


BIT_MEANINGS = {
    "AND": "a bit that both have",
    "OR": "a bit that one of them has",
    "XOR": "a bit that just one of them has",
}


def bits(draw: Draw) -> Drafts:
    """AND, OR and XOR of numbers under 16."""
    for a, b, op, form in draw.shuffled(product(range(16), range(16), BIT_MEANINGS, draw.forms)):
        value = {"AND": a & b, "OR": a | b, "XOR": a ^ b}[op]
        reason = f"{a:04b} {op} {b:04b} keeps {BIT_MEANINGS[op]}: {value:04b}, which is {value}."
        wrong, key = draw.near(value, spread=(1, 2, 4, 8)), f"{op} {min(a, b)} {max(a, b)}"
        yield form.draft(value, wrong, reason, key, op, a=a, b=b, op=op)


def solve_bits(question: str, lexicon: Lexicon) -> str:
    a, b = numbers_in(question)
    votes = {"AND": (2,), "OR": (1, 2), "XOR": (1,)}[extract(r"\b(AND|X?OR)\b", question)]
    return str(sum(2**i for i in range(4) if (a // 2**i % 2) + (b // 2**i % 2) in votes))


def same_pattern(draw: Draw) -> Draft:
    """Isomorphic strings of three to five letters."""
    size, alphabet = draw.randint(3, 5), draw.lexicon["letters"]
    symbols = draw.sample(alphabet, size)
    first = [draw.choice(symbols[: size - 1]) for _ in range(size)]
    mapping = dict(zip(symbols, draw.sample(alphabet, size), strict=True))
    second = [mapping[letter] for letter in first]
    truth = draw.random() < 0.5
    while not truth and _is_a_code(first, second):  # a letter falls out of the pattern
        second[draw.randrange(size)] = draw.choice((*second, *alphabet))
    a, b = " ".join(first), " ".join(second)
    pairs = ", ".join(f"{x} to {y}" for x, y in dict.fromkeys(zip(first, second, strict=True)))
    reason = f"Letter by letter: {pairs}. {'No' if truth else 'A'} letter has two partners."
    return draw.ask(*yes_no(truth), reason, f"{a} / {b}", a=f'"{a}"', b=f'"{b}"')


def _is_a_code(first: list[str], second: list[str]) -> bool:
    pairs = set(zip(first, second, strict=True))
    return len(pairs) == len(set(first)) == len(set(second))


def solve_same_pattern(question: str, lexicon: Lexicon) -> str:
    a, b = (quoted.split() for quoted in re.findall(r'"([a-z ]+)"', question))
    places = combinations(range(len(a)), 2)
    return "yes" if all((a[i] == a[j]) == (b[i] == b[j]) for i, j in places) else "no"


def ransom_note(draw: Draw) -> Draft:
    """Whether a word can be laid with given letters, each used once."""
    words = {word for word in (*draw.lexicon["nouns"], *draw.lexicon["verbs"]) if 3 <= len(word) <= 5}
    word = draw.choice(sorted(words))
    pile = [*word, *draw.choices(draw.lexicon["letters"], k=2)]
    if draw.random() < 0.5:
        pile[draw.randrange(len(word))] = draw.choice(draw.lexicon["letters"])
    draw.shuffle(pile)
    missing = Counter(word) - Counter(pile)
    reason = f"Each letter of {word} is there."
    if missing:
        reason = f"There are not enough of the letter {next(iter(missing))}."
    key = f"{word} {''.join(sorted(pile))}"
    return draw.ask(*yes_no(not missing), reason, key, l=f'"{" ".join(pile)}"', w=f'"{word}"')


def solve_ransom_note(question: str, lexicon: Lexicon) -> str:
    pile, word = sorted(re.findall(r'"([a-z ]+)"', question), key=lambda quoted: " " not in quoted)
    letters = pile.split()
    for letter in word:
        if letter not in letters:
            return "no"
        letters.remove(letter)
    return "yes"
