"""The model card of the described model: Hugging Face front matter, origin, metrics, limits."""

from io import StringIO
from typing import Any

from components.reporting.evidence import Accuracy, Case, Evidence
from components.reporting.growth import exam_share
from components.reporting.tables import DASH, decimal, percent, quantity, scientific, tables, with_error
from components.results.statistics import interval
from components.results.tables import Table, escape_markdown, markdown_table

MOST = 10**18  # a larger count is a mistake or an attack
SHAPE = (
    ("num_hidden_layers", "blocks"),
    ("hidden_size", "width"),
    ("num_attention_heads", "attention heads"),
    ("intermediate_size", "feed-forward width"),
    ("partial_rotary_factor", "share of each head with rotary positions"),
    ("vocab_size", "vocabulary"),
    ("max_position_embeddings", "context (tokens)"),
)
LIMITS = """\
- This model demonstrates a pipeline and a way to grow models. It is not meant to answer people's questions.
- It has only seen its training data. It makes up names, numbers and code that look right but are wrong.
- It has had no instruction tuning, preference tuning or safety training, and its answers are not filtered.
- The questions of the exam have the same form as the exercises in the training data. They were selected by their hash \
and kept out of the training data, but the scores measure that form only and say nothing about public benchmarks.
- Figures are of one run with one seed; differences between seeds were not measured."""


def model_card(case: Case, board: dict[str, Any], name: str, sources: Table | None = None) -> str:
    """The card as Markdown.

    Args:
        case: the evidence; `lineage` and `config` are those of the model's checkpoint.
        board: the leaderboard.
        name: name of the model, as registered.
        sources: origins and licences of the training data.
    """
    model = case.model(case.subject) or Evidence(case.subject)
    parts = [
        front_matter(model, name),
        f"# {escape_markdown(name)}",
        "A small Phi, trained "
        + ("after growth from a smaller Phi" if _grown(case) else "from scratch")
        + " on curated text and synthetic textbooks"
        + ". **A demonstration model.**",
        "## Intended use",
        "Study of data curation, model growth and small language models: text continuation, comparison of checkpoints, "
        "fine-tuning. Load it with `transformers` (`AutoModelForCausalLM.from_pretrained`); the tokenizer is next "
        "to the weights. Not for production, advice or any decision about people.",
        "## Model",
        markdown_table(["property", "value"], _shape(case, model)),
        "## Training",
        markdown_table(["property", "value"], _training(case, model)),
        *_data(case),
        *(sources.markdown(3) if sources else ()),
        "## Figures",
    ]
    for table in tables(case, board):
        parts += table.markdown(3)
    return "\n\n".join([*parts, "## Limits", LIMITS]) + "\n"


def front_matter(model: Evidence, name: str) -> str:
    """The YAML block for the Hugging Face hub, between its two lines of dashes."""
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
        rows.append(["… its 95% interval", _interval(overall)])
        rows.append(["exam accuracy by guessing", decimal(overall.chance, 3)])
        rows.append(
            ["smallest difference from another model that the exam detects", decimal(overall.detects["another"], 3)]
        )
        rows.append(["exam questions that occur in the training corpus", percent(overall.overlap)])
        clean = overall.clean
        rows.append(["exam accuracy on the other questions", with_error(clean.value, clean.stderr) if clean else DASH])
    if model.scores and (reworded := model.scores.reworded.get("overall")):
        rows.append(["exam accuracy, held-out wordings and compositions", with_error(reworded.value, reworded.stderr)])
    if case.transfer:
        rows.append(["start", f"grown from the small model ({case.transfer['operator']})"])
    if growth := trained.get("growth"):
        rows.append(["share of the gain after growth that new parameters carry", f"{growth['new']['share']:.0%}"])
        along = [
            f"{row['new_share']:.0%} at {quantity(row['tokens'])}"
            for row in growth.get("along", ())
            if "new_share" in row
        ]
        rows.append(["… along training, on a quarter of the held-out text", ", ".join(along) or DASH])
    if (exam := exam_share(case)) and exam["all"]["share"] is not None:
        rows.append(["… of the gain over the small model in the exam's bits per byte", f"{exam['all']['share']:.0%}"])
    for key, words in (("seed", "seed"), ("tokens_fingerprint", "fingerprint of the tokens")):
        if isinstance(lineage.get(key), int | str):
            rows.append([words, str(lineage[key])])
    if trained.get("checkpoint_sha256"):
        rows.append(["SHA-256 of the weights", str(trained["checkpoint_sha256"])])
    return [row for row in rows if row[1] != "-"]


def _interval(accuracy: Accuracy) -> str:
    low, high = interval(accuracy.estimate)
    return DASH if low is None or high is None else f"{decimal(low, 3)} to {decimal(high, 3)}"


def _data(case: Case) -> list[str]:
    """Training data by kind, with counts if the checkpoint's lineage has them."""
    kinds = case.lineage.get("by_kind")
    if not isinstance(kinds, dict) or not all(isinstance(v, dict) for v in kinds.values()):
        text = (
            "Curated web text, prose and code, synthetic textbooks and exercises; `params.yaml` lists the sources, and the "
            "ledgers of the run the documents. The checkpoint's lineage has no counts by kind."
        )
        return ["## Training data", text]
    read = case.lineage.get("tokens_read_by_kind")
    read = read if isinstance(read, dict) else {}
    rows = [
        [kind, *(_count(found.get(key)) for key in ("documents", "tokens", "bytes")), _count(read.get(kind))]
        for kind, found in sorted(kinds.items())
    ]
    text = "The training split, and the tokens that this model's training read from it in random order."
    head = ["kind", "documents", "tokens", "bytes", "tokens read"]
    return ["## Training data", markdown_table(head, rows), text]


def _count(value: Any) -> str:
    """A number of a lineage, which anybody may have written."""
    return quantity(value) if isinstance(value, int) and value < MOST else DASH
