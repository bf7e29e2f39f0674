"""The documents that a model was trained on, by origin, licence and kind: the index of its tokens joined with the documents."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from components.documents import GENERATED
from components.files import sha256_file
from components.foreign.confined import refuse_links_out
from components.foreign.terminal import printable
from components.tokens import INDEX, MANIFEST, Manifest

DOCUMENTS = ("data/curated", "data/textbooks")
TOKENS = "data/tokens"
WRITTEN, PYTHON = "written by this pipeline", "Python's standard library and language reference"
WEB, FILES = "web addresses", "files and rows"
LONGEST = 200  # characters of a text from a document's row that are shown
_DATE = r"^(\d{4}-\d{2}(?:-\d{2})?)"
_HOST = r"^https?://(?:[^/?#@]*@)?([^/?#:]+)"
_HUB = r"^(hf://[^/:@]+/[^/:@]+)"


class Holding(NamedTuple):
    """Documents of the training split with one origin, kind, licence and creator. Tokens count every copy."""

    origin: str
    kind: str
    license: str
    created_by: str
    documents: int
    tokens: int
    bytes: int

    @property
    def by_model(self) -> bool:
        """Whether a language model that the pipeline asked wrote them."""
        return self.origin == WRITTEN and not self.created_by.startswith("procedural/")


class File(NamedTuple):
    """One file of the training data; its path is relative to the run's folder."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Corpus:
    """The training data of a model.

    Attributes:
        holdings: most tokens first.
        hosts: bytes of text by host of web addresses, most first.
        dates: earliest and latest date that web archives state; empty without one.
    """

    manifest: Manifest
    holdings: tuple[Holding, ...]
    hosts: tuple[tuple[str, int], ...]
    dates: tuple[str, ...]
    files: tuple[File, ...]

    @property
    def tokens(self) -> int:
        return int(self.manifest.splits["train"]["tokens"])

    @property
    def licenses(self) -> list[str]:
        return list(dict.fromkeys(holding.license for holding in self.holdings))

    def of(self, *origins: str) -> list[Holding]:
        return [holding for holding in self.holdings if holding.origin in origins]


def read_corpus(run: Path) -> Corpus:
    """The corpus of a run.

    Raises:
        StepError: tokens or documents cannot be read, or a link in them leads out.
    """
    manifest = Manifest.read(run / TOKENS)
    parts = []
    for folder in (run / name for name in DOCUMENTS):
        if folder.is_dir():
            refuse_links_out(folder)
            parts += sorted(folder.glob("*.parquet"))
    rows = _documents(run, parts)
    streams = sorted((run / TOKENS).glob("*/*"))
    files = [run / TOKENS / MANIFEST, *(path for path in streams if path.suffix in (".bin", ".parquet")), *parts]
    return Corpus(
        manifest,
        _holdings(rows),
        _hosts(rows),
        tuple(sorted({date for date in (rows["date"].min(), rows["date"].max()) if date})),
        tuple(File(p.relative_to(run).as_posix(), p.stat().st_size, sha256_file(p)) for p in files),
    )


def _documents(run: Path, parts: list[Path]) -> Any:
    """One row per distinct document of the training split; what its text's row says is null where the row is gone."""
    import polars as pl

    index = pl.read_parquet(run / TOKENS / "train" / INDEX, columns=["id", "kind", "source", "length", "bytes"])
    index = index.group_by("id").agg(pl.col("kind", "source", "bytes").first(), tokens=pl.col("length").sum())
    known = pl.DataFrame(schema=dict.fromkeys(["id", "license", "created_by", "metadata"], pl.String))
    if parts:
        rows = pl.scan_parquet(parts).select(known.columns).join(index.lazy().select("id"), on="id", how="semi")
        known = rows.collect().unique("id", keep="first", maintain_order=True)
    source, creator = pl.col("source"), pl.col("created_by").fill_null("unknown").str.replace(r"(?s):.*", "")
    web = source.str.contains(r"^https?://")
    return index.join(known, on="id", how="left").select(
        "kind", "tokens", "bytes",
        license=pl.col("license").fill_null("unknown"),
        created_by=creator,
        host=pl.when(web).then(source.str.extract(_HOST).str.to_lowercase()),
        date=pl.col("metadata").str.json_path_match("$.date").str.extract(_DATE),
        origin=pl.when(pl.col("kind").is_in(sorted(GENERATED)) & creator.str.contains("^(?:procedural|api|local)/"))
        .then(pl.lit(WRITTEN)).when(source.str.starts_with("python:")).then(pl.lit(PYTHON))
        .when(web).then(pl.lit(WEB)).otherwise(source.str.extract(_HUB).fill_null(FILES)),
    )  # fmt: skip


def _holdings(rows: Any) -> tuple[Holding, ...]:
    import polars as pl

    sums = {name: pl.col(name).sum() for name in ("tokens", "bytes")}
    names = ["origin", "kind", "license", "created_by"]
    found = rows.group_by(names).agg(documents=pl.len(), **sums).to_dicts()
    shown = [Holding(**row | {name: printable(row[name])[:LONGEST] for name in names}) for row in found]
    return tuple(sorted(shown, key=lambda holding: (-holding.tokens, holding)))


def _hosts(rows: Any) -> tuple[tuple[str, int], ...]:
    import polars as pl

    found = rows.filter(pl.col("host").is_not_null()).group_by("host").agg(pl.col("bytes").sum()).rows()
    return tuple(sorted(((printable(host)[:LONGEST], size) for host, size in found), key=lambda h: (-h[1], h[0])))
