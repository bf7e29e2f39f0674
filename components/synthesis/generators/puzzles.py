"""Small puzzles with one right answer: multiples, prime factors, order, bits, letters. Those of reasoning-gym's tasks
(Stojanovski et al. 2025, arXiv 2505.24760) that have one and that no other module asks, in our own wording and ranges."""

import re
from collections import Counter
from collections.abc import Iterator
from itertools import combinations, permutations, product
from math import lcm, prod
from random import Random

from components.synthesis.drafts import Draft
from components.synthesis.generators import Lexicon, Task, ask, near, numbers_in, shuffled, yes_no

PRIMES = (2, 3, 5, 7, 11, 13)

MULTIPLE_FORMS = (
    "What is the least common multiple of {a} and {b}?",
    "What is the smallest number that both {a} and {b} divide?",
    "Two lights flash every {a} and every {b} seconds, both now. After how many seconds do they next flash together?",
    "lcm({a}, {b}) =",
)


def common_multiple(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Least common multiple of two numbers up to 15."""
    for (a, b), form in shuffled(rng, product(product(range(2, 16), repeat=2), MULTIPLE_FORMS)):
        if a == b:
            continue
        x = lcm(a, b)
        wrong = [n for n in dict.fromkeys((a * b, a + b, 2 * x, max(a, b), x + min(a, b), x - 1)) if n != x][:3]
        reason = f"{a} x {x // a} = {x} and {b} x {x // b} = {x}, and no smaller number is in both rows."
        key = f"{min(a, b)} {max(a, b)}"
        yield Draft(form.format(a=a, b=b), str(x), tuple(map(str, wrong)), reason, key, form)


def solve_common_multiple(question: str, lexicon: Lexicon) -> str:
    a, b = numbers_in(question)
    reached = {"a": a, "b": b}  # both rows are walked until they meet
    while reached["a"] != reached["b"]:
        behind, step = ("a", a) if reached["a"] < reached["b"] else ("b", b)
        reached[behind] += step
    return str(reached["a"])


FACTOR_FORMS = (
    "Write {n} as a product of primes.",
    "What are the prime factors of {n}, smallest first?",
    "Which primes, multiplied, give {n}?",
)


def prime_factors(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Numbers of two to four small prime factors."""
    bags = {tuple(sorted(bag)) for size in (2, 3, 4) for bag in product(PRIMES, repeat=size) if prod(bag) <= 200}
    for bag, form in shuffled(rng, product(sorted(bags), FACTOR_FORMS)):
        n, right = prod(bag), " x ".join(map(str, bag))
        merged = sorted((bag[0] * bag[1], *bag[2:]))  # the same product, but not of primes
        changed = [sorted((*bag[:-1], prime)) for prime in PRIMES if prime != bag[-1]]
        wrong = [" x ".join(map(str, other)) for other in rng.sample(changed, 3)]
        wrong[0] = " x ".join(map(str, merged)) if len(merged) > 1 else f"1 x {n}"
        reason = f"{right} = {n}, and each of these numbers is prime."
        yield Draft(form.format(n=n), right, tuple(wrong), reason, str(n), form)


def solve_prime_factors(question: str, lexicon: Lexicon) -> str:
    (n,) = numbers_in(question)
    found = []
    while n > 1:
        found.append(next(d for d in range(2, n + 1) if n % d == 0))
        n //= found[-1]
    return " x ".join(map(str, found))


ORDER_FORMS = (
    "Sort {l} from smallest to largest.",
    "Sort {l} from largest to smallest.",
    "Put {l} in rising order.",
    "Put {l} in falling order.",
)


def number_order(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Three numbers under 100 in rising or falling order."""
    while True:
        values = rng.sample(range(100), 3)
        form = rng.choice(ORDER_FORMS)
        falls = form.endswith(("smallest.", "falling order."))
        right = sorted(values, reverse=falls)
        wrong = [", ".join(map(str, other)) for other in permutations(values) if list(other) != right]
        first = f"The {'largest' if falls else 'smallest'} is {right[0]}"
        reason = f"{first}, then comes {right[1]}, and {right[2]} is left."
        key = f"{falls} {' '.join(map(str, sorted(values)))}"
        listed = ", ".join(map(str, values))
        yield Draft(form.format(l=listed), ", ".join(map(str, right)), tuple(rng.sample(wrong, 3)), reason, key, form)


def solve_number_order(question: str, lexicon: Lexicon) -> str:
    values = numbers_in(question)
    rank = {value: sum(other < value for other in values) for value in values}
    if "largest to" in question or "falling" in question:
        rank = {value: -place for value, place in rank.items()}
    return ", ".join(str(value) for value in sorted(values, key=rank.__getitem__))


BIT_FORMS = (
    "What is {a} {op} {b} on the bits of both?",
    "Take {a} and {b} bit by bit with {op}. Which number comes out?",
    "Bitwise: {a} {op} {b} =",
)
BIT_MEANINGS = {
    "AND": "a bit that both have",
    "OR": "a bit that one of them has",
    "XOR": "a bit that just one of them has",
}


def bits(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """AND, OR and XOR of numbers under 16."""
    for a, b, op, form in shuffled(rng, product(range(16), range(16), BIT_MEANINGS, BIT_FORMS)):
        value = {"AND": a & b, "OR": a | b, "XOR": a ^ b}[op]
        reason = f"{a:04b} {op} {b:04b} keeps {BIT_MEANINGS[op]}: {value:04b}, which is {value}."
        wrong = near(rng, value, spread=(1, 2, 4, 8))
        key = f"{op} {min(a, b)} {max(a, b)}"
        yield Draft(form.format(a=a, b=b, op=op), str(value), wrong, reason, key, f"{form} [{op}]")


def solve_bits(question: str, lexicon: Lexicon) -> str:
    a, b = numbers_in(question)
    votes = {"AND": (2,), "OR": (1, 2), "XOR": (1,)}[re.search(r"\b(AND|X?OR)\b", question).group()]
    return str(sum(2**i for i in range(4) if (a // 2**i % 2) + (b // 2**i % 2) in votes))


CODE_FORMS = (
    "Each letter of {a} is swapped for another, equal letters alike and different ones not alike. Can that give {b}?",
    "Do {a} and {b} have the same pattern of letters?",
    "Is {b} the word {a} in a secret alphabet, one letter for each?",
)


def same_pattern(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Isomorphic strings of three to five letters."""
    while True:
        size = rng.randint(3, 5)
        symbols = rng.sample(lexicon["letters"], size)
        first = [rng.choice(symbols[: size - 1]) for _ in range(size)]
        mapping = dict(zip(symbols, rng.sample(lexicon["letters"], size), strict=True))
        second = [mapping[letter] for letter in first]
        truth = rng.random() < 0.5
        while not truth and _is_a_code(first, second):  # a letter falls out of the pattern
            second[rng.randrange(size)] = rng.choice((*second, *lexicon["letters"]))
        a, b = " ".join(first), " ".join(second)
        answer, wrong = yes_no(truth)
        pairs = ", ".join(f"{x} to {y}" for x, y in dict.fromkeys(zip(first, second, strict=True)))
        reason = f"Letter by letter: {pairs}. " + (
            "No letter has two partners." if truth else "A letter has two partners."
        )
        yield ask(rng, CODE_FORMS, answer, wrong, reason, f"{a} / {b}", a=f'"{a}"', b=f'"{b}"')


def _is_a_code(first: list[str], second: list[str]) -> bool:
    pairs = set(zip(first, second, strict=True))
    return len(pairs) == len(set(first)) == len(set(second))


def solve_same_pattern(question: str, lexicon: Lexicon) -> str:
    a, b = (found.split() for found in re.findall(r'"([a-z ]+)"', question))
    places = combinations(range(len(a)), 2)
    return "yes" if all((a[i] == a[j]) == (b[i] == b[j]) for i, j in places) else "no"


NOTE_FORMS = (
    "You have the letters {l}. Can you lay the word {w} with them?",
    "Is every letter of {w} among {l}, as often as it is needed?",
    "A note is to say {w}, cut from the letters {l}. Are there enough?",
)


def ransom_note(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Whether a word can be laid with given letters, each used once."""
    words = sorted({word for word in (*lexicon["nouns"], *lexicon["verbs"]) if 3 <= len(word) <= 5})
    while True:
        word = rng.choice(words)
        pile = [*word, *rng.choices(lexicon["letters"], k=2)]
        if rng.random() < 0.5:
            pile[rng.randrange(len(word))] = rng.choice(lexicon["letters"])
        rng.shuffle(pile)
        missing = Counter(word) - Counter(pile)
        answer, wrong = yes_no(not missing)
        letter = next(iter(missing), "")
        reason = f"There are not enough of the letter {letter}." if missing else f"Each letter of {word} is there."
        listed = " ".join(pile)
        yield ask(
            rng, NOTE_FORMS, answer, wrong, reason, f"{word} {''.join(sorted(pile))}", l=f'"{listed}"', w=f'"{word}"'
        )


def solve_ransom_note(question: str, lexicon: Lexicon) -> str:
    pile, word = sorted(re.findall(r'"([a-z ]+)"', question), key=lambda found: " " not in found)
    letters = pile.split()
    for letter in word:
        if letter not in letters:
            return "no"
        letters.remove(letter)
    return "yes"


TASKS = (
    Task("common_multiple", "math", common_multiple, solve_common_multiple, weight=0.3),
    Task("prime_factors", "math", prime_factors, solve_prime_factors, weight=0.3),
    Task("number_order", "math", number_order, solve_number_order, weight=0.4),
    Task("bits", "math", bits, solve_bits, weight=0.3),
    Task("same_pattern", "reasoning", same_pattern, solve_same_pattern, weight=0.3),
    Task("ransom_note", "language", ransom_note, solve_ransom_note, weight=0.3),
)
