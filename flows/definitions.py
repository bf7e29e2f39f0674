"""The definitions that flows run: a dvc.yaml, or its stages up to one of them."""

from dataclasses import dataclass, replace
from pathlib import Path

from flows.graph import PIPELINE_FILE


@dataclass(frozen=True)
class Definition:
    """A dvc.yaml that a flow runs.

    Attributes:
        flow: name of the flow, and of its deployment before the slash.
        title: name in texts.
        file: the dvc.yaml, relative to the project's folder.
        numbers: JSON file with the result's metrics.
        result: Markdown file with the result's tables; None if there are none.
        page: the result's HTML page.
        last: the stage up to which the dvc.yaml is run; empty runs all of it.
    """

    flow: str
    title: str
    file: str
    numbers: Path
    result: Path | None
    page: Path
    last: str = ""

    @property
    def deployment(self) -> str:
        return f"{self.flow}/local"


PIPELINE = Definition(
    "pipeline",
    "the whole pipeline",
    PIPELINE_FILE,
    Path("reports/report.json"),
    Path("reports/final/leaderboard.md"),
    Path("reports/final/index.html"),
)
CORPUS = Definition(
    "corpus",
    "the curated corpus alone",
    PIPELINE_FILE,
    Path("reports/curate.json"),
    None,
    Path("reports/curation/index.html"),
    "validate_curated",
)
GROWTH_STUDY = Definition(
    "growth-study",
    "the growth study",
    "studies/growth/dvc.yaml",
    Path("reports/study/result.json"),
    Path("reports/study/result/study.md"),
    Path("reports/study/result/index.html"),
)
GROWTH_LAW = Definition(
    "growth-law",
    "the growth law",
    "studies/law/dvc.yaml",
    Path("reports/law/result.json"),
    Path("reports/law/result/law.md"),
    Path("reports/law/result/index.html"),
)
DATA_ABLATION = Definition(
    "data-ablation",
    "the data ablation",
    "studies/data/dvc.yaml",
    Path("reports/ablation/result.json"),
    Path("reports/ablation/result/ablation.md"),
    Path("reports/ablation/result/index.html"),
)
# Flows whose runs are parts of a comparison; they are not started as a whole by `flows.run`.
PART = replace(PIPELINE, flow="part", title="a part of the pipeline for a try or a sweep")
TRY = replace(PIPELINE, flow="try", title="a try")
SWEEP = replace(PIPELINE, flow="sweep", title="a sweep")
WITHOUT = Definition(
    "without",
    "the study of counterfactuals",
    "studies/without/dvc.yaml",
    Path("reports/without/result.json"),
    Path("reports/without/result/without.md"),
    Path("reports/without/result/index.html"),
)
TUNING = Definition(
    "tuning",
    "fine-tuning",
    "studies/tuning/dvc.yaml",
    Path("reports/tuning/result.json"),
    Path("reports/tuning/result/tuning.md"),
    Path("reports/tuning/result/index.html"),
)
DEFINITIONS = {
    definition.flow: definition
    for definition in (PIPELINE, CORPUS, GROWTH_STUDY, GROWTH_LAW, DATA_ABLATION, WITHOUT, TUNING)
}
