"""Grammar and letters: comparison, person, sound, order. The solvers take words apart letter by letter."""

import re
from itertools import product
from string import ascii_lowercase

from components.synthesis.drafts import Draft
from components.synthesis.generators import Drafts, Draw, Lexicon, extract, numbers_in, pick_wrong

IRREGULAR = {"good": ("better", "best"), "bad": ("worse", "worst"), "far": ("farther", "farthest")}
_SHORT = re.compile(r"[^aeiou][aeiou][bdgmnpt]$")


def comparison(draw: Draw) -> Drafts:
    """Comparatives and superlatives of short and long adjectives."""
    words = [*draw.lexicon["short_adjectives"], *draw.lexicon["long_adjectives"], *IRREGULAR]
    for word, form in draw.shuffled(product(words, draw.forms)):
        ending = form.kind
        answer, why = _compared(word, ending, draw.lexicon)
        wrong = [f"{'more' if ending == 'er' else 'most'} {word}", word + ending]
        wrong += [word[:-1] + "i" + ending, word + word[-1] + ending]
        wrong = draw.shuffled(pick_wrong(answer, wrong))
        yield draw.ask(answer, wrong, why, word, form, w=word, W=word.capitalize())


def _compared(word: str, ending: str, lexicon: Lexicon) -> tuple[str, str]:
    if word in IRREGULAR:
        return IRREGULAR[word][ending == "est"], f"{word} is irregular."
    if word in lexicon["long_adjectives"]:
        return f"{'more' if ending == 'er' else 'most'} {word}", "A long adjective takes more and most."
    if word.endswith("e"):
        return word + ending[1:], "After e only the rest of the ending is added."
    if word.endswith("y"):
        return word[:-1] + "i" + ending, "The y becomes i."
    if _SHORT.search(word):
        return word + word[-1] + ending, "A short vowel doubles the letter after it."
    return word + ending, f"A short adjective takes {ending}."


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


def third_person(draw: Draw) -> Drafts:
    """The s of the third person."""
    verbs = [*draw.lexicon["verbs"], *draw.lexicon["irregular_verbs"]]
    for verb, form, name in draw.shuffled(product(verbs, draw.forms, draw.lexicon["names"][:4])):
        answer, why = verb + "s", "The third person takes s."
        if re.search(r"(s|x|z|ch|sh|o)$", verb):
            answer, why = verb + "es", "After a hissing sound or o it takes es."
        elif re.search(r"[^aeiou]y$", verb):
            answer, why = verb[:-1] + "ies", "The y after a consonant becomes ies."
        wrong = {verb, verb + "s", verb + "es", verb[:-1] + "ies"} - {answer}
        yield draw.ask(answer, draw.sample(sorted(wrong), 3), why, verb, form, v=verb, n=name)


def solve_third_person(question: str, lexicon: Lexicon) -> str:
    known = {*lexicon["verbs"], *lexicon["irregular_verbs"]}
    verb = next(word for word in re.findall(r"[a-z]+", question) if word in known)
    if verb.endswith(("s", "x", "z", "ch", "sh", "o")):
        return f"{verb}es"
    return f"{verb.removesuffix('y')}ies" if verb[-1] == "y" and verb[-2] not in "aeiou" else f"{verb}s"


def vowels(draw: Draw) -> Drafts:
    """Letters and vowels of a word."""
    lexicon = draw.lexicon
    words = sorted({*lexicon["nouns"], *lexicon["verbs"], *lexicon["adjectives"]} - {"use", "like", "live"})
    for word, form in draw.shuffled(product(words, draw.forms)):
        among = [letter for letter in word if letter in "aeiou"]
        answer = {"v": len(among), "c": len(word) - len(among), "l": len(word)}[form.kind]
        reason = f"{word} has {len(word)} letters; its vowels: {', '.join(among) or 'none'}."
        yield draw.ask(answer, draw.near(answer, spread=(1, 2, 3)), reason, f"{form.kind} {word}", form, w=word)


def solve_vowels(question: str, lexicon: Lexicon) -> str:
    word = extract(r"word (\w+)|u in (\w+)|letters of (\w+)", question)
    rest = re.sub("[aeiou]", "", word)
    if "among" not in question and "vowels" not in question and "a, e" not in question:
        return str(sum(1 for _ in word))
    return str(len(rest) if "not among" in question else len(word) - len(rest))


def _shifted(word: str, places: int) -> str:
    return "".join(ascii_lowercase[ascii_lowercase.index(letter) + places] for letter in word)


def shift(draw: Draw) -> Draft:
    """Caesar's cipher, one to three letters; no word that would run over the end of the alphabet."""
    words = sorted({*draw.lexicon["nouns"], *draw.lexicon["verbs"]})
    words = [word for word in words if len(word) <= 4 and max(word) <= "w"]
    word, k, back = draw.choice(words), draw.randint(1, 3), draw.random() < 0.4
    coded = _shifted(word, k)
    answer, way = (word, "from") if back else (coded, "to")
    pool = words if back else [_shifted(word, places) for places in (1, 2, 3)]
    wrong = [other for other in pool if other != answer and len(other) == len(word)]
    wrong += [answer[::-1]] if answer[::-1] not in (answer, *wrong) else []
    steps = ", ".join(f"{a} {way} {b}" for a, b in zip(word, coded, strict=True))
    slots = {"w": word, "c": coded, "n": draw.name(), "k": f"{k} place" + "s" * (k > 1)}
    wrong = draw.sample(wrong, min(3, len(wrong)))
    return draw.ask(answer, wrong, f"{steps.capitalize()}.", f"{word} {k}", "back" if back else "on", **slots)


def solve_shift(question: str, lexicon: Lexicon) -> str:
    (k,) = numbers_in(question)
    back = bool(re.search(r"replaced|back|Decode", question))
    word = extract(
        r"letter of (\w+) \d|How is (\w+) written|writes (\w+) with|Encode (\w+)|word is (\w+)\?|Decode (\w+)", question
    )
    return "".join(chr(ord(letter) + (-k if back else k)) for letter in word)


def letters(draw: Draw) -> Draft | None:
    """Single letters of words and of the alphabet."""
    words = [word for word in sorted({*draw.lexicon["nouns"], *draw.lexicon["verbs"]}) if len(word) > 3]
    word, form = draw.choice(words), draw.choice(draw.forms)
    k = draw.randint(1, len(word))
    place = draw.randint(1, 24)
    before, here, after = list(ascii_lowercase[place - 1 : place + 2])
    answer = {"n": word[k - 1], "l": word[-1], "a": after, "b": before}[form.kind]
    pool = set(word) if form.kind in "nl" else {*ascii_lowercase[max(0, place - 3) : place + 4]} - {here}
    wrong = draw.shuffled(sorted(pool - {answer}))[:3]
    if len(wrong) < 2:
        return None
    reason, key = {
        "n": (f"{', '.join(word)}: number {k} is {answer}.", f"{word} {k}"),
        "l": (f"{', '.join(word)}: number {len(word)} is {answer}.", f"{word} "),
    }.get(form.kind, (f"The alphabet goes {before}, {here}, {after}.", f"{place} "))
    return draw.ask(answer, wrong, reason, f"{form.kind} {key}", form, w=word, k=k, x=here, y=here)


def solve_letters(question: str, lexicon: Lexicon) -> str:
    if "alphabet" in question:
        return chr(ord(extract(r"letter (\w) in", question)) + (1 if "after" in question else -1))
    known = {*lexicon["nouns"], *lexicon["verbs"]}
    word = next(word for word in re.findall(r"[a-z]+", question) if word in known and len(word) > 3)
    spelled = iter(word)
    if not (places := numbers_in(question)):
        return list(spelled)[-1]
    return next(letter for number, letter in enumerate(spelled, 1) if number == places[0])
