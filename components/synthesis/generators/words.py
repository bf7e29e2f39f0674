"""Language: forms of words, letters and opposites. Invented words stand beside real ones, so that a rule is learned."""

import re
from collections.abc import Iterator
from itertools import product
from random import Random

from components.synthesis.drafts import Draft
from components.synthesis.generators import Lexicon, Task, others, shuffled

_HISSING = re.compile(r"(s|x|z|ch|sh)$")
_CONSONANT_Y = re.compile(r"[^aeiou]y$")
_DOUBLING = re.compile(r"[^aeiou][aeiou][bdgmnpt]$")
_ONSETS, _VOWELS, _CODAS = ("b", "d", "f", "gl", "k", "l", "m", "n", "pr", "r", "st", "tr", "v", "w", "z"), "aeiou", (
    "b", "g", "k", "lt", "mp", "n", "nd", "p", "rk", "sh", "ch", "x", "ss", "by", "dy", "ty", "ff", "ve", "ke",
)  # fmt: skip


def _invented(rng: Random) -> str:
    return rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS)


def _plural(noun: str) -> str:
    if _HISSING.search(noun):
        return noun + "es"
    return noun[:-1] + "ies" if _CONSONANT_Y.search(noun) else noun + "s"


def plural(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Plurals by rule, of real and invented nouns, and the irregular ones."""
    forms = ("What is the plural of {n}?", "One {n}, two what?", "Write the plural: {n}.")
    irregular, nouns = lexicon["irregular_nouns"], lexicon["nouns"]
    while True:
        form, kind = rng.choice(forms), rng.random()
        if kind < 0.15:
            noun, answer = rng.choice(list(irregular.items()))
            wrong = (_plural(noun), _plural(answer))
            yield Draft(form.format(n=noun), answer, wrong, f"The plural {answer} follows no rule.", template=form)
            continue
        noun = rng.choice(nouns) if kind < 0.5 else _invented(rng)
        answer = _plural(noun)
        wrong = {noun + "s", noun + "es", noun[:-1] + "ies"} - {answer}
        why = "after a hissing sound add es" if answer == noun + "es" else "y after a consonant becomes ies"
        why = "add s" if answer == noun + "s" else why
        yield Draft(form.format(n=noun), answer, tuple(shuffled(rng, sorted(wrong))), f"The rule: {why}.", noun, form)


def solve_plural(question: str, lexicon: Lexicon) -> str:
    noun = re.search(r"plural of (\w+)|One (\w+)|plural: (\w+)", question).group(1, 2, 3)
    noun = next(filter(None, noun))
    if noun in lexicon["irregular_nouns"]:
        return lexicon["irregular_nouns"][noun]
    if noun.endswith(("s", "x", "z", "ch", "sh")):
        return f"{noun}es"
    return f"{noun.removesuffix('y')}ies" if noun[-1] == "y" and noun[-2] not in "aeiou" else f"{noun}s"


def _past(verb: str) -> str:
    if verb.endswith("e"):
        return verb + "d"
    if _CONSONANT_Y.search(verb):
        return verb[:-1] + "ied"
    return verb + (verb[-1] if _DOUBLING.search(verb) and verb not in ("open", "visit") else "") + "ed"


def past_tense(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Past tense by rule, of real and invented verbs, and the irregular ones."""
    forms = ("What is the past tense of {v}?", "Today I {v}. Yesterday I what?", "Write the past tense: {v}.")
    irregular, verbs = lexicon["irregular_verbs"], lexicon["verbs"]
    while True:
        form, kind = rng.choice(forms), rng.random()
        if kind < 0.2:
            verb, answer = rng.choice(list(irregular.items()))
            wrong = (_past(verb), verb + "t")
            yield Draft(form.format(v=verb), answer, wrong, f"The past {answer} follows no rule.", template=form)
            continue
        verb = rng.choice(verbs) if kind < 0.5 else _invented(rng)
        answer = _past(verb)
        wrong = sorted({verb + "ed", verb + "d", verb[:-1] + "ied", verb + verb[-1] + "ed"} - {answer})
        if answer == verb + "d":
            why = "after e add d"
        elif answer == verb + "ed":
            why = "add ed"
        else:
            why = (
                "y after a consonant becomes ied" if answer.endswith("ied") else "a short vowel doubles the last letter"
            )
        yield Draft(form.format(v=verb), answer, tuple(rng.sample(wrong, 3)), f"The rule: {why}.", verb, form)


def solve_past_tense(question: str, lexicon: Lexicon) -> str:
    found = re.search(r"tense of (\w+)|Today I (\w+)|tense: (\w+)", question).group(1, 2, 3)
    verb = next(filter(None, found))
    if verb in lexicon["irregular_verbs"]:
        return lexicon["irregular_verbs"][verb]
    if verb[-1] == "e":
        return f"{verb[:-1]}ed"
    if verb[-1] == "y" and verb[-2] not in "aeiou":
        return f"{verb[:-1]}ied"
    short = len(verb) >= 3 and verb[-1] in "bdgmnpt" and verb[-2] in "aeiou" and verb[-3] not in "aeiou"
    return f"{verb}{verb[-1]}ed" if short and verb not in {"open", "visit"} else f"{verb}ed"


def article(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """ "a" or "an" before an adjective and a noun: the sound of the adjective decides, not its letter."""
    forms = (
        "Which is right before {x}: a or an?",
        "Fill in a or an: ... {x}.",
        "A or an, which one stands before {x}?",
    )
    an = set(lexicon["articles"]["an"])
    things = [n for n in lexicon["nouns"] if n[0] not in "aeiou"]
    for adjective, noun, form in shuffled(rng, product(lexicon["adjectives"], things, forms)):
        answer, wrong = ("an", "a") if adjective in an else ("a", "an")
        sound = "vowel" if answer == "an" else "consonant"
        phrase = f"{adjective} {noun}"
        reason = f"{adjective.capitalize()} begins with the sound of a {sound}, so it is {answer} {phrase}."
        yield Draft(form.format(x=phrase), answer, (wrong,), reason, phrase, form)


def solve_article(question: str, lexicon: Lexicon) -> str:
    adjective = re.search(r"(?:before|\.\.\.) (\w+) ", question).group(1)
    vowel = adjective[0] in "aeiou"
    silent = adjective.startswith(("hon", "hour"))
    glide = adjective.startswith(("use", "uni", "eu", "one"))
    return "an" if (vowel or silent) and not glide else "a"


def backward(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Spell three to five letters backward. Letters are spaced, so that each is its own token."""
    forms = ("Spell backward: {s}", "Write {s} in reverse.", "What is {s} spelled backward?")
    words = [w for w in (*lexicon["nouns"], *lexicon["verbs"]) if len(w) <= 5]
    while True:
        letters = list(rng.choice(words)) if rng.random() < 0.3 else rng.sample(lexicon["letters"], rng.randint(3, 5))
        right = letters[::-1]
        wrong = set()
        for _ in range(12):
            i, j = rng.sample(range(len(letters)), 2)
            changed = list(right)
            changed[i], changed[j] = changed[j], changed[i]
            wrong.add(" ".join(changed))
        wrong -= {" ".join(right)}
        if len(wrong) < 2:
            continue
        listed = " ".join(letters)
        reason = f"Read from the end: {', '.join(right)}."
        distractors = tuple(rng.sample(sorted(wrong), min(3, len(wrong))))
        form = rng.choice(forms)
        yield Draft(form.format(s=listed), " ".join(right), distractors, reason, listed, form)


def solve_backward(question: str, lexicon: Lexicon) -> str:
    letters = re.search(r"\b[a-z](?: [a-z])+\b(?= in reverse| spelled|$)", question).group().split()
    reversed_letters: list[str] = []
    for letter in letters:
        reversed_letters.insert(0, letter)
    return " ".join(reversed_letters)


def alphabetical(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """The word that comes first or last in the alphabet, of three with different first letters."""
    words = sorted({*lexicon["nouns"], *lexicon["adjectives"]})
    forms = ("Which word comes {w} in the alphabet: {l}?", "Sort {l}. Which is {w}?")
    while True:
        three = rng.sample(words, 3)
        if len({word[0] for word in three}) < 3:
            continue
        which = rng.choice(("first", "last"))
        order = sorted(three)
        answer = order[0] if which == "first" else order[-1]
        wrong = tuple(word for word in three if word != answer)
        form = rng.choice(forms)
        text = form.format(w=which, l=", ".join(three))
        yield Draft(text, answer, wrong, f"In order: {', '.join(order)}.", f"{which} {' '.join(order)}", form)


def solve_alphabetical(question: str, lexicon: Lexicon) -> str:
    listed = re.search(r"(?:: |Sort )(\w+), (\w+), (\w+)[?.]", question).groups()
    ranks = {"abcdefghijklmnopqrstuvwxyz".index(word[0]): word for word in listed}
    return ranks[min(ranks)] if "first" in question else ranks[max(ranks)]


OPPOSITE_FORMS = (
    "What is the opposite of {w}?",
    "Which word means the opposite of {w}?",
    "{W} and its opposite: which word is missing?",
    "Not {w}, but the contrary: which word?",
    "Turn {w} into its opposite.",
)


def opposite(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Opposites: a table of facts, taught and examined in different wordings."""
    pairs = [pair for a, b in lexicon["opposites"] for pair in ((a, b), (b, a))]
    words = sorted({a for a, _ in pairs})
    for (word, answer), form in shuffled(rng, product(pairs, OPPOSITE_FORMS)):
        wrong = others(rng, [w for w in words if w != word], answer, 3)
        reason = f"{word.capitalize()} and {answer} are opposites."
        yield Draft(form.format(w=word, W=word.capitalize()), answer, wrong, reason, template=form)


def solve_opposite(question: str, lexicon: Lexicon) -> str:
    table = {a: b for pair in lexicon["opposites"] for a, b in (pair, pair[::-1])}
    asked = re.search(r"opposite of (\w+)|^(\w+) and its|^Not (\w+)|^Turn (\w+)", question)
    return table[next(filter(None, asked.groups())).lower()]


TASKS = (
    Task("plural", "language", plural, solve_plural, weight=1.5),
    Task("past_tense", "language", past_tense, solve_past_tense, weight=1.5),
    Task("article", "language", article, solve_article, weight=2),
    Task("backward", "language", backward, solve_backward, weight=0.7),
    Task("alphabetical", "language", alphabetical, solve_alphabetical),
    Task("opposite", "language", opposite, solve_opposite),
)
