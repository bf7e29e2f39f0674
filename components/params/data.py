"""Sections of the stages before curation, and of tokenization after it."""

from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from components.addresses import is_web
from components.params.section import Fraction, Section, Variable


class EngineParams(Section):
    """How a step maps work over shards. Never changes a result, so no stage depends on it."""

    kind: Literal["serial", "threads", "processes", "ray"] = Field("processes", description="What runs the shards")
    workers: int = Field(0, ge=0, le=4096, description="Workers; 0 means one a core")
    ray_address: str = Field(
        "",
        description="Address of a Ray cluster, which the variable RAY_ADDRESS must hold too; empty starts a local one",
    )


class Source(Section):
    """One place to read documents from."""

    path: str = Field(
        min_length=1,
        description="`python` for the running interpreter's own library and language reference; a file or folder, or a "
        "URL of one (s3://, https://), of text (txt, md, rst, tex, org, man pages), source code, html, documents (pdf, docx, odt, "
        "epub, ipynb), rows (jsonl, json, csv, tsv, parquet), mail (eml, mbox), subtitles (srt, vtt), xml, warc or wet, "
        "compressed or in a zip or tar; or hf://owner/name[/config][:split] of the Hugging Face hub, or hf:///folder[#config] "
        "of its layout; relative paths start at the project's folder",
    )
    kind: Literal["auto", "web", "prose", "code", "textbook"] = Field(
        "auto",
        description="Kind of the documents; auto: code for source code, web for html, warc and wet, else the row's or prose",
    )
    license: str = Field("unknown", description="SPDX identifier of what lies there, where the rows or pages name none")
    text_column: str = Field(
        "",
        description="Column or key of rows that holds the text; empty: text, or else the one that holds it without doubt",
    )
    split: str = Field("", description="Split of a hub data set whose path names none; empty: train")
    limit: int = Field(0, ge=0, description="Documents to take, at most, in the order of the source; 0 takes all")
    url_env: Variable = Field(
        "",
        description="Name of the environment variable that holds the https:// address of `path` as it is requested, with its "
        "signature, token or `user:password@`; its value is written nowhere; empty requests `path` itself",
    )
    follow_links: bool = Field(
        False,
        description="Also read files outside of the source's folder that links in it, or the card of a data set there, lead to; "
        "false quarantines them, since they may be anybody's files",
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
        [Source(path="python", license="PSF-2.0")], min_length=1, description="Where text comes from"
    )
    part_chars: int = Field(
        8_000,
        ge=0,
        le=1_000_000,
        description="Texts of more than four times this many characters become parts of about this length, cut at headings "
        "or paragraphs; 0 keeps every text whole",
    )
    max_document_chars: int = Field(
        64_000_000,
        ge=1_000,
        le=200_000_000,
        description="Texts of more characters than this are quarantined before they are split",
    )

    @property
    def names_own_text(self) -> bool:
        """Whether a source names text of the user's, beside Python's own library."""
        return any(source.path != "python" for source in self.sources)


class ValidationParams(Section):
    min_documents: int = Field(
        2,
        ge=1,
        description="Fewer documents than this fail the gate; two are the least to learn from one and measure on another",
    )
    min_megabytes: float = Field(0.01, ge=0, description="Less text than this fails the gate (MB of UTF-8)")
    max_duplicate_fraction: Fraction = Field(0.5, description="More exact duplicates among raw documents fail the gate")
    max_invalid_fraction: Fraction = Field(
        0.01,
        description="Share of texts that may be blank or wrongly decoded; ids, kinds and provenance must hold always",
    )
    min_tokens: int = Field(
        2_000,
        ge=1,
        description="Fewer training tokens than this fail the gate; whether they are enough for a budget says training.max_epochs",
    )
    min_bytes_per_token: float = Field(1.2, ge=1, le=20, description="A tokenizer that compresses less fails the gate")


Kind = Literal["web", "prose", "code", "textbook", "exercise"]


class TokenizationParams(Section):
    vocab_size: int = Field(2048, ge=300, le=200_000, description="Size of the byte-level BPE vocabulary")
    tokenizer: str = Field("", description="Folder of an existing tokenizer to take instead of training one")
    tokenizer_sha256: str = Field(
        "",
        pattern="^([0-9a-f]{64})?$",
        description="SHA-256 that its tokenizer.json must have; empty takes any, and a later change goes unnoticed",
    )
    pad_vocab_to_multiple: int = Field(
        1, ge=1, le=65_536, description="Rounds the model's vocabulary up: 1024 makes CodeGen's 50,295 entries 51,200"
    )
    validation_fraction: float = Field(0.02, gt=0, le=0.5, description="Share of documents, by hash, held out for loss")
    validation_kilobytes: float = Field(
        16.0,
        ge=0,
        description="Least held-out text, in kB, of each of web, prose and code, up to a tenth of the kind; 0 leaves it to "
        "validation_fraction",
    )
    epochs: dict[Kind, Annotated[float, Field(ge=0, le=16)]] = Field(
        {"web": 1, "prose": 1, "code": 0.15, "textbook": 1, "exercise": 3},
        description="Passes over each kind, or with weights at most so many; a fraction takes that share of its tokens",
    )
    own_share: Fraction | None = Field(
        None,
        description="Least share of the training tokens for your own text (web, prose, code), which is then read whole at least "
        "once; textbooks and exercises give way. Empty: 0.7, or 0 where Python's library is the only source; 0 leaves it to "
        "epochs; weights come before it",
    )
    weights: dict[str, Annotated[float, Field(ge=0)]] = Field(
        {}, description="Share of the tokens that each kind gets, of their sum; empty takes what epochs gives"
    )
    curriculum: list[Annotated[list[Kind], Field(min_length=1)]] = Field(
        [], description="Kinds a phase, one phase after another: [[exercise, textbook], [prose, code, web]]; empty: one"
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
