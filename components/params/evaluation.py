"""Sections of benchmarking, the growth study, the data ablation, the report and the promotion."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from components.exclusions import rules_of
from components.params.section import Fraction, Section, refuse_repeats

EVERYTHING = "everything"  # the item that leaves out nothing


class BenchmarkingParams(Section):
    suite: str = Field(
        "exam", description="Suite of tasks to run: exam, phi2, olmes, easy, safety, or your own YAML file of that form"
    )
    data_dir: str = Field(
        "",
        description="Folder with the benchmarks' data, needed by every suite but exam (docs/benchmarking.md); empty = none",
    )
    hub: bool = Field(False, description="Download benchmark data that `data_dir` lacks from the Hugging Face hub")
    limit: int = Field(0, ge=0, description="Maximum number of examples per task; 0 = all")
    exam_part: Literal["all", "open", "sealed"] = Field(
        "all",
        description=(
            "Part of the exam's questions to ask, split in halves by hash: open (what tries and sweeps see), sealed (what "
            "confirms a try) or all"
        ),
    )
    batch_size: int = Field(32, ge=1, description="Number of sequences scored at once; changes scores only by rounding")
    device: Literal["cpu", "cuda"] = Field(
        "cpu", description="Device that computes the scores; a GPU pays off for larger models"
    )
    threads: int = Field(
        1, ge=1, le=1024, description="Number of CPU threads for scoring; small models gain nothing from more than 1"
    )
    samples: int = Field(
        1, ge=1, le=1000, description="Number of programs sampled per HumanEval or MBPP problem; 1 = greedy decoding"
    )
    temperature: float = Field(
        0.2,
        gt=0,
        le=2,
        description="Sampling temperature of HumanEval and MBPP programs; used only if `samples` is above 1",
    )
    gold_bits: bool = Field(
        True, description="Also measure the bits per byte of the correct answer in tasks whose answers are generated"
    )
    cache: bool = Field(
        True, description="Keep the model's answers, so that an interrupted run resumes where it stopped"
    )
    allow_unisolated_execution: bool = Field(
        False, description="Run generated programs with this user's rights on machines that cannot isolate them"
    )


GROWING = ("exact", "hyperclone", "tile", "tile_heads", "fpi", "aki")
Arm = Literal[
    "scratch", "continued", "distilled",
    "exact", "hyperclone", "tile", "tile_heads", "fpi", "aki",
    "exact_distilled", "hyperclone_distilled", "tile_distilled", "tile_heads_distilled", "fpi_distilled", "aki_distilled",
]  # fmt: skip


class StudyParams(Section):
    """The models that the growth study trains and compares: studies/growth/dvc.yaml, docs/growth-study.md."""

    arms: list[Arm] = Field(
        ["scratch", "continued", "exact", "tile", "fpi", "distilled", "exact_distilled"],
        description=(
            "Models to compare: scratch and continued (the small model trained on) always; growth operators; "
            "distilled (from scratch, with the small model as teacher), also after an operator, as in exact_distilled"
        ),
    )
    seeds: list[Annotated[int, Field(ge=0, le=2**31 - 1)]] = Field(
        [1, 2, 3],
        min_length=1,
        description=(
            "Random seeds of weights and data order, one training run per seed and arm; learning rates are tuned on "
            "the first"
        ),
    )
    rates: list[Annotated[float, Field(gt=0, le=1000)]] = Field(
        [0.25, 0.5, 1.0, 2.0],
        min_length=1,
        description=(
            "Learning rates to try for each arm, as multiples of transfer.learning_rate, or of the model's own from a"
            " random start"
        ),
    )
    horizons: list[Annotated[float, Field(gt=0, le=1)]] = Field(
        [0.5, 1.0],
        description="Training budgets of each arm, each with its own decay, as shares of large.tokens",
    )
    distillation_weight: Fraction = Field(
        0.5,
        description=(
            "Initial share of the teacher's divergence in the loss of distilled arms (training.distillation_weight)"
        ),
    )
    threads: int = Field(
        1,
        ge=1,
        le=1024,
        description="Number of CPU threads per training run; as many runs train at once as a pipeline run may",
    )

    @model_validator(mode="after")
    def _complete(self) -> "StudyParams":
        refuse_repeats(self, "arms", "seeds", "rates", "horizons")
        if missing := [arm for arm in ("scratch", "continued") if arm not in self.arms]:
            raise ValueError(f"arms lacks {', '.join(missing)}: everything is compared with scratch and continued")
        if 1.0 not in self.horizons:
            raise ValueError(f"horizons {self.horizons} lacks 1.0, the whole budget: learning rates are tuned there")
        return self


DataArm = Literal[
    "random",
    "curated",
    "curated_textbooks",
    "curated_textbooks_exercises",
    "sources_repeated",
    "sources_rephrased",
]


class AblationParams(Section):
    """The models that the data ablation trains and compares: studies/data/dvc.yaml, docs/data-ablation.md."""

    arms: list[DataArm] = Field(
        ["random", "curated", "curated_textbooks", "curated_textbooks_exercises"],
        min_length=2,
        description=(
            "Training data to compare: random raw documents, curated ones, curated with textbooks, or with textbooks "
            "and exercises; the documents that a teacher rewrote, repeated, or with their rewrites"
        ),
    )
    seeds: list[Annotated[int, Field(ge=0, le=2**31 - 1)]] = Field(
        [1, 2, 3], min_length=1, description="Random seeds of weights and data order, one training run per seed and arm"
    )
    tokens: int = Field(1_500_000, ge=1, description="Number of training tokens of the small model in each arm")
    baseline_horizons: list[Annotated[float, Field(gt=0, le=100)]] = Field(
        [0.5, 1.5],
        description=(
            "Further training budgets of the first arm, as multiples of ablation.tokens, each with its own decay: they "
            "tell how many tokens it needs for the loss of the other arms"
        ),
    )
    threads: int = Field(
        1,
        ge=1,
        le=1024,
        description="Number of CPU threads per training run; as many runs train at once as a pipeline run may",
    )

    @model_validator(mode="after")
    def _nothing_twice(self) -> "AblationParams":
        refuse_repeats(self, "arms", "seeds", "baseline_horizons")
        if 1.0 in self.baseline_horizons:
            raise ValueError(f"baseline_horizons {self.baseline_horizons} has 1.0, which every arm has; leave it out")
        return self


class WithoutParams(Section):
    """The models that the study of counterfactuals trains: studies/without/dvc.yaml, docs/counterfactuals.md."""

    items: list[str] = Field(
        [EVERYTHING, "kind=textbook", "kind=exercise"],
        min_length=2,
        description=(
            "Documents to leave out, one model each, such as family=planets, kind=code, license=MIT, source=NAME or "
            "document=ID, joined by + to leave out several; everything leaves out none, and the others are compared with it"
        ),
    )
    seeds: list[Annotated[int, Field(ge=0, le=2**31 - 1)]] = Field(
        [1, 2, 3],
        min_length=1,
        description="Random seeds of weights and data order, one training run per seed and item",
    )
    large: bool = Field(False, description="Also grow each small model and train the larger one")
    threads: int = Field(
        1,
        ge=1,
        le=1024,
        description="Number of CPU threads per training run; as many runs train at once as a pipeline run may",
    )

    @model_validator(mode="after")
    def _items_can_be_compared(self) -> "WithoutParams":
        refuse_repeats(self, "items", "seeds")
        if EVERYTHING not in self.items:
            raise ValueError(f"items lacks {EVERYTHING!r}, which the others are compared with; add it")
        for item in self.items:
            if item != EVERYTHING:
                rules_of(item)
        return self


class InterpretationParams(Section):
    """How thoroughly the larger model is opened: docs/inside.md."""

    held_out_tokens: int = Field(
        8192,
        ge=1,
        description="Maximum number of held-out tokens to measure on; lenses and maps are fitted on twice as many others",
    )
    questions: int = Field(
        10, ge=1, description="Maximum number of exam questions per family asked with each block or head switched off"
    )
    heads: bool = Field(
        True,
        description="Also switch off each attention head alone; false measures blocks only, for models with many heads",
    )


class ReportingParams(Section):
    registered_model: str = Field(
        "phiforge",
        pattern=r"^[\w.-]+$",
        description="Name under which models are registered in the MLflow model registry",
    )


class PromotionParams(Section):
    """When a run's larger model replaces the registry's champion: docs/promotion.md."""

    required: list[Literal["validation", "contamination", "control", "safety"]] = Field(
        ["validation", "contamination", "control"],
        description=(
            "Checks that a candidate must pass to be promoted: validation (the data passed its gates), contamination "
            "(max_overlap), control (max_loss_over_control), safety (ToxiGen for candidate and champion; needs "
            "benchmarking.data_dir)"
        ),
    )
    max_loss_difference: float = Field(
        0.0,
        ge=-10,
        le=0,
        description=(
            "A candidate is better if its held-out loss minus the champion's, in bits per byte, lies below this with "
            "the whole confidence interval; 0 = any loss that is certainly lower"
        ),
    )
    min_accuracy_difference: float = Field(
        0.0,
        ge=-1,
        le=1,
        description=(
            "A candidate is refused if its exam accuracy (0 to 1) minus the champion's lies below this with the whole"
            " confidence interval; 0 = refused if certainly less accurate"
        ),
    )
    confidence: float = Field(
        0.95,
        ge=0.5,
        lt=1,
        description="Confidence level of the intervals of the differences from the champion, as a share",
    )
    max_overlap: Fraction = Field(
        0.5,
        description=(
            "Largest share of the exam that may occur in the training corpus, as a mean over its tasks; accuracies "
            "are compared on the other questions"
        ),
    )
    max_loss_over_control: float = Field(
        0.0,
        ge=-10,
        le=10,
        description=(
            "Nats per token by which the candidate's validation loss may exceed that of its control, an equal model "
            "from a random start; 0 = it may not be higher"
        ),
    )
    held_out_kilobytes: int = Field(
        200, ge=1, description="Kilobytes of held-out text on which the losses of candidate and champion are compared"
    )

    @model_validator(mode="after")
    def _nothing_twice(self) -> "PromotionParams":
        refuse_repeats(self, "required")
        return self
