"""The main languages of a corpus, by the bytes of a sample: these are kept where the parameters name no languages.

The sample is the documents with the smallest ids of each row group. Ids are hashes, so the choice is random and the same in
each run. Row groups are weighted by their bytes.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.curation.clean import RowGroup, read_rows
from components.curation.language import ENGLISH, is_foreign
from components.curation.work import Work
from components.files import read_json, write_json
from components.params import LanguageParams
from components.text.languages import PEOPLE_WRITE, UNKNOWN, identify

FILE = "languages.json"
SAMPLE = 64  # documents per row group
STEP_ASIDE = "stop words, policy phrases (C4) and educational value are made for English and are not applied to"


@dataclass(frozen=True)
class Languages:
    """The languages of a corpus, and which of them are kept.

    Attributes:
        shares: of the bytes of web text and prose, by language, largest first; empty if not measured.
        kept: languages that are kept; empty = all.
        chosen: whether the corpus decided, not the parameters.
    """

    shares: dict[str, float]
    kept: list[str]
    chosen: bool

    def note(self) -> str:
        """A note on the choice for the user, or an empty string."""
        foreign = [code for code in self.kept if is_foreign(code)]
        if not foreign:
            return ""
        told = ", ".join(
            f"{code} ({self.shares[code]:.0%} of the bytes)" if self.chosen else code for code in self.kept
        )
        remedy = "; to choose others: --set curation.language.keep=[en]" if self.chosen else ""
        return f"the corpus is in {told}: {STEP_ASIDE} text in {', '.join(foreign)}{remedy}"

    def record(self) -> dict[str, Any]:
        by = "corpus" if self.chosen else "curation.language.keep"
        return {"shares": self.shares, "kept": self.kept, "by": by, "note": self.note()}


def asks_corpus(params: LanguageParams) -> bool:
    """Whether the corpus decides which languages are kept."""
    return not params.keep and params.min_share > 0


def languages_of(units: Mapping[str, RowGroup], work: Work, params: LanguageParams) -> Languages:
    """The languages to keep: those that the parameters name, else those with a material share of the corpus."""
    if not asks_corpus(params):
        return Languages({}, list(params.keep), chosen=False)
    facts = {"min_chars": params.min_chars, "among": params.among, "min_probability": params.min_probability}
    sizes: Counter[str] = Counter()
    for folder in work.map("languages", facts, units, count_languages):
        sizes.update(read_json(folder / FILE, "expected the languages of a row group; run curation again"))
    total = sum(sizes.values())
    shares = {code: round(size / total, 4) for code, size in sizes.most_common()}
    kept = [code for code, share in shares.items() if share >= params.min_share]
    return Languages(shares, kept or list(shares)[:1] or [ENGLISH], chosen=True)


def count_languages(unit: RowGroup, folder: Path) -> None:
    """Estimate from the sample the bytes of a row group's web text and prose per language, and write them to a folder."""
    own = unit.params.language
    rows = read_rows(unit).select(["id", "text", "kind"]).to_pylist()
    texts = {
        row["id"]: row["text"] for row in rows if row["kind"] in PEOPLE_WRITE and len(row["text"]) >= own.min_chars
    }
    sample = [texts[name] for name in sorted(texts)[:SAMPLE]]
    sizes: Counter[str] = Counter()
    for text, (code, probability) in zip(sample, identify(sample, own.among), strict=True):
        if code != UNKNOWN and probability >= own.min_probability:
            sizes[code] += len(text.encode("utf-8", "surrogatepass"))
    whole = sum(len(text) for text in texts.values()) / max(1, sum(map(len, sample)))
    write_json(folder / FILE, {code: round(size * whole) for code, size in sorted(sizes.items())})
