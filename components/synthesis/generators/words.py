"""Language: forms of words, letters and opposites. Invented words stand beside real ones, so that a rule is learned."""

import re
from itertools import product

from components.synthesis.drafts import Draft
from components.synthesis.generators import Drafts, Draw, Lexicon, extract, pick_wrong, search

_HISSING = re.compile(r"(s|x|z|ch|sh)$")
_CONSONANT_Y = re.compile(r"[^aeiou]y$")
_DOUBLING = re.compile(r"[^aeiou][aeiou][bdgmnpt]$")
_ONSETS, _VOWELS, _CODAS = ("b", "d", "f", "gl", "k", "l", "m", "n", "pr", "r", "st", "tr", "v", "w", "z"), "aeiou", (
    "b", "g", "k", "lt", "mp", "n", "nd", "p", "rk", "sh", "ch", "x", "ss", "by", "dy", "ty", "ff", "ve", "ke",
)  # fmt: skip


def _invented(draw: Draw) -> str:
    return draw.choice(_ONSETS) + draw.choice(_VOWELS) + draw.choice(_CODAS)


def _plural(noun: str) -> str:
    if _HISSING.search(noun):
        return noun + "es"
    return noun[:-1] + "ies" if _CONSONANT_Y.search(noun) else noun + "s"


def plural(draw: Draw) -> Draft:
    """Plurals by rule, of real and invented nouns, and the irregular ones."""
    form, share = draw.choice(draw.forms), draw.random()
    if share < 0.15:
        noun, answer = draw.choice(list(draw.lexicon["irregular_nouns"].items()))
        return form.draft(answer, (_plural(noun), _plural(answer)), f"The plural {answer} follows no rule.", n=noun)
    noun = draw.choice(draw.lexicon["nouns"]) if share < 0.5 else _invented(draw)
    answer = _plural(noun)
    wrong = {noun + "s", noun + "es", noun[:-1] + "ies"} - {answer}
    why = "after a hissing sound add es" if answer == noun + "es" else "y after a consonant becomes ies"
    why = "add s" if answer == noun + "s" else why
    return form.draft(answer, draw.shuffled(sorted(wrong)), f"The rule: {why}.", noun, n=noun)


def solve_plural(question: str, lexicon: Lexicon) -> str:
    noun = extract(r"plural of (\w+)|One (\w+)|plural: (\w+)", question)
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


def past_tense(draw: Draw) -> Draft:
    """Past tense by rule, of real and invented verbs, and the irregular ones."""
    form, share = draw.choice(draw.forms), draw.random()
    if share < 0.2:
        verb, answer = draw.choice(list(draw.lexicon["irregular_verbs"].items()))
        return form.draft(answer, (_past(verb), verb + "t"), f"The past {answer} follows no rule.", v=verb)
    verb = draw.choice(draw.lexicon["verbs"]) if share < 0.5 else _invented(draw)
    answer = _past(verb)
    wrong = sorted({verb + "ed", verb + "d", verb[:-1] + "ied", verb + verb[-1] + "ed"} - {answer})
    why = "y after a consonant becomes ied" if answer.endswith("ied") else "a short vowel doubles the last letter"
    why = {verb + "d": "after e add d", verb + "ed": "add ed"}.get(answer, why)
    return form.draft(answer, draw.sample(wrong, 3), f"The rule: {why}.", verb, v=verb)


def solve_past_tense(question: str, lexicon: Lexicon) -> str:
    verb = extract(r"tense of (\w+)|Today I (\w+)|tense: (\w+)", question)
    if verb in lexicon["irregular_verbs"]:
        return lexicon["irregular_verbs"][verb]
    if verb[-1] == "e":
        return f"{verb[:-1]}ed"
    if verb[-1] == "y" and verb[-2] not in "aeiou":
        return f"{verb[:-1]}ied"
    short = len(verb) >= 3 and verb[-1] in "bdgmnpt" and verb[-2] in "aeiou" and verb[-3] not in "aeiou"
    return f"{verb}{verb[-1]}ed" if short and verb not in {"open", "visit"} else f"{verb}ed"


def article(draw: Draw) -> Drafts:
    """ "a" or "an" before an adjective and a noun: the sound of the adjective decides, not its letter."""
    things = [n for n in draw.lexicon["nouns"] if n[0] not in "aeiou"]
    for adjective, noun, form in draw.shuffled(product(draw.lexicon["adjectives"], things, draw.forms)):
        vowel, phrase = adjective in draw.lexicon["articles"]["an"], f"{adjective} {noun}"
        answer, wrong, sound = ("an", "a", "vowel") if vowel else ("a", "an", "consonant")
        reason = f"{adjective.capitalize()} begins with the sound of a {sound}, so it is {answer} {phrase}."
        yield form.draft(answer, (wrong,), reason, phrase, x=phrase)


def solve_article(question: str, lexicon: Lexicon) -> str:
    adjective = extract(r"(?:before|\.\.\.) (\w+) ", question)
    vowel = adjective[0] in "aeiou"
    silent = adjective.startswith(("hon", "hour"))
    glide = adjective.startswith(("use", "uni", "eu", "one"))
    return "an" if (vowel or silent) and not glide else "a"


def backward(draw: Draw) -> Draft | None:
    """Spell three to five letters backward. Letters are spaced, so that each is its own token."""
    words = [w for w in (*draw.lexicon["nouns"], *draw.lexicon["verbs"]) if len(w) <= 5]
    real = draw.random() < 0.3
    letters = list(draw.choice(words)) if real else draw.sample(draw.lexicon["letters"], draw.randint(3, 5))
    right = letters[::-1]
    wrong = set()
    for _ in range(12):
        i, j = draw.sample(range(len(letters)), 2)
        changed = list(right)
        changed[i], changed[j] = changed[j], changed[i]
        wrong.add(" ".join(changed))
    wrong -= {" ".join(right)}
    if len(wrong) < 2:
        return None
    listed = " ".join(letters)
    distractors = draw.sample(sorted(wrong), min(3, len(wrong)))
    return draw.ask(" ".join(right), distractors, f"Read from the end: {', '.join(right)}.", listed, s=listed)


def solve_backward(question: str, lexicon: Lexicon) -> str:
    letters = search(r"\b[a-z](?: [a-z])+\b(?= in reverse| spelled|$)", question).group().split()
    reversed_letters: list[str] = []
    for letter in letters:
        reversed_letters.insert(0, letter)
    return " ".join(reversed_letters)


def alphabetical(draw: Draw) -> Draft | None:
    """The word that comes first or last in the alphabet, of three with different first letters."""
    three = draw.sample(sorted({*draw.lexicon["nouns"], *draw.lexicon["adjectives"]}), 3)
    if len({word[0] for word in three}) < 3:
        return None
    which, order = draw.choice(("first", "last")), sorted(three)
    answer = order[0] if which == "first" else order[-1]
    reason, key = f"In order: {', '.join(order)}.", f"{which} {' '.join(order)}"
    return draw.ask(answer, pick_wrong(answer, three), reason, key, w=which, l=", ".join(three))


def solve_alphabetical(question: str, lexicon: Lexicon) -> str:
    listed = search(r"(?:: |Sort )(\w+), (\w+), (\w+)[?.]", question).groups()
    ranks = {"abcdefghijklmnopqrstuvwxyz".index(word[0]): word for word in listed}
    return ranks[min(ranks)] if "first" in question else ranks[max(ranks)]


def opposite(draw: Draw) -> Drafts:
    """Opposites: a table of facts, taught and examined in different wordings."""
    pairs = [pair for a, b in draw.lexicon["opposites"] for pair in ((a, b), (b, a))]
    words = sorted({a for a, _ in pairs})
    for (word, answer), form in draw.shuffled(product(pairs, draw.forms)):
        wrong = draw.others([w for w in words if w != word], answer)
        yield form.draft(answer, wrong, f"{word.capitalize()} and {answer} are opposites.", w=word, W=word.capitalize())


def solve_opposite(question: str, lexicon: Lexicon) -> str:
    table = {a: b for pair in lexicon["opposites"] for a, b in (pair, pair[::-1])}
    return table[extract(r"opposite of (\w+)|^(\w+) and its|^Not (\w+)|^Turn (\w+)", question).lower()]
