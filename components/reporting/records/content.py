"""The public summary of training content that Article 53(1)(d) of the EU's AI Act asks for.

Follows the Commission's template, published on 24 July 2025 and adopted on 5 December 2025 as C(2025) 8311: general
information, list of data sources, data processing aspects, with the template's numbers. A field comes from the records, from what the provider
states, or is `unknown`: nothing is assumed.
https://digital-strategy.ec.europa.eu/en/library/explanatory-notice-and-template-public-summary-training-content-general-purpose-ai-models
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from components.foreign.terminal import printable
from components.reporting.records.corpus import FILES, LONGEST, PYTHON, WEB, WRITTEN, Corpus, Holding
from components.reporting.records.gather import UNKNOWN, Record, fingerprints
from components.reporting.tables import percent
from components.results.tables import escape_markdown

RECORDS, PROVIDER = "records", "provider"  # where a value is from; else UNKNOWN
NOT_APPLICABLE = "not applicable"
SECTIONS = {
    "1": "General information",
    "1.1": "Provider identification",
    "1.2": "Model identification",
    "1.3": "Modalities, overall training data size and other characteristics",
    "2": "List of data sources",
    "2.1": "Publicly available datasets",
    "2.2": "Private non-publicly available datasets obtained from third parties",
    "2.2.1": "Datasets commercially licensed by rightsholders or their representatives",
    "2.2.2": "Private datasets obtained from other third parties",
    "2.3": "Data crawled and scraped from online sources",
    "2.4": "User data",
    "2.5": "Synthetic data",
    "2.6": "Other sources of data",
    "3": "Data processing aspects",
    "3.1": "Respect of reservation of rights from text and data mining exception or limitation",
    "3.2": "Removal of illegal content",
    "3.3": "Other information",
}
SIZES = ((10**9, "less than 1 billion tokens"), (10**13, "1 billion to 10 trillion tokens"))
LARGEST = "more than 10 trillion tokens"
TOP_HOSTS = 0.1  # share of the hosts that the template asks for
MOST_HOSTS = 1000


class Field(NamedTuple):
    """One field of the template, and where its value is from: records, provider or unknown."""

    section: str
    name: str
    value: str
    origin: str


def content_summary(record: Record) -> list[Field]:
    """All fields in the template's order."""
    return [*_general(record), *_sources(record), *_processing(record)]


def as_markdown(record: Record, fields: list[Field]) -> str:
    """The summary for people; values in italics are not known."""
    lines = [
        "# Public summary of training content",
        "By the template for Article 53(1)(d) of Regulation (EU) 2024/1689 (AI Act). Values are from the records of the "
        "training run unless marked: (p) stated by the provider; *unknown*: in no record.",
    ]
    done: set[str] = set()
    for field in fields:
        for number in (field.section[: end + 1] for end, mark in enumerate(field.section) if mark != "."):
            if number not in done:
                done.add(number)
                lines.append(f"{'#' * (2 + number.count('.'))} {number}. {SECTIONS[number]}")
        shown = escape_markdown(field.value) if field.origin != UNKNOWN else f"*{escape_markdown(field.value)}*"
        lines.append(f"**{field.name}:** {shown}" + (" (p)" if field.origin == PROVIDER else ""))
    return "\n\n".join(lines) + "\n"


def _field(section: str, name: str, recorded: str | None = None, stated: str = "") -> Field:
    """A field with what the records say, and behind it what the provider states."""
    known = [printable(value) for value in (recorded, stated) if value]
    origin = RECORDS if recorded else PROVIDER if stated else UNKNOWN
    return Field(section, name, " ".join(known) or UNKNOWN, origin)


def _general(record: Record) -> Iterator[Field]:
    facts, corpus = record.facts, record.corpus
    yield _field("1.1", "Provider name and contact details", stated=facts.provider)
    yield _field("1.1", "Authorised representative name and contact details", stated=facts.representative)
    yield _field("1.2", "Versioned model name(s)", f"{record.name}, SHA-256 of the weights {record.weights}")
    yield _field("1.2", "Model dependencies", dependencies(record))
    yield _field("1.2", "Date of placement of the model on the Union market", stated=facts.placed_on_market)
    yield _field("1.3", "Modality", "text")
    yield _field("1.3", "Training data size", _size(record))
    yield _field("1.3", "Types of content", _kinds(corpus))
    latest = f"{corpus.dates[-1]} is the latest date in the documents' records." if corpus and corpus.dates else None
    yield _field("1.3", "Latest date of data acquisition or collection", latest, facts.latest_data)
    yield _field(
        "1.3", "Continuously trained on new data after this date", "No: the weights of this version are fixed."
    )
    yield _field("1.3", "Linguistic characteristics of the overall training data", _languages(record))
    yield _field("1.3", "Other relevant characteristics", stated=facts.other_characteristics)
    earlier = fingerprints(record.case.lineage)[1:]
    if earlier:
        marks = ", ".join(mark[:12] for mark in earlier)
        yield Field("1.3", "Training data of earlier stages", f"{UNKNOWN} (tokens {marks})", UNKNOWN)


def dependencies(record: Record) -> str | None:
    """The models that this one was made from; None without a lineage to its beginning."""
    chain = record.chain
    if not chain or chain[-1].get("step") != "training" or chain[-1].get("initial"):
        return None
    teachers = [step["teacher"] for step in chain if step.get("teacher")]
    names = {"transfer": "growth ({})", "tuning": "fine-tuning"}
    steps = [names.get(str(step.get("step")), "training").format(step.get("operator")) for step in chain]
    start = f"None outside the pipeline; from random weights by {', then '.join(reversed(steps))}."
    if teachers:
        start += f" Distilled from {len(teachers)} teacher model(s), which lineage.json names."
    return printable(start)


def _size(record: Record) -> str | None:
    kinds = record.case.lineage.get("by_kind")
    tokens = record.corpus.tokens if record.corpus else None
    if tokens is None and isinstance(kinds, dict):
        counts = [kind.get("tokens") for kind in kinds.values() if isinstance(kind, dict)]
        known = [count for count in counts if isinstance(count, int)]
        tokens = sum(known) if known and len(known) == len(counts) else None
    if tokens is None:
        return None
    bracket = next((words for most, words in SIZES if tokens < most), LARGEST)
    return f"{bracket} ({tokens:,} tokens, repeated documents counted each time)"


def _kinds(corpus: Corpus | None) -> str | None:
    if corpus is None:
        return None
    tokens = Counter[str]()
    for holding in corpus.holdings:
        tokens[holding.kind] += holding.tokens
    return ", ".join(f"{kind} ({percent(count / corpus.tokens)})" for kind, count in tokens.most_common())


def _languages(record: Record) -> str | None:
    found = record.steps.get("curate", {}).get("languages")
    shares = found.get("shares") if isinstance(found, dict) else None
    if not isinstance(shares, dict) or not shares:
        return None
    return "Share of the text's bytes by language: " + ", ".join(
        f"{code} {percent(part)}" for code, part in shares.items()
    )


def _described(holdings: list[Holding], whole: int) -> str:
    """Holdings as one line: origin, kind, licence, documents, share of the tokens."""
    return "; ".join(
        f"{one.origin}: {one.kind}, licence {one.license}, {one.documents:,} documents, {percent(one.tokens / whole)} of the tokens"
        for one in holdings
    )


def _sources(record: Record) -> Iterator[Field]:
    facts, corpus = record.facts, record.corpus
    held = corpus.holdings if corpus else ()
    whole = corpus.tokens if corpus else 1
    public = [one for one in held if one.origin == PYTHON or one.origin.startswith("hf://")]
    used = None if corpus is None else "Yes" if public else None if corpus.of(FILES, WEB) else "No"
    yield _field("2.1", "Publicly available datasets used", used, facts.public_datasets)
    none = NOT_APPLICABLE if used == "No" else None
    yield _field("2.1", "Modality of the content", "text" if public else none)
    yield _field("2.1", "List of large publicly available datasets", _described(public, whole) or none)
    others = NOT_APPLICABLE if corpus and not corpus.of(FILES, WEB) else None
    yield _field("2.1", "Other publicly available datasets", others, facts.public_datasets)
    own = corpus is not None and len(corpus.of(PYTHON, WRITTEN)) == len(held)
    no = "No: every document is of Python's library or written by this pipeline." if own else None
    yield _field("2.2.1", "Commercial licensing agreements concluded", no, facts.licensed_datasets)
    yield _field("2.2.2", "Private datasets obtained from other third parties", no, facts.private_datasets)
    yield from _crawled(record)
    yield _field("2.4", "User data used, of the model or of other services", no, facts.user_data)
    yield from _synthetic(record)
    other = [one for one in held if one.origin == FILES or (one.origin == WRITTEN and not one.by_model)]
    said = None if corpus is None else "Yes" if other else "No"
    yield _field("2.6", "Other sources used", said)
    given = "".join(f". Sources as the run was given them: {names}." for names in [_given(record)] if names and other)
    yield _field("2.6", "Description", _described(other, whole) + given if other else NOT_APPLICABLE if said else None)


def _given(record: Record) -> str:
    """The sources in the inventory of the run; of absolute paths the last part."""
    listed = record.inventory.get("sources")
    paths = [str(one.get("path")) for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    names = [
        path if "://" in path else path.rstrip("/").rpartition("/")[2] if path.startswith("/") else path
        for path in paths
    ]
    return ", ".join(printable(name)[:LONGEST] for name in names)


def _crawled(record: Record) -> Iterator[Field]:
    corpus, stated = record.corpus, record.facts.crawlers
    pages = [one for one in corpus.holdings if one.kind == "web" or one.origin == WEB] if corpus else []
    if corpus and not pages:
        yield _field("2.3", "Crawlers used", "No: no document is a web page or has a web address.", stated)
        return
    yield _field("2.3", "Crawlers used by the provider or on its behalf", stated=stated)
    yield _field("2.3", "Crawler names, purposes and behaviour", stated=stated)
    period = " to ".join(corpus.dates) if corpus and corpus.dates else None
    yield _field("2.3", "Period of data collection", period)
    yield _field("2.3", "Type of content and online sources", _described(pages, corpus.tokens) if corpus else None)
    yield _field("2.3", "Modality", "text" if pages else None)
    yield _field("2.3", "Most relevant domain names", _top_hosts(corpus) if corpus else None)


def _top_hosts(corpus: Corpus) -> str | None:
    """The tenth of the hosts with most text, at most MOST_HOSTS of them."""
    if not corpus.hosts:
        return None
    count = min(MOST_HOSTS, -(-len(corpus.hosts) // round(1 / TOP_HOSTS)))
    return f"{count} of {len(corpus.hosts)} by bytes of text: " + ", ".join(host for host, _ in corpus.hosts[:count])


def _synthetic(record: Record) -> Iterator[Field]:
    corpus = record.corpus
    made = [one for one in corpus.holdings if one.by_model] if corpus else []
    said = "Yes" if made else "No: programs, not AI models, wrote the generated texts." if corpus else None
    yield _field("2.5", "Synthetic AI-generated data created by the provider or on its behalf", said)
    none = NOT_APPLICABLE if corpus and not made else None
    yield _field("2.5", "Modality", "text" if made else none)
    models = ", ".join(dict.fromkeys(one.created_by.partition("/")[2] for one in made))
    yield _field("2.5", "AI models that generated the data", models or none)
    yield _field("2.5", "The data", _described(made, corpus.tokens) if corpus and made else none)


def _processing(record: Record) -> Iterator[Field]:
    facts, curate = record.facts, record.steps.get("curate", {})
    yield _field("3.1", "Signatory to the Code of Practice", stated=facts.code_of_practice)
    dropped: Any = curate.get("dropped")
    dropped = dropped if isinstance(dropped, dict) else {}
    listed = sum(
        count for rule, count in dropped.items() if str(rule).startswith("url_lists.") and isinstance(count, int)
    )
    measures = f"Lists of URLs excluded {listed:,} documents." if listed else None
    yield _field("3.1", "Measures to respect reservations of rights", measures, facts.rights_reservation)
    redacted = curate.get("redacted")
    personal = None
    if isinstance(redacted, dict):
        found = (
            ", ".join(f"{count:,} {kind}" for kind, count in redacted.items() if isinstance(count, int)) or "none found"
        )
        personal = f"Personal data was redacted ({found}). No step of the pipeline looks for illegal content."
    yield _field("3.2", "Measures to avoid or remove illegal content", personal, facts.illegal_content)
    yield _field("3.3", "Other information about data processing", _curation(curate, dropped))


def _curation(curate: dict[str, Any], dropped: dict[Any, Any]) -> str | None:
    counts = [curate.get(key) for key in ("documents_in", "documents_kept")]
    if not all(isinstance(count, int) for count in counts):
        return None
    rules = ", ".join(f"{rule} {count:,}" for rule, count in dropped.items() if isinstance(count, int))
    return f"Curation kept {counts[1]:,} of {counts[0]:,} documents; dropped by rule: {rules or 'none'}."
