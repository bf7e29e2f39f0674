"""Sections of the stages before curation, and of tokenization after it."""

from typing import TYPE_CHECKING, Annotated, Literal, get_args

from pydantic import Field, field_validator, model_validator

from components.exclusions import IN_DATA, Exclusion, parse
from components.foreign.addresses import is_web
from components.params.section import Fraction, Section, Variable


class EngineParams(Section):
    """How a step maps work over shards. It never changes a result, so stages do not depend on it."""

    kind: Literal["serial", "threads", "processes", "ray"] = Field(
        "processes",
        description="How shards are processed: in turn (serial), in threads, in processes, or on a Ray cluster",
    )
    workers: int = Field(0, ge=0, le=4096, description="Number of parallel workers; 0 = one per core")
    ray_address: str = Field(
        "",
        description="Address of a Ray cluster, equal to the environment variable RAY_ADDRESS; empty starts a local cluster",
    )


class Source(Section):
    """One file, folder, address or data set to read documents from."""

    path: str = Field(
        min_length=1,
        description=(
            "A file, folder or URL (s3://, https://) of text (txt, md, rst, tex, org, pod, man pages, Info), source code, "
            "html, documents (pdf, docx, odt, epub, ipynb), rows (jsonl, json, csv, tsv, parquet), mail (eml, mbox), "
            "subtitles (srt, vtt), xml, warc or wet, compressed or not, also inside a zip or tar; a Hugging Face data"
            " set as hf://owner/name[/config][:split] or hf:///folder[#config]; or `python` for the running "
            "interpreter's library and language reference; relative paths start at the project's folder"
        ),
    )
    kind: Literal["auto", "web", "prose", "code", "textbook"] = Field(
        "auto",
        description=(
            "Kind of the documents; auto = code for source code, web for warc and wet, otherwise what the row says, "
            "or prose"
        ),
    )
    license: str = Field(
        "unknown", description="SPDX identifier of the documents' licence, used where the rows or pages name none"
    )
    text_column: str = Field(
        "",
        description=(
            "Column or key of the rows that holds the text; empty = `text`, or the one column that clearly holds it"
        ),
    )
    split: str = Field("", description="Split of a Hugging Face data set whose path names none; empty = train")
    limit: int = Field(0, ge=0, description="Maximum number of documents to take, in the source's order; 0 = all")
    url_env: Variable = Field(
        "",
        description=(
            "Name of the environment variable that holds the full https:// address of `path`, with its signature, "
            "token or `user:password@`; its value is never written anywhere; empty requests `path` itself"
        ),
    )
    html_extractor: Literal["auto", "fast", "careful"] = Field(
        "auto",
        description="Extractor of web pages: fast (resiliparse), careful (trafilatura), or auto = careful where needed",
    )
    html_markdown: bool = Field(True, description="Write web pages as Markdown; false = plain text")
    follow_links: bool = Field(
        False,
        description=(
            "Also read files outside the source's folder that its links, or the card of a data set in it, point to; "
            "false quarantines them, since they may be anyone's files"
        ),
    )

    @model_validator(mode="after")
    def _url_env_is_of_the_web(self) -> "Source":
        if self.url_env and not is_web(self.path):
            raise ValueError(
                f"url_env is given for path {self.path!r}; expected path to be the http:// or https:// address without its "
                "secret: correct path, or leave url_env empty"
            )
        return self


class IngestionParams(Section):
    sources: list[Source] = Field(
        [Source(path="python", license="PSF-2.0")],
        min_length=1,
        description="Files, folders, URLs and data sets to read documents from",
    )
    exclude: list[str] = Field(
        [],
        description=(
            "Documents never to read, each as document=ID, source=NAME (with all inside it) or license=SPDX; they count as if "
            "they had never been there; empty = none (`phiforge forget` adds to it)"
        ),
    )
    incremental: bool = Field(
        False,
        description="Read and curate only files that are new since the last run, as an increment of the corpus; false reads "
        "and curates the whole corpus again when files change",
    )
    part_chars: int = Field(
        8_000,
        ge=0,
        le=1_000_000,
        description=(
            "Length in characters of the parts into which texts of more than four times that length are cut, at "
            "headings or paragraphs; 0 keeps every text whole"
        ),
    )
    max_document_chars: int = Field(
        64_000_000,
        ge=1_000,
        le=200_000_000,
        description="Quarantine texts of more characters than this before they are split",
    )

    @model_validator(mode="after")
    def _increments_are_read_whole(self) -> "IngestionParams":
        if self.incremental and (limited := [source.path for source in self.sources if source.limit]):
            raise ValueError(
                f"incremental is true, and source {limited[0]!r} has a limit, which counts over a whole source; remove the "
                "limit, or set incremental to false"
            )
        return self

    @field_validator("exclude")
    @classmethod
    def _rules_can_be_read(cls, rules: list[str]) -> list[str]:
        for rule in rules:
            parse(rule, IN_DATA)
        return rules

    @property
    def exclusions(self) -> tuple[Exclusion, ...]:
        """The rules of `exclude`."""
        return tuple(parse(rule, IN_DATA) for rule in self.exclude)

    @property
    def names_own_text(self) -> bool:
        """Whether a source is the user's own text, besides Python's own library."""
        return any(source.path != "python" for source in self.sources)


class ValidationParams(Section):
    min_documents: int = Field(
        2,
        ge=1,
        description="Fail the run if there are fewer documents than this (2 = one to learn from and one to measure on)",
    )
    min_megabytes: float = Field(0.01, ge=0, description="Fail the run if there is less text than this, in MB of UTF-8")
    max_duplicate_fraction: Fraction = Field(
        0.5, description="Fail the run if more than this share of the raw documents are exact duplicates"
    )
    max_invalid_fraction: Fraction = Field(
        0.01,
        description="Fail the run if more than this share of the texts are blank or wrongly decoded",
    )
    min_tokens: int = Field(
        2_000,
        ge=1,
        description=(
            "Fail the run if there are fewer training tokens than this; training.max_epochs checks them against the "
            "budget"
        ),
    )
    min_bytes_per_token: float = Field(
        1.2, ge=1, le=20, description="Fail the run if the tokenizer compresses to fewer bytes per token than this"
    )


if TYPE_CHECKING:
    Kind = str  # the same as in a document, whose reader checks it
else:
    Kind = Literal["web", "prose", "code", "textbook", "exercise"]


class TokenizationParams(Section):
    vocab_size: int = Field(2048, ge=300, le=200_000, description="Number of entries in the byte-level BPE vocabulary")
    tokenizer: str = Field("", description="Folder of an existing tokenizer to use; empty trains a new one")
    tokenizer_sha256: str = Field(
        "",
        pattern="^([0-9a-f]{64})?$",
        description=(
            "SHA-256 that the existing tokenizer's tokenizer.json must have; empty accepts any, so changes go unnoticed"
        ),
    )
    pad_vocab_to_multiple: int = Field(
        1,
        ge=1,
        le=65_536,
        description=(
            "Round the model's vocabulary up to a multiple of this many entries (1024 turns CodeGen's 50,295 into "
            "51,200)"
        ),
    )
    validation_fraction: float = Field(
        0.02, gt=0, le=0.5, description="Share of documents, chosen by hash, that is held out for the validation loss"
    )
    validation_kilobytes: float = Field(
        16.0,
        ge=0,
        description=(
            "Least held-out text of each of web, prose and code, in kB, up to a tenth of the kind; 0 = only "
            "validation_fraction counts"
        ),
    )
    epochs: dict[Kind, Annotated[float, Field(ge=0, le=16)]] = Field(
        {"web": 1, "prose": 1, "code": 0.15, "textbook": 1, "exercise": 3},
        description=(
            "Number of passes over the tokens of each kind, a maximum if `weights` are set; a fraction takes that "
            "share of the tokens"
        ),
    )
    own_share: Fraction | None = Field(
        None,
        description=(
            "Least share of the training tokens for your own text (web, prose, code), which is then read whole at "
            "least once, before textbooks and exercises; empty = 0.7, or 0 if Python's library is the only source; 0 "
            "= only `epochs` counts; no effect if `weights` are set"
        ),
    )
    weights: dict[str, Annotated[float, Field(ge=0)]] = Field(
        {}, description="Relative share of the training tokens for each kind; empty = as `epochs` says"
    )
    curriculum: list[Annotated[list[Kind], Field(min_length=1)]] = Field(
        [],
        description=(
            "Training phases, each a list of kinds, such as [[exercise, textbook], [prose, code, web]]; empty = one "
            "phase with every kind"
        ),
    )

    @model_validator(mode="after")
    def _mixture_is_possible(self) -> "TokenizationParams":
        unknown = sorted(set(self.weights) - set(get_args(Kind)))
        if unknown:
            raise ValueError(f"weights name {', '.join(unknown)}; the kinds are {', '.join(get_args(Kind))}")
        if self.weights and not sum(self.weights.values()):
            raise ValueError("weights are all 0; give a kind a share, or leave weights empty")
        named = [kind for phase in self.curriculum for kind in phase]
        twice = sorted({kind for kind in named if named.count(kind) > 1})
        if twice:
            raise ValueError(f"curriculum names {', '.join(twice)} more than once; each kind belongs to one phase")
        if self.tokenizer_sha256 and not self.tokenizer:
            raise ValueError("tokenizer_sha256 is given without tokenizer, the folder whose tokenizer.json it is of")
        return self
