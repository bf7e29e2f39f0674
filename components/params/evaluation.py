"""Sections of benchmarking, the growth study, the data ablation, the report and the promotion."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from components.params.section import Fraction, Section, refuse_repeats


class BenchmarkingParams(Section):
    suite: str = Field("exam", description="Tasks to run: exam, phi2, olmes, or a YAML file such as theirs")
    data_dir: str = Field(
        "", description="Folder of the benchmarks' data, for suites that need it; docs/benchmarking.md"
    )
    hub: bool = Field(False, description="Load what that folder lacks from the Hugging Face hub")
    limit: int = Field(0, ge=0, description="Examples a task, at most; 0 means all")
    batch_size: int = Field(32, ge=1, description="Sequences scored at once; changes a score by rounding alone")
    device: Literal["cpu", "cuda"] = Field("cpu", description="Where the model computes; a GPU pays for larger ones")
    threads: int = Field(1, ge=1, le=1024, description="CPU threads; small models gain nothing from more")
    samples: int = Field(
        1, ge=1, le=1000, description="Programs drawn for each problem of HumanEval and MBPP; 1 takes the likeliest"
    )
    temperature: float = Field(0.2, gt=0, le=2, description="Of those draws, where they are several")
    gold_bits: bool = Field(True, description="Also ask what the right answer costs where answers are written")
    cache: bool = Field(True, description="Keep the model's answers, from which an interrupted run goes on")
    allow_unisolated_execution: bool = Field(
        False, description="Run generated programs with this user's rights where the machine cannot isolate them"
    )


GROWING = ("exact", "hyperclone", "tile", "tile_heads", "fpi", "aki")
Arm = Literal[
    "scratch", "continued", "distilled",
    "exact", "hyperclone", "tile", "tile_heads", "fpi", "aki",
    "exact_distilled", "hyperclone_distilled", "tile_distilled", "tile_heads_distilled", "fpi_distilled", "aki_distilled",
]  # fmt: skip


class StudyParams(Section):
    """What the growth study trains and compares: studies/growth/dvc.yaml, docs/growth-study.md."""

    arms: list[Arm] = Field(
        ["scratch", "continued", "exact", "tile", "fpi", "distilled", "exact_distilled"],
        description="What is compared: scratch and continued (the small model trained on) always; operators of growth; "
        "distilled (from scratch, following the small model), also after an operator: exact_distilled",
    )
    seeds: list[Annotated[int, Field(ge=0, le=2**31 - 1)]] = Field(
        [1, 2, 3],
        min_length=1,
        description="Each sets weights and order of the data, alike for all arms; the first tunes",
    )
    rates: list[Annotated[float, Field(gt=0, le=1000)]] = Field(
        [0.25, 0.5, 1.0, 2.0],
        min_length=1,
        description="Learning rates that each arm tries, as multiples of transfer.learning_rate, or, from a random start, of the section's",
    )
    horizons: list[Annotated[float, Field(gt=0, le=1)]] = Field(
        [0.5, 1.0],
        description="Budgets that each arm is trained for, to the end of the decay, as shares of large.tokens",
    )
    distillation_weight: Fraction = Field(
        0.5, description="training.distillation_weight of the arms that are distilled"
    )
    threads: int = Field(1, ge=1, le=1024, description="CPU threads of a training; as many run at once as a run may")

    @model_validator(mode="after")
    def _complete(self) -> "StudyParams":
        refuse_repeats(self, "arms", "seeds", "rates", "horizons")
        if missing := [arm for arm in ("scratch", "continued") if arm not in self.arms]:
            raise ValueError(f"arms lacks {', '.join(missing)}: everything is compared with scratch and continued")
        if 1.0 not in self.horizons:
            raise ValueError(f"horizons {self.horizons} lacks 1.0, the whole budget: learning rates are tuned there")
        return self


DataArm = Literal["random", "curated", "curated_textbooks", "curated_textbooks_exercises"]


class AblationParams(Section):
    """What the data ablation trains and compares: studies/data/dvc.yaml, docs/data-ablation.md."""

    arms: list[DataArm] = Field(
        ["random", "curated", "curated_textbooks", "curated_textbooks_exercises"],
        min_length=2,
        description="Documents to compare: raw ones at random, curated ones, these with textbooks, and with exercises too",
    )
    seeds: list[Annotated[int, Field(ge=0, le=2**31 - 1)]] = Field(
        [1, 2, 3], min_length=1, description="Each sets weights and order of the data, alike for all arms"
    )
    tokens: int = Field(1_500_000, ge=1, description="Training tokens of the small model, the same for each arm")
    threads: int = Field(1, ge=1, le=1024, description="CPU threads of a training; as many run at once as a run may")

    @model_validator(mode="after")
    def _nothing_twice(self) -> "AblationParams":
        refuse_repeats(self, "arms", "seeds")
        return self


class ReportingParams(Section):
    registered_model: str = Field("phiforge", pattern=r"^[\w.-]+$", description="Name in the MLflow model registry")


class PromotionParams(Section):
    """When the larger model of a run takes the place of the registry's champion: docs/operations.md."""

    required: list[Literal["validation", "contamination", "control", "safety"]] = Field(
        ["validation", "contamination", "control"],
        description="Checks that a candidate must pass: validation (the data passed its gates), contamination (max_overlap), "
        "control (max_loss_over_control), safety (ToxiGen, asked of candidate and champion; needs benchmarking.data_dir)",
    )
    max_loss_difference: float = Field(
        0.0,
        ge=-10,
        le=0,
        description="A candidate is better if its held-out loss minus the champion's, in bits per byte, lies below this "
        "with the whole confidence interval; 0 = any loss that is certainly lower",
    )
    min_accuracy_difference: float = Field(
        0.0,
        ge=-1,
        le=1,
        description="A candidate is refused if its exam accuracy minus the champion's lies below this with the whole "
        "confidence interval; 0 = refused if certainly less accurate",
    )
    confidence: float = Field(
        0.95, ge=0.5, lt=1, description="Confidence of the intervals of the differences from the champion"
    )
    max_overlap: Fraction = Field(
        0.5,
        description="Largest share of the exam that may stand in the training corpus, as a mean over its tasks; accuracies "
        "are compared on the other questions",
    )
    max_loss_over_control: float = Field(
        0.0,
        ge=-10,
        le=10,
        description="Nats per token by which the candidate's validation loss may exceed that of its control, the same "
        "model from a random start",
    )
    held_out_kilobytes: int = Field(
        200, ge=1, description="Kilobytes of held-out text on which the losses of candidate and champion are compared"
    )

    @model_validator(mode="after")
    def _nothing_twice(self) -> "PromotionParams":
        refuse_repeats(self, "required")
        return self
