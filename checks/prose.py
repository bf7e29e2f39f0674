"""`python -m checks.prose`: names each place where the text of pages, docstrings, comments, help or messages reads oddly.

Exit status: 0 nothing found, 1 something was.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
READ = (
    "*.md",
    "*.yaml",
    "docs/*.md",
    "bench/*.md",
    "components/synthesis/**/*.yaml",  # exercises and chapters, from which models learn
    "components/synthesis/prompts/*.j2",
    *(f"{folder}/**/*.py" for folder in ("bench", "checks", "components", "flows", "ui")),
)

_AMOUNTS = (
    "bits|bytes|cents|characters|entries|examples|exercises|figures|FLOPs|folders|[kMG]B|items|lines|milliseconds|minutes|"
    "ms|nats|numbers|once|passes|positions|questions|requests|rows|samples|seconds|steps|tasks|tokens|words|(?:one|a|an) (?:call|entry|file|folder|line|page|process|record|row|run|sample|stage|task|token|word)"
)
_UNITS = (
    "answer|benchmark|byte|call|character|chapter|(?:CPU )?second|day|device|document|example|file|folder|GB|hour|item|kind|line|"
    "minute|model|night|parameter|position|problem|process|program|row|rule|run|section|sequence|shard|source|stage|step|suite|"
    "task|text|token|word|worker"
)
_COMPARED = (
    "better|different|earlier|faster|fewer|greater|higher|larger|later|less|longer|lower|more|need|smaller|worse"
)
RULES = {
    rf"\b(?:{_AMOUNTS}) +an? +(?:{_UNITS})\b": 'write "per" for a rate',
    rf"(?<!\bthere )(?<!\bThere )\b(?:is|are|was|were|be|been) +no +(?!(?:{_COMPARED})\b)": 'write "is not a"',
}
LEANING = re.compile(
    r"\b(?:as above|see above|likewise|ditto)\b|^(?:of|such|the same|those|these|its?)\b", re.IGNORECASE
)


def main() -> int:
    """Print every place with its rule; returns the exit status."""
    lines = [line for path in pages() for line in faults(path.read_text(encoding="utf-8"), path.relative_to(ROOT))]
    for line in lines:
        print(line)
    return bool(lines)


def pages() -> list[Path]:
    """The files whose text people read, or models; this one is left out, since it quotes what it looks for."""
    files = sorted({path for pattern in READ for path in ROOT.glob(pattern)})
    return [path for path in files if path != Path(__file__)]


def faults(text: str, path: Path) -> Iterator[str]:
    """Each place of a file that breaks a rule, as `path:line: words: what to write`."""
    words = text.translate(dict.fromkeys(map(ord, "\n\"'#"), " "))  # a phrase may go on behind the end of a line
    for pattern, remedy in RULES.items():
        for found in re.finditer(pattern, words):
            yield f"{path}:{text.count(chr(10), 0, found.start()) + 1}: {' '.join(found[0].split())}: {remedy}"
    if path.suffix == ".py":
        for line, help_text in help_texts(ast.parse(text)):
            if leaning := LEANING.search(help_text):
                yield f"{path}:{line}: {leaning[0]}: write a help text that stands alone: {help_text!r}"


def help_texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The texts that explain an option, an argument of a step or a parameter, with their lines."""
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        named = [word.value for word in call.keywords if word.arg in {"help", "description"}]
        second = call.args[1:2] if isinstance(call.func, ast.Name) and call.func.id == "Argument" else []
        for value in (*named, *second):
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield value.lineno, value.value


if __name__ == "__main__":
    sys.exit(main())
