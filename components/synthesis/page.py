"""The textbooks as one HTML page without scripts: contents by subject, samples, verification, diversity, cost."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.documents import Document, Drop
from components.files import atomic_file
from components.params import SynthesisParams
from components.results.pages import render
from components.synthesis.curriculum import Curriculum
from components.synthesis.drafts import Draft
from components.synthesis.generators import Task
from components.synthesis.rephrase import SUBJECT, is_rewrite

TEMPLATE = Path(__file__).with_name("page.html.j2")
SAMPLES = 2  # chapters shown per subject
EXAMPLES = 3  # ledger rows shown per rule
MAX_SAMPLE = 2_500  # characters shown of a chapter
LIBRARY = "library"
RULES = {
    "code": "Python in the text does not run, or does not give what the text says",
    "copied_seed": "sentences were copied from the seed document",
    "duplicate_question": "already asked, in training or in the exam",
    "exam_full": "correct, but the exam already has enough of this task",
    "invented_name": "a rewrite has a name that its document does not have",
    "invented_number": "a rewrite has a number that its document does not have",
    "language": "not in English; of a rewrite, not in the language of its document",
    "markup": "markup of a chat in the text",
    "near_duplicate": "resembles an earlier chapter",
    "no_question_left": "none of its questions was verified",
    "prompt_leak": "talks about the task instead of the subject",
    "refusal": "the model refused",
    "reworded_full": "correct, but in a held-out wording of which the exam already has enough",
    "share_full": "correct, but the task already has its share",
    "task_exhausted": "the task has no new question",
    "too_long": "longer than a chapter",
    "too_short": "shorter than a chapter",
    "verification": "the answer is not what was recomputed or executed, or the choices are not choices",
    "wrong_sum": "a calculation in the text is wrong",
}


class Contents:
    """Collects counts and a few samples, chosen by id, while documents are written."""

    def __init__(self, curriculum: Curriculum) -> None:
        self.titles = {topic.subject: topic.subject_title for topic in curriculum.topics} | {
            LIBRARY: "Python's library",
            SUBJECT: "Rewritten documents",
        }
        self.topics = {topic.id: topic.title for topic in curriculum.topics}
        self.chapters: dict[str, dict[str, Counter[str]]] = {}
        self.practice: Counter[str] = Counter()
        self._samples: dict[tuple[str, str], Document] = {}

    def add(self, document: Document) -> None:
        form = document.metadata.get("format")
        if form is None:
            self.practice[document.source.rpartition("/")[2]] += 1
            self._keep("", "practice", document)
            return
        subject, topic = _place(document)
        self.chapters.setdefault(subject, {}).setdefault(topic, Counter())[form] += 1
        self._keep(subject, form, document)

    def formats(self, subject: str) -> list[str]:
        """The formats of a subject's chapters."""
        return sorted({form for counts in self.chapters[subject].values() for form in counts})

    def samples(self) -> list[tuple[str, list[Document]]]:
        """(subject, documents) pairs: two chapters per subject, in formats that differ between subjects; then exercises."""
        chosen, turn = [], 0
        for subject in [subject for subject in self.titles if subject in self.chapters]:
            forms = sorted(form for place, form in self._samples if place == subject)
            forms = [forms[(turn + i) % len(forms)] for i in range(min(SAMPLES, len(forms)))]
            chosen.append((self.titles[subject], [self._samples[subject, form] for form in forms]))
            turn += SAMPLES
        if ("", "practice") in self._samples:
            chosen.append(("Practice", [self._samples["", "practice"]]))
        return chosen

    def _keep(self, subject: str, form: str, document: Document) -> None:
        old = self._samples.get((subject, form))
        if old is None or document.id < old.id:
            self._samples[subject, form] = document


def _place(document: Document) -> tuple[str, str]:
    """Subject and topic of a chapter. The subject of a library chapter is its module, that of a rewrite its document's kind."""
    if is_rewrite(document.metadata["format"]):
        return SUBJECT, document.metadata["category"]
    parts = document.source.split("/")
    if parts[0] == "curriculum" and len(parts) == 3:
        return parts[1], parts[2]
    return LIBRARY, document.source.rpartition(":")[2].partition(".")[0]


def task_rows(
    tasks: Mapping[str, Task], training: Mapping[str, Sequence[Draft]], exam: Mapping[str, Any], drops: Sequence[Drop]
) -> list[dict[str, Any]]:
    """One row per task: exercises, templates, exam questions, baselines, and the number that failed verification."""
    failed = Counter(drop.source.rpartition(":")[2] for drop in drops if drop.rule == "verification")
    return [
        {
            "id": name,
            "category": task.category,
            "way": "executed" if task.executed else "recomputed",
            "exercises": len(training[name]),
            "templates": len({draft.template for draft in training[name]}),
            "failed": failed[name],
            "exam": exam.get(name, {}).get("examples", 0),
            "chance": exam.get(name, {}).get("chance"),
            "majority": exam.get(name, {}).get("majority"),
        }
        for name, task in sorted(tasks.items(), key=lambda item: (item[1].category, item[0]))
    ]


def write_page(
    path: Path,
    summary: Mapping[str, Any],
    contents: Contents,
    tasks: Sequence[Mapping[str, Any]],
    drops: Sequence[Drop],
    params: SynthesisParams,
) -> None:
    """Write the page, whole or not at all."""
    examples: dict[str, list[Drop]] = {}
    for drop in drops:
        examples.setdefault(drop.rule, [])
        if len(examples[drop.rule]) < EXAMPLES:
            examples[drop.rule].append(drop)
    html = render(
        TEMPLATE,
        {"number": _number, "percent": lambda value: f"{value:.1%}", "sum_counts": lambda counts: counts.total()},
        summary=summary,
        contents=contents,
        samples=contents.samples(),
        max_sample=MAX_SAMPLE,
        tasks=tasks,
        rules=[(rule, count, RULES.get(rule, ""), examples[rule]) for rule, count in summary["ledger"].items()],
        gates=_gates(summary["diversity"], params),
        params=params,
    )
    with atomic_file(path) as partial:
        partial.write_text(html, encoding="utf-8")


def _gates(measured: Mapping[str, Any], params: SynthesisParams) -> list[tuple[str, str, str, str]]:
    """Rows of (metric, value, limit, what it detects)."""
    near, templates = measured["near_duplicates"], measured["templates"]
    return [
        ("Equal questions", "0", "0", "counted over exercises, chapters and exam together; one fails the run"),
        (
            "Compression",
            f"{measured['gzip_ratio']:.2f} times",
            f"at most {params.max_gzip_ratio:g}",
            "one template over and over compresses more than ten times, running prose about three times",
        ),
        (
            "Near-duplicates",
            f"{near['share']:.2%} ({near['own']} of ours, {near['curated']} of the curated corpus)",
            f"at most {params.max_near_duplicates:.2%}",
            "documents that share 0.7 of their runs of five words with another, by MinHash",
        ),
        (
            "Largest template",
            f"{templates['largest_share']:.2%} ({templates['largest']})",
            f"at most {params.max_template_share:.2%}",
            f"share of the exercises; there are {templates['distinct']:,} templates",
        ),
        *(
            (
                f"Distinct runs of three words, {kind}s",
                f"{measured[kind]['distinct_3']:.1%}",
                f"at least {params.min_distinct_3:.1%}",
                f"of the first 200,000 words; of two words {measured[kind]['distinct_2']:.1%}",
            )
            for kind in ("textbook", "exercise")
        ),
    ]


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
