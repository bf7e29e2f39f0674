"""Grammar and letters: comparison, person, sound, order. The solvers take words apart letter by letter."""

import re
from collections.abc import Iterator
from itertools import product
from random import Random

from components.synthesis.drafts import Draft
from components.synthesis.generators import Lexicon, Task, ask, near, numbers_in, shuffled

COMPARE = (
    ("Fill in: This one is {w}, but that one is ... (one step more).", "er"),
    ("What is the comparative of {w}?", "er"),
    ("{w}, and more of it: which form?", "er"),
    ("What is the superlative of {w}?", "est"),
    ("Fill in: Of all three it is the ... ({w}).", "est"),
    ("{w}, and nothing is more so: which form?", "est"),
)
IRREGULAR = {"good": ("better", "best"), "bad": ("worse", "worst"), "far": ("farther", "farthest")}
_SHORT = re.compile(r"[^aeiou][aeiou][bdgmnpt]$")


def comparison(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Comparatives and superlatives of short and long adjectives."""
    words = [*lexicon["short_adjectives"], *lexicon["long_adjectives"], *IRREGULAR]
    for word, (form, ending) in shuffled(rng, product(words, COMPARE)):
        answer, why = _compared(word, ending, lexicon)
        more = "more" if ending == "er" else "most"
        wrong = [f"{more} {word}", word + ending, word[:-1] + "i" + ending, word + word[-1] + ending]
        wrong = [other for other in dict.fromkeys(wrong) if other != answer][:3]
        text = form if not form.startswith("{w}") else form.replace("{w}", "{W}", 1)
        yield ask(rng, (text,), answer, shuffled(rng, wrong), why, word, w=word, W=word.capitalize())


def _compared(word: str, ending: str, lexicon: Lexicon) -> tuple[str, str]:
    if word in IRREGULAR:
        return IRREGULAR[word][ending == "est"], f"{word} has forms of its own."
    if word in lexicon["long_adjectives"]:
        return f"{'more' if ending == 'er' else 'most'} {word}", "A long word takes more and most."
    if word.endswith("e"):
        return word + ending[1:], "After e only the rest of the ending is added."
    if word.endswith("y"):
        return word[:-1] + "i" + ending, "The y becomes i."
    if _SHORT.search(word):
        return word + word[-1] + ending, "A short vowel doubles the letter after it."
    return word + ending, f"A short word takes {ending}."


def solve_comparison(question: str, lexicon: Lexicon) -> str:
    known = [*lexicon["short_adjectives"], *lexicon["long_adjectives"], *IRREGULAR]
    asked = set(re.findall(r"\w+", question.lower()))
    fixed = {"one", "more", "that", "this", "of", "all", "three", "it", "the", "fill", "in"}
    (word,) = [word for word in known if word in asked - fixed]
    top = bool(re.search(r"superlative|Of all|nothing", question))
    if word in IRREGULAR:
        return IRREGULAR[word][top]
    if len(re.findall(r"[aeiouy]+", word.removesuffix("e"))) > 1 and word[-1] != "y":
        return ("most " if top else "more ") + word
    ending = "est" if top else "er"
    *_, before, last = word
    if last == "e":
        return word[:-1] + ending
    if last == "y":
        return word[:-1] + "i" + ending
    doubled = last in "bdgmnpt" and before in "aeiou" and word[-3] not in "aeiou"
    return word + (last if doubled else "") + ending


PERSON = (
    "I {v}. And he? He ...",
    "Put into the third person: I {v}.",
    "We {v} every day. What does {n} do? {n} ...",
    "Which form of {v} follows the word she?",
    "Fill in the right form of {v}: It ...",
)


def third_person(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """The s of the third person."""
    verbs = [*lexicon["verbs"], *lexicon["irregular_verbs"]]
    for verb, form, name in shuffled(rng, product(verbs, PERSON, lexicon["names"][:4])):
        answer, why = verb + "s", "The third person takes s."
        if re.search(r"(s|x|z|ch|sh|o)$", verb):
            answer, why = verb + "es", "After a hissing sound or o it takes es."
        elif re.search(r"[^aeiou]y$", verb):
            answer, why = verb[:-1] + "ies", "The y after a consonant becomes ies."
        wrong = {verb, verb + "s", verb + "es", verb[:-1] + "ies"} - {answer}
        yield ask(rng, (form,), answer, rng.sample(sorted(wrong), 3), why, verb, v=verb, n=name)


def solve_third_person(question: str, lexicon: Lexicon) -> str:
    known = {*lexicon["verbs"], *lexicon["irregular_verbs"]}
    verb = next(word for word in re.findall(r"[a-z]+", question) if word in known)
    if verb.endswith(("s", "x", "z", "ch", "sh", "o")):
        return f"{verb}es"
    return f"{verb.removesuffix('y')}ies" if verb[-1] == "y" and verb[-2] not in "aeiou" else f"{verb}s"


VOWELS = (
    ("How many vowels has the word {w}, if a, e, i, o and u count?", "v"),
    ("Count the letters a, e, i, o and u in {w}.", "v"),
    ("How many of the letters of {w} are among a, e, i, o, u?", "v"),
    ("How many letters of {w} are not among a, e, i, o, u?", "c"),
    ("How many letters has the word {w}?", "l"),
    ("Count the letters of {w}.", "l"),
)


def vowels(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Letters and vowels of a word."""
    words = sorted({*lexicon["nouns"], *lexicon["verbs"], *lexicon["adjectives"]} - {"use", "like", "live"})
    for word, (form, kind) in shuffled(rng, product(words, VOWELS)):
        found = [letter for letter in word if letter in "aeiou"]
        answer = {"v": len(found), "c": len(word) - len(found), "l": len(word)}[kind]
        reason = f"{word} has {len(word)} letters, among them {', '.join(found) or 'none'} of the five."
        yield ask(rng, (form,), answer, near(rng, answer, spread=(1, 2, 3)), reason, f"{kind} {word}", w=word)


def solve_vowels(question: str, lexicon: Lexicon) -> str:
    word = re.search(r"word (\w+)|u in (\w+)|letters of (\w+)", question)
    word = next(filter(None, word.groups()))
    rest = re.sub("[aeiou]", "", word)
    if "among" not in question and "vowels" not in question and "a, e" not in question:
        return str(sum(1 for _ in word))
    return str(len(rest) if "not among" in question else len(word) - len(rest))


SHIFT = (
    "Move each letter of {w} {k} on in the alphabet. What comes out?",
    "A secret writing replaces each letter by the one {k} later. How is {w} written?",
    "{n} writes {w} with every letter {k} further on. What does {n} write?",
    "In a code each letter stands {k} further on in the alphabet. Encode {w}.",
)
BACK = (
    "A secret writing replaced each letter by the one {k} later. What word is {c}?",
    "Move each letter of {c} {k} back in the alphabet. Which word is it?",
    "In a code each letter was moved {k} on. Decode {c}.",
)
ALPHABET = "abcdefghijklmnopqrstuvwxyz"


def shift(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Caesar's cipher, one to three letters; no word that would run over the end of the alphabet."""
    words = [w for w in sorted({*lexicon["nouns"], *lexicon["verbs"]}) if len(w) <= 4 and max(w) <= "w"]
    while True:
        word, k, back = rng.choice(words), rng.randint(1, 3), rng.random() < 0.4
        coded = "".join(ALPHABET[ALPHABET.index(letter) + k] for letter in word)
        answer = word if back else coded
        pool = words if back else ["".join(ALPHABET[ALPHABET.index(c) + j] for c in word) for j in (1, 2, 3)]
        wrong = [other for other in pool if other != answer and len(other) == len(word)]
        wrong += [answer[::-1]] if answer[::-1] not in (answer, *wrong) else []
        steps = ", ".join(f"{a} {'from' if back else 'to'} {b}" for a, b in zip(word, coded, strict=True))
        slots = {"w": word, "c": coded, "n": rng.choice(lexicon["names"]), "k": f"{k} place" + "s" * (k > 1)}
        wrong = rng.sample(wrong, min(3, len(wrong)))
        yield ask(rng, BACK if back else SHIFT, answer, wrong, f"{steps.capitalize()}.", f"{word} {k}", **slots)


def solve_shift(question: str, lexicon: Lexicon) -> str:
    (k,) = numbers_in(question)
    back = bool(re.search(r"replaced|back|Decode", question))
    found = re.search(
        r"letter of (\w+) \d|How is (\w+) written|writes (\w+) with|Encode (\w+)|word is (\w+)\?|Decode (\w+)", question
    )
    word = next(filter(None, found.groups()))
    return "".join(chr(ord(letter) + (-k if back else k)) for letter in word)


NTH = (
    ("Which is letter number {k} of the word {w}?", "n"),
    ("In {w}, which letter stands at place {k}?", "n"),
    ("Spell {w}. Which letter do you say at number {k}?", "n"),
    ("What is the last letter of {w}?", "l"),
    ("With which letter does {w} end?", "l"),
    ("Which letter comes right after the letter {x} in the alphabet?", "a"),
    ("Which letter comes right before the letter {y} in the alphabet?", "b"),
)


def letters(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Single letters of words and of the alphabet."""
    words = [w for w in sorted({*lexicon["nouns"], *lexicon["verbs"]}) if len(w) > 3]
    while True:
        word, (form, kind) = rng.choice(words), rng.choice(NTH)
        k = rng.randint(1, len(word))
        place = rng.randint(1, 24)
        answer = {"n": word[k - 1], "l": word[-1], "a": ALPHABET[place + 1], "b": ALPHABET[place - 1]}[kind]
        pool = set(word) if kind in "nl" else {*ALPHABET[max(0, place - 3) : place + 4]} - {ALPHABET[place]}
        wrong = shuffled(rng, sorted(pool - {answer}))[:3]
        if len(wrong) < 2:
            continue
        reason = f"{', '.join(word)}: number {k if kind == 'n' else len(word)} is {answer}."
        reason = f"The alphabet goes {', '.join(ALPHABET[place - 1 : place + 2])}." if kind in "ab" else reason
        slots = {"w": word, "k": k, "x": ALPHABET[place], "y": ALPHABET[place]}
        yield ask(
            rng,
            (form,),
            answer,
            wrong,
            reason,
            f"{kind} {word if kind in 'nl' else place} {k if kind == 'n' else ''}",
            **slots,
        )


def solve_letters(question: str, lexicon: Lexicon) -> str:
    if "alphabet" in question:
        asked = re.search(r"letter (\w) in", question).group(1)
        return chr(ord(asked) + (1 if "after" in question else -1))
    word = next(
        w for w in re.findall(r"[a-z]+", question) if w in {*lexicon["nouns"], *lexicon["verbs"]} and len(w) > 3
    )
    spelled = iter(word)
    if not (places := numbers_in(question)):
        return list(spelled)[-1]
    return next(letter for number, letter in enumerate(spelled, 1) if number == places[0])


TASKS = (
    Task("comparison", "language", comparison, solve_comparison, weight=0.4),
    Task("third_person", "language", third_person, solve_third_person, weight=0.5),
    Task("vowels", "language", vowels, solve_vowels, weight=0.4),
    Task("shift", "language", shift, solve_shift, weight=0.3),
    Task("letters", "language", letters, solve_letters, weight=0.5),
)
