"""Small Python programs: dictionaries, sets, loops, functions, comprehensions, text, types, errors.

As in `code`, the generator works the value out by hand and the verification really runs the program, one line of
statements whose last one is an expression. Programs are built from this file's operations on small literals, nothing
else.
"""

import re
from collections.abc import Iterable

from components.synthesis.drafts import Draft
from components.synthesis.generators import Draw, pick_wrong


def _draft(draw: Draw, kind: str, answer: object, wrong: Iterable[str], reason: str, **slots: str) -> Draft:
    form, others = draw.choice(draw.forms), pick_wrong(str(answer), wrong, None)
    distractors = draw.sample(others, min(3, len(others)))
    return form.draft(answer, distractors, reason, " ".join(slots.values()), kind, **slots)


def code_dicts(draw: Draw) -> Draft:
    """Look-up, length, membership, keys and values of dictionaries."""
    words = [word for word in draw.lexicon["nouns"] if len(word) <= 5]
    keys, values = draw.sample(words, 3), [draw.randint(1, 9) for _ in range(3)]
    table = dict(zip(keys, values, strict=True))
    shown = "{" + ", ".join(f"'{key}': {value}" for key, value in table.items()) + "}"
    key, other = draw.choice(keys), draw.choice([word for word in words if word not in keys])
    low = min(keys)
    asked = draw.choice((key, other))
    numbers = [str(n) for n in range(1, 12)]
    total, largest = 0, 0
    for value in values:
        total, largest = total + value, value if value > largest else largest
    kind, expression, answer, wrong, reason = draw.choice((
        ("item", f"{shown}['{key}']", str(table[key]), numbers, f"The value of '{key}' is {table[key]}."),
        ("len", f"len({shown})", "3", numbers[:6], "It has three pairs."),
        ("get", f"{shown}.get('{asked}', 0)", str(table.get(asked, 0)), ["0", *numbers], "get gives the value, or 0 here if the key is missing."),
        ("in", f"'{asked}' in {shown}", str(asked in keys), ["True", "False"], "in looks at the keys."),
        ("sum", f"sum({shown}.values())", str(total), draw.near(total, spread=(1, 2, 3)), f"The values add up to {total}."),
        ("max", f"max({shown}.values())", str(largest), numbers, f"The largest value is {largest}."),
        ("min key", f"min({shown})", repr(low), [repr(k) for k in keys], "min looks at the keys and takes the first in alphabetical order."),
        ("list", f"list({shown})", "[" + ", ".join(map(repr, keys)) + "]", [str(values), "[" + ", ".join(map(repr, keys[::-1])) + "]", str(keys[:2])], "list gives the keys in order."),
    ))  # fmt: skip
    return _draft(draw, kind, answer, wrong, reason, e=expression)


def code_sets(draw: Draw) -> Draft:
    """Sets: what is in both, in one of them, and how many different ones."""
    a, b = ([draw.randint(0, 9) for _ in range(draw.randint(3, 4))] for _ in range(2))
    common, union, only = ([n for n in range(10) if test(n in a, n in b)] for test in (_and, _or, _less))
    row = [draw.randint(0, 5) for _ in range(5)]
    different = len([n for n in range(6) if any(n == m for m in row)])
    sa, sb = ("{" + ", ".join(str(n) for n in range(10) if n in side) + "}" for side in (a, b))
    lists = [str(n) for n in (common, union, only, sorted({*b} - {*a}), sorted({*a}), [])]
    kind, expression, answer, wrong, reason = draw.choice((
        ("and", f"sorted({sa} & {sb})", str(common), lists, "& keeps what is in both."),
        ("or", f"sorted({sa} | {sb})", str(union), lists, "| takes what is in at least one of them."),
        ("minus", f"sorted({sa} - {sb})", str(only), lists, "- removes what is in the second."),
        ("len", f"len(set({row}))", str(different), draw.near(different, low=1, spread=(1, 2, 3)), "A set holds each value once."),
        ("in", f"{row[0]} in {sa}", str(row[0] in a), ["True", "False"], f"{row[0]} is {'' if row[0] in a else 'not '}in the set."),
        ("subset", f"{sa} <= {sb}", str(all(n in b for n in a)), ["True", "False"], "<= asks whether every item of the first is in the second."),
    ))  # fmt: skip
    return _draft(draw, kind, answer, wrong, reason, e=expression)


def _and(x: bool, y: bool) -> bool:
    return x and y


def _or(x: bool, y: bool) -> bool:
    return x or y


def _less(x: bool, y: bool) -> bool:
    return x and not y


def code_assignments(draw: Draw) -> Draft:
    """What a name holds after some assignments; what one list does under two names."""
    a, b, c = draw.randint(1, 12), draw.randint(1, 9), draw.randint(2, 5)
    row = [draw.randint(0, 9) for _ in range(3)]
    x, y = draw.sample(("x", "y", "n", "a", "b", "k"), 2)
    kind, program, value, reason = draw.choice((
        ("plus", f"{x} = {a}; {x} += {b}", a + b, f"{b} is added to {a}."),
        ("minus times", f"{x} = {a}; {x} -= {b}; {x} *= {c}", (a - b) * c, f"{a} - {b} = {a - b}, times {c} is {(a - b) * c}."),
        ("copy", f"{x} = {a}; {y} = {x}; {y} += {b}", a, f"{y} changes, {x} stays {a}."),
        ("swap", f"{x}, {y} = {a}, {b}; {x}, {y} = {y}, {x}", b, "The two values change places."),
        ("append", f"{x} = {row}; {x}.append({a})", [*row, a], f"append puts {a} at the end."),
        ("alias", f"{x} = {row}; {y} = {x}; {y}.append({a})", [*row, a], "Both names refer to one list."),
        ("slice copy", f"{x} = {row}; {y} = {x}[:]; {y}.append({a})", row, f"{y} is a copy, so {x} stays as it was."),
        ("item", f"{x} = {row}; {x}[0] = {a}", [a, *row[1:]], f"Item 0 becomes {a}."),
        ("pop", f"{x} = {row}; {x}.pop()", row[:2], "pop takes the last item away."),
        ("insert", f"{x} = {row}; {x}.insert(0, {a})", [a, *row], f"insert puts {a} before the others."),
    ))  # fmt: skip
    if isinstance(value, int):
        wrong = [*draw.near(value, low=-60, spread=(1, 2, 3)), str(a), str(b), str(a + b)]
    else:
        wrong = [str(v) for v in (row, [*row, a], [a, *row], row[:2], [a, *row[1:]], row[1:])]
    return _draft(draw, kind, str(value), wrong, reason, e=program, x=x)


def code_loops(draw: Draw) -> Draft:
    """Comprehensions: what a loop over a list or a range comes to."""
    row, k = [draw.randint(0, 9) for _ in range(4)], draw.randint(2, 5)
    low, high = sorted(draw.sample(range(1, 8), 2))
    doubled, large, even, steps, ones = [], [], [], 0, []
    for n in row:
        doubled.append(n * k)
        large += [n] if n > k else []
        even += [n] if n % 2 == 0 else []
    for n in range(low, high + 1):
        steps += n
        ones.append(n * n)
    lists = [str(v) for v in (doubled, large, even, row, row[::-1], ones, ones[:-1], [n + k for n in row])]
    kind, expression, answer, reason = draw.choice((
        ("times", f"[n * {k} for n in {row}]", doubled, f"Each item is multiplied by {k}."),
        ("plus", f"[n + {k} for n in {row}]", [n + k for n in row], f"{k} is added to each item."),
        ("if larger", f"[n for n in {row} if n > {k}]", large, f"Only items over {k} are kept."),
        ("if even", f"[n for n in {row} if n % 2 == 0]", even, "Only even items are kept."),
        ("squares", f"[n * n for n in range({low}, {high + 1})]", ones, f"n goes from {low} to {high}."),
        ("sum range", f"sum(range({low}, {high + 1}))", steps, f"The numbers from {low} to {high} are added."),
        ("count", f"sum(1 for n in {row} if n > {k})", len(large), f"It counts the items over {k}."),
        ("any", f"any(n > {k} for n in {row})", bool(large), f"It asks whether any item is over {k}."),
        ("all", f"all(n > {k} for n in {row})", len(large) == 4, f"It asks whether every item is over {k}."),
    ))  # fmt: skip
    if isinstance(answer, bool):
        wrong = ["True", "False"]
    else:
        wrong = lists if isinstance(answer, list) else draw.near(answer, spread=(1, 2, 3))
    return _draft(draw, kind, str(answer), wrong, reason, e=expression)


def code_functions(draw: Draw) -> Draft:
    """Small functions, their defaults, and functions that are handed over."""
    a, b, c = draw.randint(1, 12), draw.randint(1, 12), draw.randint(1, 6)
    words = draw.sample([word for word in draw.lexicon["nouns"] if len(word) <= 6], 3)
    longest, shortest = words[0], words[0]
    for word in words:
        longest = word if len(word) > len(longest) else longest
        shortest = word if len(word) < len(shortest) else shortest
    kind, expression, answer, reason = draw.choice((
        ("times minus", f"(lambda x, y: x * y - {c})({a}, {b})", a * b - c, f"{a} x {b} - {c}."),
        ("plus", f"(lambda x: x + {c})({a})", a + c, f"x is {a}."),
        ("default", f"(lambda x, y={c}: x + y)({a})", a + c, f"y is left out, so it is {c}."),
        ("given", f"(lambda x, y={c}: x - y)({a}, {b})", a - b, f"y is given as {b}."),
        ("twice", f"(lambda f, x: f(f(x)))(lambda n: n + {c}, {a})", a + 2 * c, f"{c} is added twice."),
        ("condition", f"(lambda x: 'big' if x > {c} else 'small')({a})", "'big'" if a > c else "'small'", f"x is {a}."),
        ("key max", f"max({words}, key=len)", repr(longest), "It takes the longest word, the first if several are equal."),
        ("key min", f"min({words}, key=len)", repr(shortest), "It takes the shortest word, the first if several are equal."),
        ("map", f"list(map(len, {words}))", str([len(word) for word in words]), "len is applied to each word."),
    ))  # fmt: skip
    if isinstance(answer, int):
        wrong = draw.near(answer, low=-30, spread=(1, 2, c, 5) if c > 2 else (1, 2, 3))
    elif kind == "map":
        lengths = [len(word) for word in words]
        wrong = [str([n + 1 for n in lengths]), str(lengths[::-1]), str(words), str(lengths[:2])]
    else:
        wrong = ["'big'", "'small'"] if kind == "condition" else [repr(word) for word in words]
    return _draft(draw, kind, str(answer), wrong, reason, e=expression)


def code_text(draw: Draw) -> Draft:
    """Splitting, joining, replacing and formatting."""
    nouns = [word for word in draw.lexicon["nouns"] if len(word) <= 5]
    words, n = draw.sample(nouns, 3), draw.randint(1, 99)
    line, sign = " ".join(words), draw.choice("-+_/.")
    old = draw.choice(words[0])
    new = draw.choice([letter for letter in "xqz" if letter != old])
    first, last = words[0], words[2]
    joined = words[0] + sign + words[1] + sign + words[2]
    changed = "".join(new if letter == old else letter for letter in first)
    listed = "[" + ", ".join(f"'{word}'" for word in words) + "]"
    strings = [repr(v) for v in (joined, line, first, last, changed, first + last, first[1:], first[:-1], first * 2)]
    kind, expression, answer, reason = draw.choice((
        ("split", f"'{line}'.split()", listed, "split cuts at the spaces."),
        ("join", f"'{sign}'.join({listed})", repr(joined), f"join puts {sign} between the words."),
        ("replace", f"'{first}'.replace('{old}', '{new}')", repr(changed), f"Each {old} becomes {new}."),
        ("plus", f"'{first}' + '{last}'", repr(first + last), "The strings are joined."),
        ("f-string", f"f'{first} {{{n} + 1}}'", repr(f"{first} {n + 1}"), f"In the braces, {n} + 1 is computed."),
        ("slice", f"'{first}'[1:]", repr(first[1:]), "It leaves the first letter out."),
        ("end slice", f"'{first}'[:-1]", repr(first[:-1]), "It leaves the last letter out."),
        ("strip", f"'  {first} '.strip()", repr(first), "strip removes the spaces at both ends."),
        ("str", f"str({n}) + '1'", repr(f"{n}1"), "The number becomes a string, and the strings are joined."),
        ("len split", f"len('{line}'.split())", "3", "There are three words."),
    ))  # fmt: skip
    wrong = strings
    if kind == "split":
        wrong = [f"['{line}']", "[" + ", ".join(f"'{word}'" for word in words[::-1]) + "]", str(words[:2])]
    elif kind in ("str", "f-string"):
        wrong = [repr(f"{n + 1}"), repr(f"{n}1"), repr(f"{first} {n}"), repr(f"{first} {n + 1}"), str(n + 1)]
    elif kind == "len split":
        wrong = [str(len(line)), "2", "4", "1"]
    return _draft(draw, kind, answer, wrong, reason, e=expression)


def code_types(draw: Draw) -> Draft | None:
    """Types of values, conversions and truth."""
    n, m = draw.randint(1, 40), draw.randint(2, 9)
    word = draw.choice([word for word in draw.lexicon["nouns"] if len(word) <= 6])
    literal, name = draw.choice((
        (f"{n}", "int"), (f"{n}.{m}", "float"), (f"'{word}'", "str"), (f"'{n}'", "str"), (f"[{n}, {m}]", "list"),
        (f"({n}, {m})", "tuple"), (f"{{'{word}': {n}}}", "dict"), (f"{{{n}, {m}}}", "set"), (f"{n} > {m}", "bool"),
        ("None", "NoneType"), (f"{n} / {m}", "float"), (f"{n} // {m}", "int"), (f"len('{word}')", "int"),
    ))  # fmt: skip
    empty = draw.choice(("''", "[]", "0", "{}", "None", "0.0", f"'{word}'", f"[{n}]", f"{n}", f"({m},)"))
    names = ["int", "float", "str", "list", "tuple", "dict", "set", "bool"]
    other = draw.choice((name, draw.choice(names)))
    truth = empty[0] not in "0[{'N" or empty in (f"'{word}'", f"[{n}]")
    same = other == name or (name, other) == ("bool", "int")
    kind, expression, answer, wrong, reason = draw.choice((
        ("type", f"type({literal}).__name__", repr(name), [repr(v) for v in names], f"{literal} is of type {name}."),
        ("isinstance", f"isinstance({literal}, {other})", str(same), ["True", "False"], f"{literal} is of type {name}."),
        ("bool", f"bool({empty})", str(truth), ["True", "False"], "Anything empty, zero or None counts as false."),
        ("int of text", f"int('{n}') + {m}", str(n + m), [f"'{n}{m}'", str(n + m + 1), f"{n}{m}"], "The string becomes a number."),
        ("int of float", f"int({n}.{m})", str(n), [str(n + 1), f"{n}.{m}", f"{n}{m}"], "int drops the part after the decimal point."),
        ("float", f"float({n})", f"{n}.0", [str(n), f"'{n}'", f"{n}.{m}"], "It becomes a number with a decimal point."),
    ))  # fmt: skip
    if kind == "isinstance" and other not in names:
        return None
    return _draft(draw, kind, answer, wrong, reason, e=expression)


def code_errors(draw: Draw) -> Draft:
    """Which exception an expression raises."""
    names = ["ValueError", "TypeError", "KeyError", "IndexError", "ZeroDivisionError", "NameError", "AttributeError"]
    n, row = draw.randint(1, 40), [draw.randint(0, 9) for _ in range(draw.randint(1, 3))]
    word, other = draw.sample([word for word in draw.lexicon["nouns"] if len(word) <= 6], 2)
    expression, answer, reason = draw.choice((
        (f"int('{word}')", "ValueError", f"'{word}' is not a number."),
        (f"float('{word}')", "ValueError", f"'{word}' is not a number."),
        (f"{row}.index({n + 10})", "ValueError", "The value is not in the list."),
        (f"'{word}' + {n}", "TypeError", "A string and a number cannot be added."),
        (f"{n} + '{n}'", "TypeError", "A number and a string cannot be added."),
        (f"len({n})", "TypeError", "A number has no length."),
        (f"{row} + {n}", "TypeError", "A list and a number cannot be added."),
        (f"{{'{word}': {n}}}['{other}']", "KeyError", f"'{other}' is not a key."),
        (f"{row}[{len(row) + n}]", "IndexError", f"The list has only {len(row)} item{'s' * (len(row) > 1)}."),
        (f"'{word}'[{len(word) + n}]", "IndexError", f"The string has only {len(word)} characters."),
        (f"[].pop({n})", "IndexError", "The list is empty."),
        (f"{n} / 0", "ZeroDivisionError", "Nothing can be divided by zero."),
        (f"{n} % 0", "ZeroDivisionError", "Nothing can be divided by zero."),
        (f"{n} // (3 - 3)", "ZeroDivisionError", "3 - 3 is zero."),
        (f"{word}_{n}", "NameError", "The name was never assigned."),
        (f"'{word}'.add({n})", "AttributeError", "A string has no method add."),
        (f"({n}).append({n})", "AttributeError", "A number has no method append."),
    ))  # fmt: skip
    shape = re.sub(r"\b[a-z]+_\d+|\[[\d, ]+\]|'\w+'|\d+", "#", expression)
    return _draft(draw, shape, answer, names, reason, e=expression)
