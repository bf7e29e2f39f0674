"""The model card of the larger model: Hugging Face front matter, origin, metrics, limits."""

from io import StringIO
from typing import Any

from components.reporting.evidence import Case, Evidence
from components.reporting.tables import (
    decimal,
    quantity,
    scientific,
    tables,
    with_error,
)
from components.results.tables import escape_markdown, markdown_table

SHAPE = (
    ("num_hidden_layers", "blocks"),
    ("hidden_size", "width"),
    ("num_attention_heads", "attention heads"),
    ("intermediate_size", "feed-forward width"),
    ("partial_rotary_factor", "share of each head that carries the position"),
    ("vocab_size", "vocabulary"),
    ("max_position_embeddings", "context (tokens)"),
)
LIMITS = """\
- This model demonstrates a pipeline and a way to grow models. It is not meant to answer people's questions.
- It knows only what its training data held. It makes up names, numbers and code that look right but are not.
- It has had no instruction tuning, no preference tuning and no safety training; nothing filters what it writes.
- The exam asks in the same form in which the exercises of the training data ask. Questions were held back by their \
hash, so that none is in the training data, but the scores measure that form only and do not carry over to public \
benchmarks.
- Figures are of one run with one seed; the spread between seeds was not measured."""


def model_card(case: Case, board: dict[str, Any], name: str) -> str:
    """The card as Markdown.

    Args:
        case: the evidence; `lineage` and `config` are those of the model's checkpoint.
        board: the leaderboard.
        name: name of the model, as registered.
    """
    model = case.model(case.subject) or Evidence(case.subject)
    parts = [
        front_matter(model, name),
        f"# {escape_markdown(name)}",
        "A small Phi, trained from scratch on curated text and synthetic textbooks"
        + (", its start grown from a smaller Phi" if _grown(case) else "")
        + ". **A demonstration model.**",
        "## Intended use",
        "Study of data curation, of model growth and of small language models: continue text, compare checkpoints, "
        "fine-tune. Load it with `transformers` (`AutoModelForCausalLM.from_pretrained`); the tokenizer is next "
        "to the weights. Not for production, advice or any decision about people.",
        "## Model",
        markdown_table(["property", "value"], _shape(case, model)),
        "## Training",
        markdown_table(["property", "value"], _training(case, model)),
        *_data(case),
        "## Figures",
    ]
    for table in tables(case, board):
        parts += [
            f"### {escape_markdown(table['title'])}",
            markdown_table(table["header"], table["rows"]),
            table["note"],
        ]
    return "\n\n".join([*(p for p in parts if p), "## Limits", LIMITS]) + "\n"


def front_matter(model: Evidence, name: str) -> str:
    """The YAML block that the Hugging Face hub reads, between its rules."""
    from ruamel.yaml import YAML

    tags = ["phi", "small-language-model", "knowledge-transfer", "demonstration"]
    values: dict[str, Any] = {
        "language": ["en"],
        "license": "other",
        "license_name": "as-the-training-data",
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": tags,
    }
    if model.scores:
        values["model-index"] = [{"name": name, "results": _results(model)}]
    text = StringIO()
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.dump(values, text)
    return f"---\n{text.getvalue().strip()}\n---"


def _results(model: Evidence) -> list[dict[str, Any]]:
    return [
        {
            "task": {"type": "text-generation"},
            "dataset": {"name": f"held-out exam: {task}", "type": "exam"},
            "metrics": [{"type": "accuracy", "name": accuracy.metric, "value": round(accuracy.value, 4)}],
        }
        for task, accuracy in (model.scores.tasks if model.scores else {}).items()
    ]


def _grown(case: Case) -> bool:
    return case.transfer is not None or bool(case.lineage.get("initial"))


def _shape(case: Case, model: Evidence) -> list[list[str]]:
    parameters = (model.training or {}).get("parameters")
    rows = [["parameters", quantity(parameters)]] if parameters else []
    rows += [[words, str(case.config[key])] for key, words in SHAPE if key in case.config]
    return rows or [["shape", "not given"]]


def _training(case: Case, model: Evidence) -> list[list[str]]:
    trained, lineage = model.training or {}, case.lineage
    rows = [
        ["tokens", quantity(trained.get("tokens"))],
        ["passes over the training tokens", decimal(trained.get("epochs"), 2)],
        ["optimizer steps", quantity(trained.get("steps"))],
        ["training FLOPs", scientific(trained.get("flops"))],
        [
            "validation loss (nats per token)",
            with_error(trained.get("validation_loss"), trained.get("validation_loss_stderr"), 4),
        ],
        ["bits per byte", decimal(trained.get("bits_per_byte"), 4)],
    ]
    if model.scores:
        overall = model.scores.overall
        rows.append(["exam accuracy", with_error(overall.value, overall.stderr)])
        rows.append(["exam accuracy by guessing", decimal(overall.chance, 3)])
    if model.scores and (reworded := model.scores.transfer.get("overall")):
        rows.append(["exam accuracy, held-out wordings and compositions", with_error(reworded.value, reworded.stderr)])
    if case.transfer:
        rows.append(["start", f"grown from the small model ({case.transfer['operator']})"])
    if growth := trained.get("growth"):
        rows.append(["share of the gain after growth that new parameters carry", f"{growth['new']['share']:.0%}"])
    for key, words in (("seed", "seed"), ("tokens_fingerprint", "fingerprint of the tokens")):
        if isinstance(lineage.get(key), int | str):
            rows.append([words, str(lineage[key])])
    if trained.get("checkpoint_sha256"):
        rows.append(["SHA-256 of the weights", str(trained["checkpoint_sha256"])])
    return [row for row in rows if row[1] != "-"]


def _data(case: Case) -> list[str]:
    """Training data by kind, with counts if the checkpoint's lineage has them."""
    kinds = case.lineage.get("by_kind")
    if not isinstance(kinds, dict) or not all(isinstance(v, dict) for v in kinds.values()):
        text = (
            "Curated web text, prose and code, synthetic textbooks and exercises, as the sources in `params.yaml` and "
            "the ledgers of the run say; the checkpoint's lineage does not count them by kind."
        )
        return ["## Training data", text]
    read = case.lineage.get("tokens_read_by_kind")
    read = read if isinstance(read, dict) else {}
    rows = [
        [kind, *(quantity(found.get(key)) for key in ("documents", "tokens", "bytes")), quantity(read.get(kind))]
        for kind, found in sorted(kinds.items())
    ]
    text = "What the training split holds, and how many tokens of it this model's training read, in random order."
    head = ["kind", "documents", "tokens", "bytes", "tokens read"]
    return ["## Training data", markdown_table(head, rows), text]
