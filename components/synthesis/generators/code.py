"""Python expressions. The generator works out the value by hand; the verification really evaluates the expression.

Expressions are built from this file's allow-list of operations on small literals, nothing else, and are evaluated in a
separate process with limits (components.synthesis.execution).
"""

import re
from collections.abc import Iterator
from random import Random

from components.synthesis.drafts import Draft
from components.synthesis.generators import Lexicon, Task, near

FORMS = ("What is the value of {e}?", "What does Python give for {e}?", "Evaluate {e}.", ">>> {e}")
_EXPRESSION = re.compile(r"^(?:What is the value of (.+)\?|What does Python give for (.+)\?|Evaluate (.+)\.|>>> (.+))$")


def expression_of(question: str, lexicon: Lexicon) -> str:
    """The expression that a question asks about, and nothing of its wording."""
    return next(filter(None, _EXPRESSION.match(question).groups()))


def _draft(rng: Random, expression: str, answer: str, wrong: list[str], reason: str, kind: int) -> Draft:
    distinct = [w for w in dict.fromkeys(wrong) if w != answer]
    distractors = tuple(rng.sample(distinct, min(3, len(distinct))))
    form = rng.choice(FORMS)
    return Draft(form.format(e=expression), answer, distractors, reason, expression, f"{form} [{kind}]")


def _show(values: list[int]) -> str:
    return "[" + ", ".join(map(str, values)) + "]"


def _ascending(values: list[int]) -> list[int]:
    """Insertion sort: the generator must not ask the function that it teaches."""
    ordered: list[int] = []
    for value in values:
        place = sum(1 for other in ordered if other <= value)
        ordered = [*ordered[:place], value, *ordered[place:]]
    return ordered


def code_lists(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Length, items, slices, minimum, maximum, sorting and counting of short lists."""
    while True:
        values = [rng.randint(0, 9) for _ in range(rng.randint(3, 5))]
        shown, ordered, n = _show(values), _ascending(values), len(values)
        i = rng.randrange(n)
        cut = rng.randint(1, n - 1)
        numbers = list(map(str, range(10)))
        swapped = [_show(values[1:] + values[:1]), _show(ordered), _show(ordered[::-1]), _show(values)]
        total = 0
        for value in values:
            total += value
        kind = rng.randrange(9)
        expression, answer, wrong, reason = (
            (f"len({shown})", str(n), numbers[1:8], f"The list has {n} items."),
            (f"{shown}[{i}]", str(values[i]), list(map(str, values)) + numbers, f"Counting from 0, item {i} is {values[i]}."),
            (f"{shown}[-1]", str(values[n - 1]), list(map(str, values)) + numbers, "Index -1 is the last item."),
            (f"max({shown})", str(ordered[n - 1]), list(map(str, values)) + numbers, "max gives the largest item."),
            (f"min({shown})", str(ordered[0]), list(map(str, values)) + numbers, "min gives the smallest item."),
            (f"sum({shown})", str(total), list(near(rng, total, spread=(1, 2, 3))), f"The items add up to {total}."),
            (f"sorted({shown})", _show(ordered), swapped, "sorted puts the items in rising order."),
            (f"{shown}[:{cut}]", _show(values[:cut]), [_show(values[:k]) for k in range(n + 1)], f"It takes the first {cut}."),
            (f"{shown}[::-1]", _show([values[n - 1 - k] for k in range(n)]), swapped, "A step of -1 reverses the list."),
        )[kind]  # fmt: skip
        yield _draft(rng, expression, answer, wrong, reason, kind)


def code_strings(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Length, case, items, repetition, search and tests of short words."""
    words = [w for w in (*lexicon["nouns"], *lexicon["verbs"]) if 3 <= len(w) <= 6]
    letters = "abcdefghijklmnopqrstuvwxyz"
    capitals = dict(zip(letters, "ABCDEFGHIJKLMNOPQRSTUVWXYZ", strict=True))
    while True:
        word, other = rng.sample(words, 2)
        upper = "".join(capitals[c] for c in word)
        first_upper = capitals[word[0]] + word[1:]
        i = rng.randrange(len(word))
        letter = rng.choice((word[i], rng.choice(letters)))
        count = sum(c == letter for c in word)
        k = rng.choice((2, 3))
        begins = word[: len(other)] == other
        start = rng.choice((word[:2], other[:2]))
        numbers = list(map(str, range(1, 9)))
        quoted = [repr(c) for c in {**dict.fromkeys(word), **dict.fromkeys(other)}]
        cases = [repr(w) for w in (word, upper, first_upper, word + word)]
        backward = "".join(word[len(word) - 1 - j] for j in range(len(word)))
        at = next((j for j, c in enumerate(word) if c == letter), -1)
        kind = rng.randrange(10)
        expression, answer, wrong, reason = (
            (f"len('{word}')", str(len(word)), numbers, f"The word {word} has {len(word)} letters."),
            (f"'{word}'.upper()", repr(upper), cases, "upper makes every letter a capital."),
            (f"'{word}'.capitalize()", repr(first_upper), cases, "capitalize makes the first letter a capital."),
            (f"'{word}'[{i}]", repr(word[i]), quoted, f"Counting from 0, letter {i} is {word[i]}."),
            (f"'{word}' * {k}", repr("".join([word] * k)), [repr(word * j) for j in (1, 2, 3, 4)], f"It repeats the word {k} times."),
            (f"'{letter}' in '{word}'", str(count > 0), ["True", "False"], f"{letter} stands {count} times in {word}."),
            (f"'{word}'.count('{letter}')", str(count), ["0", "1", "2", "3"], f"{letter} stands {count} times in {word}."),
            (f"'{word}'.startswith('{start}')", str(word[:2] == start), ["True", "False"], f"{word} begins with {word[:2]}."),
            (f"'{word}'[::-1]", repr(backward), [repr(w) for w in (word, backward[1:] + backward[0], upper, word[1:] + word[0])], "A step of -1 reverses the word."),
            (f"'{word}'.find('{letter}')", str(at), ["-1", "0", "1", "2", "3", "4"], f"The first {letter} is at {at}." if at >= 0 else "find gives -1 for what is not there."),
        )[kind]  # fmt: skip
        if not begins:  # a word that begins with another would make some reasons odd
            yield _draft(rng, expression, answer, wrong, reason, kind)


def code_numbers(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Integer division, remainder, powers, absolute values, rounding and ranges."""
    while True:
        a, b, c = rng.randint(0, 30), rng.randint(2, 9), rng.randint(-20, 20)
        quotient = 0
        while (quotient + 1) * b <= a:
            quotient += 1
        rest = a - quotient * b
        low, high = sorted((rng.randint(0, 9), rng.randint(0, 9)))
        listed = _show([n for n in range(30) if low <= n < high])
        kind = rng.randrange(7)
        expression, value, reason = (
            (f"{a} // {b}", quotient, f"{b} fits {quotient} times into {a}."),
            (f"{a} % {b}", rest, f"{a} = {quotient} x {b} + {rest}."),
            (f"abs({c})", c if c >= 0 else -c, "abs drops the sign."),
            (f"{b} ** 2", sum([b] * b), f"{b} times {b}."),
            (f"max({a}, {b})", a if a > b else b, "max gives the larger one."),
            (f"min({a}, {b})", b if a > b else a, "min gives the smaller one."),
            (f"list(range({low}, {high}))", 0, f"range counts from {low} and stops before {high}."),
        )[kind]
        if kind == 6:
            wrong = [
                _show(list(range(x, y))) for x, y in ((low, high + 1), (low + 1, high), (low + 1, high + 1), (0, high))
            ]
            yield _draft(rng, expression, listed, wrong, reason, kind)
        else:
            wrong = list(near(rng, value, spread=(1, 2, 3))) + ([str(c)] if kind == 2 else [])
            yield _draft(rng, expression, str(value), wrong, reason, kind)


def code_conditions(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Comparisons joined by and, or, not; membership; conditional expressions."""
    while True:
        a, b, c, d = (rng.randint(0, 20) for _ in range(4))
        x, y = rng.sample(lexicon["nouns"], 2)
        listed = [rng.randint(0, 9) for _ in range(4)]
        item = rng.choice((listed[0], rng.randint(0, 9)))
        kind = rng.randrange(6)
        less, same, member = b - a > 0, a == b, any(item == v for v in listed)
        expression, truth, reason = (
            (f"{a} < {b}", less, f"{a} is {'' if less else 'not '}less than {b}."),
            (f"{a} < {b} and {c} < {d}", less and d - c > 0, "and needs both sides to hold."),
            (f"{a} < {b} or {c} < {d}", less or d - c > 0, "or needs one side to hold."),
            (f"not {a} == {b}", not same, f"{a} and {b} are {'equal' if same else 'different'}."),
            (f"{item} in {_show(listed)}", member, f"{item} is {'' if member else 'not '}in the list."),
            (f"'{x}' if {a} > {b} else '{y}'", a - b > 0, f"{a} > {b} is {a - b > 0}."),
        )[kind]
        if kind == 5:
            answer, wrong = (repr(x), repr(y)) if truth else (repr(y), repr(x))
        else:
            answer, wrong = str(bool(truth)), str(not truth)
        yield _draft(rng, expression, answer, [wrong], reason, kind)


TASKS = (
    Task("code_lists", "code", code_lists, expression_of, executed=True, weight=0.7),
    Task("code_strings", "code", code_strings, expression_of, executed=True, weight=0.7),
    Task("code_numbers", "code", code_numbers, expression_of, executed=True, weight=0.7),
    Task("code_conditions", "code", code_conditions, expression_of, executed=True, weight=1.5),
)
