"""Python expressions, and what finds the program in a question. The generator works out the value by hand; the verification really evaluates the expression.

Expressions are built from this file's allow-list of operations on small literals, nothing else, and are evaluated in a
separate process with limits (components.synthesis.execution).
"""

from collections.abc import Iterable
from string import ascii_lowercase, ascii_uppercase

from components.synthesis.drafts import Draft
from components.synthesis.generators import Draw, Lexicon, extract, pick_wrong


def expression_of(question: str, lexicon: Lexicon) -> str:
    """The expression that a question asks about, and nothing of its wording."""
    return extract(
        r"^(?:What is the value of (.+)\?|What does Python give for (.+)\?|Evaluate (.+)\.|>>> (.+))$", question
    )


def program_of(question: str, lexicon: Lexicon) -> str:
    """The statements that a question shows, and the name that it asks for."""
    statements = extract(
        r"^(?:After (.+), what is|Run (.+)\. What is the value of|(.+) has run\. What does) \w+", question
    )
    name = extract(r" (\w+)(?: then| hold)?\?$", question)
    return f"{statements}\n{name}"


def failing_of(question: str, lexicon: Lexicon) -> str:
    """A program whose value is the name of the exception that the expression raises."""
    expression = extract(
        r"^(?:Which exception does (.+) raise\?|(.+) fails\. Which|Python stops at (.+)\. What is)", question
    )
    return f"name = 'none'\ntry:\n    {expression}\nexcept Exception as error:\n    name = type(error).__name__\nname"


def _draft(draw: Draw, shape: object, answer: object, wrong: Iterable[str], reason: str, **slots: str) -> Draft:
    """A draft about a program; `shape` says what the program is like, and is part of the template."""
    others = pick_wrong(str(answer), wrong, None)
    distractors = draw.sample(others, min(3, len(others)))
    return draw.ask(answer, distractors, reason, " ".join(slots.values()), "", str(shape), **slots)


def _ascending(values: list[int]) -> list[int]:
    """Insertion sort: the generator must not ask the function that it teaches."""
    ordered: list[int] = []
    for value in values:
        place = sum(1 for other in ordered if other <= value)
        ordered = [*ordered[:place], value, *ordered[place:]]
    return ordered


def code_lists(draw: Draw) -> Draft:
    """Length, items, slices, minimum, maximum, sorting and counting of short lists."""
    values = [draw.randint(0, 9) for _ in range(draw.randint(3, 5))]
    ordered, n = _ascending(values), len(values)
    i = draw.randrange(n)
    cut = draw.randint(1, n - 1)
    numbers = list(map(str, range(10)))
    items = [*map(str, values), *numbers]
    swapped = [str(row) for row in (values[1:] + values[:1], ordered, ordered[::-1], values)]
    total = 0
    for value in values:
        total += value
    kind = draw.randrange(9)
    expression, answer, wrong, reason = (
        (f"len({values})", n, numbers[1:8], f"The list has {n} items."),
        (f"{values}[{i}]", values[i], items, f"Counting from 0, item {i} is {values[i]}."),
        (f"{values}[-1]", values[n - 1], items, "Index -1 is the last item."),
        (f"max({values})", ordered[n - 1], items, "max gives the largest item."),
        (f"min({values})", ordered[0], items, "min gives the smallest item."),
        (f"sum({values})", total, draw.near(total, spread=(1, 2, 3)), f"The items add up to {total}."),
        (f"sorted({values})", ordered, swapped, "sorted puts the items in rising order."),
        (
            f"{values}[:{cut}]",
            values[:cut],
            [str(values[:k]) for k in range(n + 1)],
            f"It takes the items before index {cut}.",
        ),
        (f"{values}[::-1]", [values[n - 1 - k] for k in range(n)], swapped, "A step of -1 reverses the list."),
    )[kind]
    return _draft(draw, kind, answer, wrong, reason, e=expression)


def code_strings(draw: Draw) -> Draft | None:
    """Length, case, items, repetition, search and tests of short words."""
    capitals = dict(zip(ascii_lowercase, ascii_uppercase, strict=True))
    words = [w for w in (*draw.lexicon["nouns"], *draw.lexicon["verbs"]) if 3 <= len(w) <= 6]
    word, other = draw.sample(words, 2)
    upper = "".join(capitals[c] for c in word)
    first_upper = capitals[word[0]] + word[1:]
    i = draw.randrange(len(word))
    letter = draw.choice((word[i], draw.choice(ascii_lowercase)))
    count = sum(c == letter for c in word)
    k = draw.choice((2, 3))
    start = draw.choice((word[:2], other[:2]))
    numbers = list(map(str, range(1, 9)))
    quoted = [repr(c) for c in dict.fromkeys(word + other)]
    cases = [repr(w) for w in (word, upper, first_upper, word + word)]
    backward = "".join(word[len(word) - 1 - j] for j in range(len(word)))
    turned = [repr(w) for w in (word, backward[1:] + backward[0], upper, word[1:] + word[0])]
    at = next((j for j, c in enumerate(word) if c == letter), -1)
    where = f"The first {letter} is at index {at}." if at >= 0 else "find gives -1 if there is none."
    often = f"The letter {letter} occurs {count} time{'s' * (count != 1)} in {word}."
    kind = draw.randrange(10)
    expression, answer, wrong, reason = (
        (f"len('{word}')", len(word), numbers, f"The word {word} has {len(word)} letters."),
        (f"'{word}'.upper()", repr(upper), cases, "upper makes every letter a capital."),
        (f"'{word}'.capitalize()", repr(first_upper), cases, "capitalize makes the first letter a capital."),
        (f"'{word}'[{i}]", repr(word[i]), quoted, f"Counting from 0, letter {i} is {word[i]}."),
        (f"'{word}' * {k}", repr("".join([word] * k)), [repr(word * j) for j in (1, 2, 3, 4)], f"It repeats the word {k} times."),
        (f"'{letter}' in '{word}'", count > 0, ["True", "False"], often),
        (f"'{word}'.count('{letter}')", count, ["0", "1", "2", "3"], often),
        (f"'{word}'.startswith('{start}')", word[:2] == start, ["True", "False"], f"{word} begins with {word[:2]}."),
        (f"'{word}'[::-1]", repr(backward), turned, "A step of -1 reverses the word."),
        (f"'{word}'.find('{letter}')", at, ["-1", "0", "1", "2", "3", "4"], where),
    )[kind]  # fmt: skip
    if word.startswith(other):  # some reasons would be odd
        return None
    return _draft(draw, kind, answer, wrong, reason, e=expression)


def code_numbers(draw: Draw) -> Draft:
    """Integer division, remainder, powers, absolute values, rounding and ranges."""
    a, b, c = draw.randint(0, 30), draw.randint(2, 9), draw.randint(-20, 20)
    quotient = 0
    while (quotient + 1) * b <= a:
        quotient += 1
    rest = a - quotient * b
    low, high = sorted((draw.randint(0, 9), draw.randint(0, 9)))
    listed = [n for n in range(30) if low <= n < high]
    kind = draw.randrange(7)
    expression, value, reason = (
        (
            f"{a} // {b}",
            quotient,
            f"{a} = {quotient} x {b} + {rest}, so {b} goes into {a} {quotient} time{'s' * (quotient != 1)}.",
        ),
        (f"{a} % {b}", rest, f"{a} = {quotient} x {b} + {rest}."),
        (f"abs({c})", c if c >= 0 else -c, "abs drops the sign."),
        (f"{b} ** 2", sum([b] * b), f"The power is {b} x {b}."),
        (f"max({a}, {b})", a if a > b else b, "max gives the larger one."),
        (f"min({a}, {b})", b if a > b else a, "min gives the smaller one."),
        (f"list(range({low}, {high}))", listed, f"range counts from {low} and stops before {high}."),
    )[kind]
    if isinstance(value, int):
        wrong = [*draw.near(value, spread=(1, 2, 3)), *([str(c)] if kind == 2 else [])]
    else:
        ends = ((low, high + 1), (low + 1, high), (low + 1, high + 1), (0, high))
        wrong = [str(list(range(first, last))) for first, last in ends]
    return _draft(draw, kind, value, wrong, reason, e=expression)


def code_conditions(draw: Draw) -> Draft:
    """Comparisons joined by and, or, not; membership; conditional expressions."""
    a, b, c, d = (draw.randint(0, 20) for _ in range(4))
    x, y = draw.sample(draw.lexicon["nouns"], 2)
    listed = [draw.randint(0, 9) for _ in range(4)]
    item = draw.choice((listed[0], draw.randint(0, 9)))
    kind = draw.randrange(6)
    less, same, member = b - a > 0, a == b, any(item == v for v in listed)
    expression, truth, reason = (
        (f"{a} < {b}", less, f"{a} is {'' if less else 'not '}less than {b}."),
        (f"{a} < {b} and {c} < {d}", less and d - c > 0, "and needs both sides to hold."),
        (f"{a} < {b} or {c} < {d}", less or d - c > 0, "or needs one side to hold."),
        (f"not {a} == {b}", not same, f"{a} and {b} are {'equal' if same else 'different'}."),
        (f"{item} in {listed}", member, f"{item} is {'' if member else 'not '}in the list."),
        (f"'{x}' if {a} > {b} else '{y}'", a - b > 0, f"{a} > {b} is {a - b > 0}."),
    )[kind]
    yes, no = (repr(x), repr(y)) if kind == 5 else ("True", "False")
    return _draft(draw, kind, yes if truth else no, [no if truth else yes], reason, e=expression)
