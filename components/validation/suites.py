"""The expectations of each asset, as data; the names are Great Expectations' own.

An asset is checked as tables: documents as `rows` (one per document, in batches), `shards` (one per Parquet file) and
`facts` (one row for the whole set); tokens as `shards` (one per token file), `splits` (one for train, one for validation)
and `facts`. Uniqueness, counts and means are in `facts`, because a single batch does not show them.
"""

from dataclasses import dataclass, field
from functools import partial
from typing import Any

from components.documents import KINDS, ROWS_PER_GROUP
from components.params import ValidationParams
from components.text.markup import UNCLEAN

MORE = "add text to ingestion.sources"
MAX_BAD_CHARACTERS = 0.01  # share of a text's characters; a text in a wrong encoding has far more
TEACHERS = r"^(?:procedural|api|local|cached)/[^:\s]+:\S+"  # author of a textbook, its version, and prompt or generator


@dataclass(frozen=True)
class Rule:
    """One expectation on one table.

    Attributes:
        expectation, arguments: a class of `great_expectations.expectations` and its arguments.
        meaning: completes the sentence "expected:".
        mostly: share of rows, over all batches, that must comply.
        parameter: the parameter with the limit; empty without one.
        advice: a fix that does not change the parameter.
    """

    table: str
    expectation: str
    arguments: dict[str, Any]
    meaning: str
    mostly: float = 1.0
    parameter: str = ""
    advice: str = ""
    columns: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        names = (self.arguments.get(key) for key in ("column", "column_A", "column_B"))
        object.__setattr__(self, "columns", tuple(name for name in names if name))


def suite(asset: str, params: ValidationParams) -> list[Rule]:
    """The rules of an asset, in the order of the report."""
    if asset == "tokens":
        return _tokens(params)
    rules = [*_identity(), *_provenance(), *_content(params), *_document_shards()]
    if asset == "raw":
        return [*rules, _kinds(KINDS), *_size(params), _duplicates(params.max_duplicate_fraction, "raw")]
    if asset == "curated":
        return [*rules, _kinds(KINDS), *_size(params), _duplicates(0.0, "curated")]
    return [
        *rules,
        _kinds(("textbook", "exercise")),
        _matches("created_by", TEACHERS, "teacher, version and generator, e.g. procedural/1:exercises"),
        Rule(
            "rows",
            "ExpectColumnValuesToNotMatchRegex",
            {"column": "text", "regex": UNCLEAN.pattern},
            "no thoughts, chat markup or control characters of a model",
        ),
        _between("facts", "documents", 1, None, "the set is not empty"),
        _duplicates(0.0, "textbooks"),
    ]


def _identity() -> list[Rule]:
    return [
        _matches("id", r"^[0-9a-f]{32}$", "32 hexadecimal digits"),
        _equal("rows", "id", "content_hash", "the id is the hash of the text"),
    ]


def _provenance() -> list[Rule]:
    return [
        *(_matches(name, r"\S", "not blank") for name in ("source", "license", "created_by")),
        _in_set("rows", "metadata_type", ["object"], "metadata is a JSON object"),
        _between("rows", "educational_value", 0, 5, "0 to 5, or null until scored"),
        _between("rows", "quality", 0, 1, "0 to 1, or null until scored"),
    ]


def _content(params: ValidationParams) -> list[Rule]:
    """Rules with a tolerance, because a user's corpus may have a blank text or a file in a wrong encoding."""
    tolerant = partial(
        Rule, "rows", mostly=1.0 - params.max_invalid_fraction, parameter="validation.max_invalid_fraction"
    )
    return [
        tolerant(
            "ExpectColumnValueLengthsToBeBetween",
            {"column": "text", "min_value": 1},
            "text is not empty",
        ),
        tolerant(
            "ExpectColumnValuesToNotMatchRegex",
            {"column": "text", "regex": r"\A\s+\Z"},
            "text is not only blanks",
        ),
        tolerant(
            "ExpectColumnValuesToBeBetween",
            {"column": "bad_character_fraction", "max_value": MAX_BAD_CHARACTERS},
            f"at most {MAX_BAD_CHARACTERS:.0%} of a text's characters are U+FFFD or NUL, the marks of a wrong encoding",
        ),
    ]


def _document_shards() -> list[Rule]:
    return [
        _equal("shards", "rows", "rows_in_footer", "all rows of the Parquet footer can be read"),
        _between("shards", "largest_row_group", 0, ROWS_PER_GROUP, f"at most {ROWS_PER_GROUP:,} rows per row group"),
    ]


def _size(params: ValidationParams) -> list[Rule]:
    return [
        _at_least(params, "documents", "min_documents", "documents in the set"),
        _at_least(params, "megabytes", "min_megabytes", "MB of UTF-8 in the set"),
    ]


def _duplicates(limit: float, asset: str) -> Rule:
    meaning = f"at most {limit:.2%} of ids are repeated" if limit else "ids are unique over all shards"
    tunable = {"parameter": "validation.max_duplicate_fraction", "advice": "name each source once"}
    return _between("facts", "duplicate_fraction", None, limit, meaning, **(tunable if asset == "raw" else {}))


def _kinds(kinds: tuple[str, ...]) -> Rule:
    return _in_set("rows", "kind", list(kinds), f"one of {', '.join(kinds)}")


def _tokens(params: ValidationParams) -> list[Rule]:
    return [
        _equal("shards", "size_bytes", "expected_bytes", "the file has the length in the manifest"),
        _equal("shards", "sha256", "expected_sha256", "the file has the hash in the manifest"),
        Rule(
            "shards",
            "ExpectColumnPairValuesAToBeGreaterThanB",
            {"column_A": "vocab_size", "column_B": "largest_id"},
            "every id is in the vocabulary",
        ),
        _equal("splits", "tokens", "expected_tokens", "the shards have as many tokens as the manifest"),
        _equal("splits", "eos_tokens", "documents", "one end-of-text token per document"),
        _equal("splits", "documents_ended", "documents", "every document ends with an end-of-text token"),
        _equal("splits", "documents", "expected_documents", "documents.parquet has as many documents as the manifest"),
        _equal(
            "splits",
            "document_bytes",
            "expected_document_bytes",
            "documents.parquet has as many bytes of text as the manifest",
        ),
        _equal("splits", "index_sha256", "expected_index_sha256", "documents.parquet has the hash in the manifest"),
        _between("splits", "gaps", None, 0, "each document starts where the one before it ends"),
        _between("splits", "documents", 1, None, "the split is not empty"),
        _equal(
            "facts", "tokenizer_sha256", "expected_tokenizer_sha256", "the tokenizer is the one that made the tokens"
        ),
        _at_least(params, "train_tokens", "min_tokens", "training tokens"),
        _at_least(
            params,
            "bytes_per_token",
            "min_bytes_per_token",
            "bytes of training text per token",
            "raise tokenization.vocab_size",
        ),
        _between("facts", "shared_documents", None, 0, "no document is in both train and validation"),
    ]


def _matches(column: str, regex: str, meaning: str) -> Rule:
    return Rule("rows", "ExpectColumnValuesToMatchRegex", {"column": column, "regex": regex}, meaning)


def _in_set(table: str, column: str, values: list[str], meaning: str) -> Rule:
    return Rule(table, "ExpectColumnValuesToBeInSet", {"column": column, "value_set": values}, meaning)


def _equal(table: str, first: str, second: str, meaning: str) -> Rule:
    return Rule(table, "ExpectColumnPairValuesToBeEqual", {"column_A": first, "column_B": second}, meaning)


def _between(table: str, column: str, low: float | None, high: float | None, meaning: str, **limit: Any) -> Rule:
    """A rule with a range; `limit` are the rule's parameter and advice."""
    arguments = {"column": column, "min_value": low, "max_value": high}
    arguments = {name: value for name, value in arguments.items() if value is not None}
    return Rule(table, "ExpectColumnValuesToBeBetween", arguments, meaning, **limit)


def _at_least(params: ValidationParams, fact: str, name: str, meaning: str, advice: str = MORE) -> Rule:
    low = getattr(params, name)
    return _between(
        "facts", fact, low, None, f"at least {low:,} {meaning}", parameter=f"validation.{name}", advice=advice
    )
