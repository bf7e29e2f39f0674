"""Checks a model's prose: its format, leaks of the prompt, refusals, length, language, sums and code.

The checks do not prove that a text is true. They reject texts that are clearly not a chapter, and errors that a program
can find: a wrong sum, code that does not run, an example whose result differs from the one shown.
"""

import ast
import doctest
import re
from collections.abc import Sequence
from typing import NamedTuple

from components.synthesis.restricted import NOT_PYTHON, fault
from components.synthesis.sandboxed import Programs
from components.text.markup import strip_markup, unclean

MIN_WORDS, MAX_CHARS = 80, 20_000
MIN_COMMON, MIN_ASCII = 0.2, 0.9
LEAK_WORDS = 10  # this many consecutive words from the prompt are a leak
_WORD = re.compile(r"[a-z]+")
_FENCED = re.compile(
    r"(?:[^\n`#|]{1,200}\n+)?```(?:markdown|md|text)?\s*\n(.*)\n?```\s*(?:[^\n`#|]{1,200})?", re.S | re.I
)
_LEAD = re.compile(r"[^\n`#|]{1,200}:[ \t]*\n+(?=#{1,3} \S)")
CODE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```\s*$", re.S | re.M)
_NUMBER = r"(\d+(?:\.\d+)?)"
_TIMES, _OVER = "*x\u00d7", "/\u00f7"
_SUM = re.compile(  # two numbers and a result, not part of a longer calculation
    rf"(?<![\w.,/*+\-^=])(?<![-+=(){_TIMES}{_OVER}] ){_NUMBER}\s*([-+{_TIMES}{_OVER}])\s*{_NUMBER}\s*=\s*-?{_NUMBER}"
    rf"(?![\w/*^%]|[.,]\d|\s*[-+{_TIMES}{_OVER}]\s*\d)"
)
_REFUSAL = re.compile(
    r"\b(?:I(?:'m| am) sorry,? but|I can(?:not|'t) (?:help|assist|comply|fulfil|provide)|as an? (?:AI|artificial|large "
    r"language|language) |I(?:'m| am) unable to|I(?:'m| am) just an AI)",
    re.I,
)
_REMARK = re.compile(
    r"\A(?:sure|certainly|of course|here(?:'s| is| are)|absolutely)\b|\b(?:let me know if|hope this helps|feel free to "
    r"ask|the extract above|as requested|you asked me|this prompt|constraint words)",
    re.I,
)
_RAISES = "raises "
# The most frequent English words, which are two fifths of all words in running text.
COMMON = {
    "the", "of", "and", "to", "a", "in", "is", "it", "you", "that", "for", "on", "are", "with", "as", "this",
    "be", "at", "or", "one", "have", "from", "by", "what", "all", "when", "we", "there", "can", "an", "which",
    "their", "if", "will", "each", "how", "then", "them", "so", "these", "her", "him", "has", "two", "more",
    "no", "way", "could", "than", "first", "been", "who", "its", "now", "they", "he", "she", "was", "not",
    "but", "do", "does", "because",
}  # fmt: skip


def clean(text: str) -> str:
    """The text without a model's markup, a fence around all of it, or a sentence that announces it. It ends with one line
    break."""
    text = strip_markup(text).text.strip()
    if text.count("```") % 2 == 0 and (fenced := _FENCED.fullmatch(text)):  # an odd number fences only a part
        text = fenced.group(1).strip()
    lead = _LEAD.match(text)
    return text[lead.end() if lead else 0 :] + "\n"


def format_fault(form: str, text: str) -> str:
    """The reason why a text does not have the requested format, or an empty string."""
    first, _, body = text.partition("\n")
    if not re.match(r"#{1,3} \S", first):
        return "the first line is not a heading"
    paragraphs = [part for part in body.split("\n\n") if part.strip()]
    questions, answers = len(re.findall(r"^\**Q:", body, re.M)), len(re.findall(r"^\**A:", body, re.M))
    rows = len(re.findall(r"^\|.*\|\s*$", body, re.M))
    turns = re.findall(r"^\**([A-Z][\w .]{0,30}):", body, re.M)
    parts = [len(re.findall(rf"^[#* \t]*{name}\b[^\n]*:", body, re.M)) for name in ("Problem", "Solution", "Answer")]
    wrong = {
        "tutorial": len(paragraphs) < 3,
        "faq": questions < 3 or questions != answers,
        "table": rows < 5,  # four rows, and the head
        "worked": min(parts) < 2 or len(set(parts)) > 1,
        "dialogue": len(turns) < 6 or len(set(turns)) < 2,
    }
    return f"the text does not have the format {form}" if wrong[form] else ""


class Fault(NamedTuple):
    """The rule that a text fails, the place in the text, and the value that exceeds the threshold."""

    rule: str
    detail: str
    value: float | None = None
    threshold: float | None = None


def prose_fault(text: str, prompt: str, excerpt: str = "") -> Fault | None:
    """The first rule that a text fails, or None.

    Args:
        prompt: the model's prompt; LEAK_WORDS consecutive words of it in the text are a leak.
        excerpt: the seed's text in the prompt; copying it is a separate rule.
    """
    words = _WORD.findall(text.lower())
    if found := manner_fault(text):
        return found
    if len(words) < MIN_WORDS:
        return Fault("too_short", f"{len(words)} words", len(words), MIN_WORDS)
    if len(text) > MAX_CHARS:
        return Fault("too_long", f"{len(text)} characters", len(text), MAX_CHARS)
    told = CODE.sub("", text)
    plain = _WORD.findall(told.lower())
    common = sum(word in COMMON for word in plain) / max(len(plain), 1)
    ascii_share = sum(c.isascii() for c in told) / max(len(told), 1)
    if common < MIN_COMMON or ascii_share < MIN_ASCII:
        return Fault("language", f"{common:.0%} common English words, {ascii_share:.0%} ASCII", common, MIN_COMMON)
    if run := leaked(text, prompt.replace(excerpt, " ") if excerpt else prompt):
        return Fault("prompt_leak", run)
    if excerpt and (copied := _runs(words) & _runs(_WORD.findall(excerpt.lower()))) and len(copied) > 5:
        return Fault("copied_seed", " ".join(min(copied)), len(copied), 5)
    if wrong := wrong_sum(told):
        return Fault("wrong_sum", wrong)
    return None


def manner_fault(text: str) -> Fault | None:
    """The fault if a text has chat markup, refuses, or mentions the task; otherwise None."""
    if dirt := unclean(text):
        return Fault("markup", dirt)
    if found := _REFUSAL.search(text):
        return Fault("refusal", found.group())
    if found := _REMARK.search(text.partition("\n")[2]) or _REMARK.search(text):
        return Fault("prompt_leak", found.group())
    return None


def leaked(text: str, prompt: str) -> str:
    """A run of LEAK_WORDS words from a prompt that occurs in a text, or an empty string."""
    found = _runs(_WORD.findall(text.lower())) & _runs(_WORD.findall(prompt.lower()))
    return " ".join(min(found)) if found else ""


def copied_share(text: str, source: str) -> float:
    """Share of a text's runs of LEAK_WORDS words that occur in its source, 0 to 1."""
    runs, of_source = (_runs(re.findall(r"\w+", part.lower())) for part in (text, source))
    return len(runs & of_source) / max(len(runs), 1)


def _runs(words: Sequence[str]) -> set[tuple[str, ...]]:
    return set(zip(*(words[i:] for i in range(LEAK_WORDS)), strict=False))


def wrong_sum(text: str) -> str:
    """The first written calculation of two numbers with a result that is wrong by more than rounding, or an empty string."""
    for found in _SUM.finditer(text):
        left, operator, right, result = found.groups()
        a, b, c = float(left), float(right), float(result)
        if operator in _OVER and b == 0:
            return found.group()
        divided = operator in _OVER
        value = a / b if divided else {"+": a + b, "-": abs(a - b)}.get(operator, a * b)
        digits = len(result.partition(".")[2])
        if abs(value - c) > 0.5 * 10**-digits + 1e-9 and not (divided and c == a // b):
            return found.group()
    return ""


def written_sums(text: str) -> list[tuple[float, float, float]]:
    """The calculations of two numbers in a text, as (left, right, result that the text gives)."""
    return [(float(left), float(right), float(result)) for left, _, right, result in _SUM.findall(text)]


def code_programs(text: str) -> tuple[list[tuple[str, str, str]], str]:
    """The Python in a text as (program, expression, value that the text shows), and the part that cannot run, if any.

    A block of >>> lines gives one program per line with a value; any other block of Python gives one program, and its value
    does not matter (an empty string).
    """
    programs: list[tuple[str, str, str]] = []
    for language, block in CODE.findall(text):
        if language not in ("python", "py", "pycon", "") or (not language and ">>>" not in block):
            continue
        if ">>>" in block:
            try:
                examples = doctest.DocTestParser().get_examples(block)
            except ValueError as error:
                return [], f"a session that cannot be read ({error})"
            before = ""
            for example in examples:
                wanted = example.want.rstrip("\n")
                if example.exc_msg:
                    programs.append(
                        (before, example.source.strip(), _RAISES + example.exc_msg.partition(":")[0].strip())
                    )
                elif wanted:
                    programs.append((before, *_shown(example.source.strip(), wanted)))
                if not wanted or not _is_expression(example.source):
                    before += example.source
        else:
            programs.append((block, "None", ""))
    for program, expression, wanted in programs:
        if wanted and not _is_expression(expression):
            return [], f"a value is shown for {expression!r}, which has none"
        if wrong := fault(program) or fault(expression, "eval"):
            return [], wrong
    return programs, ""


def _shown(source: str, wanted: str) -> tuple[str, str]:
    """(expression, repr of its value); the output of print is compared as a text."""
    if fault(source, "eval"):
        return source, wanted
    node = ast.parse(source, mode="eval").body
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print" and not node.keywords:
        values = ", ".join(ast.unparse(argument) for argument in node.args)
        return f"' '.join(map(str, [{values}]))", repr(wanted)
    return source, wanted


def _is_expression(source: str) -> bool:
    try:
        ast.parse(source.strip(), mode="eval")
    except NOT_PYTHON:
        return False
    return True


def code_faults(texts: Sequence[str], sandboxed: Programs) -> list[tuple[str, int]]:
    """(fault in its Python or an empty string, number of examples that were run) for each text."""
    results: list[tuple[str, int]] = []
    jobs: list[tuple[int, str, str, str]] = []
    for number, text in enumerate(texts):
        programs, wrong = code_programs(text)
        results.append((f"not executable here: {wrong}" if wrong else "", len(programs)))
        jobs += [(number, *program) for program in programs]
    values = sandboxed.evaluate([(program, expression) for _, program, expression, _ in jobs])
    for (number, _, expression, wanted), (fine, value) in zip(jobs, values, strict=True):
        if results[number][0]:
            continue
        if wanted.startswith(_RAISES):
            if fine or value != wanted.removeprefix(_RAISES):
                results[number] = (f"{expression!r} gives {value}, the text says it raises", 0)
        elif not fine:
            results[number] = (f"{expression!r} fails: {value}", 0)
        elif wanted and wanted != value:
            results[number] = (f"{expression!r} gives {value}, the text says {wanted}", 0)
    return results
