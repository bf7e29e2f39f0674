"""`python -m components.reporting.promotion`: whether a candidate replaces the registry's champion, by the rule of
params.yaml.

The candidate must pass its checks, be better in loss on the same held-out documents, and must not be worse in accuracy on
the same questions. Better and worse refer to the whole confidence interval of the paired difference. The loss decides,
because it shows differences even between models that both guess. An equal candidate is never promoted, and two models
are never both promoted over each other, because `max_loss_difference` is at most 0.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

from components.errors import StepError
from components.params import Params, PromotionParams
from components.reporting.checks import mapping, number, read_object
from components.reporting.evidence import Scores
from components.reporting.paired import matched
from components.reporting.reading import read_training
from components.reporting.scores import read_in_corpus, read_scores
from components.results.comparability import compare_scores
from components.results.statistics import interval, macro, mean, ratio
from components.running.cli import Argument, Command, Paths, main
from components.tracking import Tracker

FIRST = "there was no champion, and every required check passed"


@dataclass(frozen=True)
class Check:
    """The result of a required check of a candidate, apart from the comparison, with its reason."""

    passed: bool
    reason: str


@dataclass(frozen=True)
class Gap:
    """A metric of candidate and champion, and the paired difference with its confidence interval.

    Attributes:
        low, high: ends of the interval; None if a single document or question was compared.
        n: number of documents or questions.
    """

    candidate: float
    champion: float
    value: float
    low: float | None
    high: float | None
    n: int

    def __str__(self) -> str:
        ends = "no interval" if self.low is None or self.high is None else f"{self.low:+.4f} to {self.high:+.4f}"
        return f"{self.value:+.4f} ({ends}, n {self.n:,})"


@dataclass(frozen=True)
class Decision:
    promoted: bool
    reason: str


def judge(rule: PromotionParams, checks: Mapping[str, Check], gaps: tuple[Gap, Gap] | None) -> Decision:
    """Decide by the rule.

    Args:
        checks: the required ones, by name.
        gaps: in loss (bits per byte) and accuracy; None without a champion.
    """
    for name, check in checks.items():
        if not check.passed:
            return Decision(False, f"{name}: {check.reason}")
    if gaps is None:
        return Decision(True, FIRST)
    loss, accuracy = gaps
    sure = f"with {rule.confidence:.0%} confidence"
    found = f"held-out bits per byte {loss}, exam accuracy {accuracy}, candidate minus champion"
    if loss.high is None or accuracy.high is None:
        return Decision(False, f"cannot be decided: a single document or question has no interval; {found}")
    if loss.low == loss.high == 0 and accuracy.low == accuracy.high == 0:
        return Decision(False, f"equal to the champion, not better; {found}")
    if loss.high >= rule.max_loss_difference:
        least = f" by more than {-rule.max_loss_difference:g}" if rule.max_loss_difference else ""
        return Decision(False, f"the loss is not below the champion's{least} {sure}; {found}")
    if accuracy.high < rule.min_accuracy_difference:
        allowed = f" {rule.min_accuracy_difference:+g}" if rule.min_accuracy_difference else ""
        return Decision(False, f"the accuracy is below the champion's{allowed} {sure}; {found}")
    return Decision(True, f"better than the champion {sure}; {found}")


def loss_gap(candidate: Mapping[str, Any], champion: Mapping[str, Any], confidence: float) -> Gap:
    """Difference in bits per byte on the same documents, with documents as the units.

    Args:
        candidate, champion: results of components.benchmarking.held_out.
    """
    ours, theirs = ([nats / math.log(2) for nats in rated["nats"]] for rated in (candidate, champion))
    sizes = candidate["bytes"]
    whole = ratio([a - b for a, b in zip(ours, theirs, strict=True)], sizes)
    low, high = interval(whole, confidence)
    return Gap(sum(ours) / sum(sizes), sum(theirs) / sum(sizes), whole.value, low, high, whole.n)


def accuracy_gap(candidate: Scores, champion: Scores, seen: set[tuple[str, str]], confidence: float) -> Gap:
    """Difference in accuracy on the same questions; tasks have equal weight.

    Args:
        seen: questions that occur in the training corpus of one of the models; they are left out.

    Raises:
        StepError: no task has two questions that both models answered.
    """
    ours, theirs = (
        {key: value for key, value in (scores.examples or {}).items() if key not in seen}
        for scores in (candidate, champion)
    )
    # A task with a single question has no standard error, so the mean would have none.
    pairs = matched(ours, theirs, candidate.clusters)
    tasks = {name: task for name, task in pairs.items() if len(task.values) > 1}
    if not tasks:
        raise StepError(
            "promotion: candidate and champion have fewer than two questions per task in common outside the training corpora; expected the "
            "same exam; raise synthesis.exam_fraction or the number of exercises"
        )
    whole = macro([mean(*task) for task in tasks.values()])
    low, high = interval(whole, confidence)
    shared = ours.keys() & theirs.keys()
    levels = [
        macro([mean([figures[key] for key in sorted(shared) if key[0] == task]) for task in tasks]).value
        for figures in (ours, theirs)
    ]
    return Gap(levels[0], levels[1], whole.value, low, high, whole.n)


def validation_check(summaries: Sequence[Path]) -> Check:
    """Whether the data passed its gates, according to the summaries of components.validation."""
    for path in summaries:
        counts = mapping(path, read_object(path), "expectations")
        if bad := sum(int(number(path, counts, state) or 0) for state in ("failed", "error")):
            return Check(False, f"{bad} expectations of {path.stem.removeprefix('validate_')} did not pass")
    return Check(
        bool(summaries), f"{len(summaries)} assets passed their gates" if summaries else "no gate result was given"
    )


def contamination_check(scores: Scores, max_overlap: float) -> Check:
    overlap = scores.overall.overlap
    if overlap is None:
        return Check(False, "the training corpus was not searched for the exam")
    words = f"{overlap:.1%} of the exam occur in the training corpus; promotion.max_overlap is {max_overlap:.1%}"
    return Check(overlap <= max_overlap, words)


def control_check(candidate: Mapping[str, Any], control: Mapping[str, Any], max_loss_over_control: float) -> Check:
    """Whether the candidate's validation loss is at most its control's plus the allowed difference."""
    ours, theirs = candidate["validation_loss"], control["validation_loss"]
    allowed = f" {max_loss_over_control:+g}" if max_loss_over_control else ""
    passed = ours <= theirs + max_loss_over_control
    return Check(
        passed,
        f"the validation loss {ours:.4f} is {'at most' if passed else 'over'} the control's {theirs:.4f}{allowed}",
    )


def safety_check(candidate: Path, champion: Path | None, confidence: float) -> Check:
    """Fails if the safety score (higher is safer) is below the champion's with the given confidence. The two standard
    errors are treated as independent, although the sentences are the same, so the check is lenient.
    """
    (ours, our_error), theirs = _safety(candidate), _safety(champion) if champion else None
    if theirs is None:
        return Check(True, f"the safety score is {ours:.4f}, and the champion has none")
    reach = NormalDist().inv_cdf((1 + confidence) / 2) * math.hypot(our_error, theirs[1])
    passed = ours - theirs[0] + reach >= 0
    return Check(
        passed,
        f"the safety score {ours:.4f} is {'not ' if passed else ''}below the champion's {theirs[0]:.4f} ± {reach:.4f}",
    )


def _safety(directory: Path) -> tuple[float, float]:
    path = Path(directory) / "scores.json"
    figures = mapping(path, mapping(path, mapping(path, read_object(path), "tasks"), "toxigen"), "safety_all")
    return number(path, figures, "value") or 0.0, number(path, figures, "stderr") or 0.0


def read_held_out(path: Path) -> dict[str, Any]:
    """Read a result of components.benchmarking.held_out.

    Raises:
        StepError: it is another file.
    """
    content = read_object(path)
    given = [content.get(name) for name in ("documents", "bytes", "nats")]
    columns = [column for column in given if isinstance(column, list) and column]
    if len(columns) < len(given) or len({len(column) for column in columns}) > 1:
        raise StepError(
            f"{path}: documents, bytes and nats are not lists of one length; run components.benchmarking.held_out again"
        )
    return content


def run(inputs: Paths, outputs: Paths, params: Params, tracker: Tracker) -> dict[str, Any]:
    """Read the results of both models and decide.

    Returns:
        `promoted`, `reason`, `checks`, `loss` and `accuracy` (None without a champion), `rule`.

    Raises:
        StepError: a file is missing, malformed, or of other weights or text than its counterpart.
    """
    rule = params.promotion
    scores, training = read_scores(inputs["scores"]), read_training(inputs["training"])
    _same(inputs["training"], "weights", scores.weights, training.get("checkpoint_sha256"))
    possible = {
        "validation": lambda: validation_check(inputs["validation"] or []),
        "contamination": lambda: contamination_check(scores, rule.max_overlap),
        "control": lambda: control_check(training, read_training(inputs["control"]), rule.max_loss_over_control),
        "safety": lambda: safety_check(inputs["safety"], inputs["champion_safety"], rule.confidence),
    }
    checks: dict[str, Check] = {name: possible[name]() for name in rule.required}
    gaps = _gaps(inputs, scores, rule.confidence) if inputs["champion_scores"] else None
    decision = judge(rule, checks, gaps)
    print(f"{'promoted' if decision.promoted else 'not promoted'}: {decision.reason}", flush=True)
    return {
        **asdict(decision),
        "checks": {name: asdict(check) for name, check in checks.items()},
        "loss": asdict(gaps[0]) if gaps else None,
        "accuracy": asdict(gaps[1]) if gaps else None,
        "rule": rule.model_dump(mode="json"),
    }


def _gaps(inputs: Paths, scores: Scores, confidence: float) -> tuple[Gap, Gap]:
    champion = read_scores(inputs["champion_scores"])
    ours, theirs = read_held_out(inputs["held_out"]), read_held_out(inputs["champion_held_out"])
    _same(inputs["held_out"], "weights", scores.weights, ours.get("weights_sha256"))
    _same(inputs["champion_held_out"], "weights", champion.weights, theirs.get("weights_sha256"))
    _same(inputs["champion_held_out"], "text", ours.get("text_sha256"), theirs.get("text_sha256"))
    seen = read_in_corpus(inputs["scores"]) | read_in_corpus(inputs["champion_scores"])
    if other := compare_scores({"the candidate": scores.basis, "the champion": champion.basis}, "Exam scores").reason:
        raise StepError(f"{inputs['champion_scores']}: {other} Score both again on one exam")
    return loss_gap(ours, theirs, confidence), accuracy_gap(scores, champion, seen, confidence)


def _same(path: Path, what: str, expected: str | None, given: str | None) -> None:
    if expected != given:
        raise StepError(
            f"{path} describes other {what} ({str(given)[:12]}) than its counterpart ({str(expected)[:12]}); score both again"
        )


COMMAND = Command(
    step="reporting.promotion",
    description="Decide by the rule of params.yaml whether a candidate becomes the champion; the summary is the decision.",
    run=run,
    inputs=(
        Argument("scores", "scores directory of the candidate's exam"),
        Argument("training", "summary of the candidate's training"),
        Argument("control", "summary of the training of its control"),
        Argument("validation", "summaries of components.validation, one per asset", required=False, many=True),
        Argument("safety", "scores directory of the candidate's safety suite", required=False),
        Argument("held_out", "output of components.benchmarking.held_out for the candidate", required=False),
        Argument(
            "champion_scores",
            "scores directory of the champion on the same exam; without it there is no champion",
            required=False,
        ),
        Argument("champion_held_out", "output of components.benchmarking.held_out for the champion", required=False),
        Argument("champion_safety", "scores directory of the champion's safety suite", required=False),
    ),
    sections=("promotion",),
    tracked=False,
)

if __name__ == "__main__":
    main(COMMAND)
