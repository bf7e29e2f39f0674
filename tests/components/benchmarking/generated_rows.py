"""Made-up rows for any definition of lm-eval: fields from its templates and functions, values by trial and error."""

import ast
import inspect
import random
import string
from pathlib import Path
from typing import Any

WORDS = ("river", "stone", "cold", "seven", "Anna", "walks", "green", "door", "quickly", "bread")
CHOICES = ["a red stone", "the cold river", "seven doors", "green bread"]
BY_NAME: tuple[tuple[tuple[str, ...], tuple[Any, ...]], ...] = (
    (("answerkey", "answer_key", "correct_option", "correct_letter"), ("A", "B", 1, "1")),
    (("label", "gold", "idx", "index", "target_scores", "answer_idx", "answer_index"), (0, 1, "A", "0", "1", "yes", [0], {"a": 1, "b": 0})),
    (("choices", "options", "endings", "candidates", "alternatives"), (CHOICES, {"text": CHOICES, "label": list("ABCD")}, str(CHOICES), {"A": "x", "B": "y", "C": "z", "D": "w"})),
    (("answers", "aliases", "references", "outputs"), ({"text": ["stone"], "answer_start": [0]}, ["stone", "river"], "stone", [{"text": "stone"}])),
    (("answer", "target", "correct", "solution", "output"), ("A", 0, "stone", "7 #### 7", ["stone"], True, {"value": "stone", "aliases": ["stone"]}, "\\boxed{7}")),
    (("is_", "has_"), (True, "yes")),
    (("mc1_targets", "mc2_targets"), ({"choices": CHOICES, "labels": [1, 0, 0, 0]},)),
    (("entities", "list", "words", "tokens", "tags", "questions", "paragraphs"), (CHOICES, "stone")),
    (("num", "count", "length", "level", "year", "id", "score"), (3, "3", 0)),
)  # fmt: skip

ABCDE = {"label": list("ABCDE"), "text": ["a sea", "a door", "a stone", "bread", "a river"]}
HAND_MADE = {  # rows that trial does not find
    "winogrande/default.yaml": [
        {"sentence": "Anna thanked Ben because _ helped.", "option1": "Anna", "option2": "Ben", "answer": "2"}
    ],
    "triviaqa/default.yaml": [{"question": "Capital of France?", "answer": {"aliases": ["Paris"], "value": "Paris"}}],
    "commonsense_qa/default.yaml": [{"question": "Where is salt?", "choices": ABCDE, "answerKey": "A"}],
    "race/race.yaml": [
        {
            "article": "A cold river runs.",
            "problems": "[{'question': 'What runs?', 'answer': 'A', 'options': ['A river', 'A door', 'Anna', 'Ben']}]",
        }
    ],
    "logiqa/logiqa.yaml": [
        {"context": "All is cold.", "question": "What is cold?", "options": ["1", "2", "3", "4"], "label": "a"}
    ],
    "wsc273/default.yaml": [
        {
            "text": "Bob hit Tom because he was mad.",
            "pronoun": "he",
            "pronoun_loc": 20,
            "quote": "he was mad",
            "quote_loc": 20,
        }
        | {"options": ["Bob", "Tom"], "label": 0, "source": "x"}
    ],
    "drop/default.yaml": [
        {
            "query_id": "1",
            "passage": "Ben has three stones.",
            "question": "How many?",
            "validated_answers": {"number": [], "date": [], "spans": []},
        }
        | {"answer": {"number": "3", "date": {"day": "", "month": "", "year": ""}, "spans": []}}
    ],
    "mathqa/mathqa.yaml": [{"Problem": "1 + 1?", "options": "a ) 1 , b ) 2 , c ) 3 , d ) 4 , e ) 5", "correct": "b"}],
    "xcopa/default_et.yaml": [
        {"premise": "It rained.", "choice1": "It is wet.", "choice2": "It is dry.", "question": "effect", "label": 0}
    ],
    "mutual/multual_plus.yaml": [
        {"answers": "B", "options": ["yes", "no", "why", "how"], "article": "m : hello f : hi"}
    ],
    "belebele/belebele_acm_Arab.yaml": [
        {"flores_passage": "A door.", "question": "What?", "correct_answer_num": "2"}
        | {f"mc_answer{i}": f"door {i}" for i in range(1, 5)}
    ],
    "global_mmlu/default/ar/global_mmlu_ar_business.yaml": [
        {"subject_category": "Business", "subject": "x", "question": "Why?", "answer": "C"}
        | {f"option_{c}": f"door {c}" for c in "abcd"}
    ],
    "mmlu_pro/mmlu_pro_biology.yaml": [
        {"category": "biology", "question": "Why?", "options": ["a", "b"], "answer": "A", "cot_content": "."}
    ],
    "headqa/headqa_en.yaml": [
        {"qtext": "Why?", "ra": 2, "answers": [{"aid": 1, "atext": "a door"}, {"aid": 2, "atext": "a sea"}]}
    ],
    "toxigen/toxigen.yaml": [{"text": "Ben is cold.", "toxicity_human": 4.0, "toxicity_ai": 2.0}],
    "translation/iwslt2017_ar-en.yaml": [{"translation": {"ar": "x", "en": "a cold sea"}}],
}
HAND_MADE = {name: rows * 3 for name, rows in HAND_MADE.items()}


def fields_of(config: dict[str, Any]) -> list[str]:
    """Fields that a definition may read from a row: variables of its templates, and texts that its functions use as keys."""
    from jinja2 import Environment, TemplateSyntaxError, meta

    found: dict[str, None] = {}
    for key in (
        "doc_to_text",
        "doc_to_target",
        "doc_to_choice",
        "description",
        "doc_to_decontamination_query",
        "gen_prefix",
    ):
        value = config.get(key)
        if isinstance(value, str):
            if value.isidentifier():
                found[value] = None
            try:
                found.update(dict.fromkeys(sorted(meta.find_undeclared_variables(Environment().parse(value)))))
            except TemplateSyntaxError:
                continue
    for value in (*config.values(), *(m.get("metric") for m in config.get("metric_list") or ())):
        if callable(value) and (source := _source(value)):
            found.update(dict.fromkeys(_indices(source)))
    return [name for name in found if name not in ("range", "loop", "self")]


def _source(function: Any) -> str:
    try:
        return Path(inspect.getsourcefile(inspect.unwrap(function)) or "").read_text(encoding="utf-8")
    except (OSError, TypeError):
        return ""


def _indices(source: str) -> list[str]:
    """Text constants that are used as an index or as the first argument of `get`."""
    found = []
    for node in ast.walk(ast.parse(source)):
        value = node.slice if isinstance(node, ast.Subscript) else None
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "get"
            and node.args
        ):
            value = node.args[0]
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            found.append(value.value)
    return found


def candidates(name: str) -> tuple[Any, ...]:
    """Values that a field of this name may have; None for ordinary text."""
    lower = name.lower()
    for names, values in BY_NAME:
        if any(lower == n or lower.endswith(n) or lower.startswith(n) for n in names):
            return values
    if name in string.ascii_uppercase:
        return ("a cold door",)
    return (
        None,
        CHOICES,
        0,
        {"text": "stone"},
        [{"text": "stone", "answer": "stone", "question": "why?", "input_text": "why?"}],
    )


def rows_for(fields: list[str], attempt: int, count: int = 4) -> list[dict[str, Any]]:
    """Rows of one trial; the first trial takes the most likely value of each field."""
    draw = random.Random(attempt)
    kinds = {}
    for name in fields:
        values = candidates(name)
        kinds[name] = values[0] if not attempt or draw.random() < 0.5 else draw.choice(values)
    rows = []
    for number in range(count):
        words = random.Random(number)
        row = {}
        for name, kind in kinds.items():
            text = " ".join(words.choices(WORDS, k=5))
            row[name] = (
                text
                if kind is None
                else (number % 2 if isinstance(kind, int) and not isinstance(kind, bool) and kind < 2 else kind)
            )
        rows.append(row)
    return rows
