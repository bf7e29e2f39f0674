"""A try from its registration to its verdict, on made-up figures; its ledger and lab book."""

import json

import pytest

from components.errors import StepError
from components.results.comparability import Basis
from components.trials import budget
from components.trials.figures import METRICS, Measurement, read, sealed_metric
from components.trials.ledger import CONFIRMED, NOT_COMPARABLE, NOT_CONFIRMED, Ledger
from components.trials.sequential import HOPELESS_NOW, UNDECIDED
from components.trials.tries import BASE, OURS, carry_out, close, read_question, register

NOISE = [0.013, -0.008, 0.004, -0.011, 0.009, 0.001, -0.005, 0.007, 0.002]
SOURCE = {"tree": "a" * 40, "commit": "b" * 40, "description": "HEAD"}
ASKED = {"hypothesis": "more decay helps", "set": {"training.weight_decay": 0.2}, "smallest": 0.02}


class World:
    """Runs that exist only here: a figure by arm, seed and part."""

    def __init__(self, effect=0.1, sealed=None, noise=1.0, bases=("x", "x")):
        self.effect, self.sealed, self.noise = effect, effect if sealed is None else sealed, noise
        self.bases, self.calls, self.fail_at = dict(zip((BASE, OURS), bases, strict=True)), [], None

    def __call__(self, asked):
        if len(self.calls) == self.fail_at:
            raise StepError("stage train_small: killed")
        self.calls.append(asked)
        value = 2.0 + 0.3 * (asked.seed % 5)  # seeds differ far more than arms
        if asked.arm == OURS:
            value -= (self.effect if asked.part == "open" else self.sealed) + self.noise * NOISE[asked.seed - 1]
        basis = Basis(tokenizer="t", documents="d", whole=True, questions=self.bases[asked.arm], protocol="p")
        return Measurement(value, basis, {"sums": value - 0.01, "plurals": value + 0.01})


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "tries", tmp_path / "lock")


def asking(ledger, world, **changes):
    question = read_question(ASKED | changes)
    one = register(ledger, question, "somebody", SOURCE)
    return carry_out(ledger, one.number, 1, world, lambda _: None)


@pytest.mark.parametrize(
    ("world", "changes", "outcome"),
    [
        (World(0.1), {}, CONFIRMED),
        (World(0.1, sealed=-0.05), {}, NOT_CONFIRMED),  # fitted to the open questions
        (World(0.0), {}, HOPELESS_NOW),
        (World(-0.1), {}, HOPELESS_NOW),
        (World(-0.1), {"direction": "higher"}, CONFIRMED),  # somebody expected harm, and found it
        (World(0.1, noise=9), {"most": 4}, UNDECIDED),
        (World(0.1, bases=("x", "y")), {}, NOT_COMPARABLE),
        (World(0.1, bases=("", "")), {}, NOT_COMPARABLE),  # not recorded is not equal
        (World(0.1), {"metric": "small.validation_loss"}, CONFIRMED),
        (World(0.1, sealed=-0.05), {"metric": "small.validation_loss"}, NOT_CONFIRMED),  # the exam gets worse
    ],
)
def test_verdicts(ledger, world, changes, outcome):
    world.calls.clear()
    one = asking(ledger, world, **changes)
    assert one.verdict["outcome"] == outcome
    assert f"**{outcome.capitalize()}.**" in ledger.book.read_text()
    sealed = [asked for asked in world.calls if asked.part == "sealed"]
    assert bool(sealed) == (outcome in (CONFIRMED, NOT_CONFIRMED))  # the seal is broken for winners alone
    assert [asked.seed for asked in world.calls[:2]] == [1, 1]


def test_a_ledger_has_any_text(ledger):
    hypothesis = "one\u2028two\x85three\nfour"  # Python's splitlines ends lines at all of them
    asking(ledger, World(0.0), hypothesis=hypothesis)
    assert [one.question["hypothesis"] for one in ledger.tries()] == [hypothesis]


def test_the_question_is_in_the_ledger_before_the_first_run(ledger):
    def look(asked):
        (line,) = ledger.path.read_text().splitlines()
        found = json.loads(line)
        assert found["event"] == "registered"
        assert found["question"]["direction"] == "lower"  # bits per byte: lower is better
        assert found["level"] == budget.level(0, 0)
        raise StepError("seen")

    with pytest.raises(StepError, match="seen"):
        asking(ledger, look)


def test_an_interrupted_try_resumes_without_buying_a_seed_twice(ledger):
    whole = asking(Ledger(ledger.path.parent / "whole", ledger.lock), World())
    world = World()
    world.fail_at = 5
    with pytest.raises(StepError, match="killed"):
        asking(ledger, world)
    world.fail_at = None
    resumed = asking(ledger, world)
    assert resumed.number == 1
    assert [row["improvement"] for row in resumed.seeds] == [row["improvement"] for row in whole.seeds]
    assert resumed.verdict["text"] == whole.verdict["text"]
    assert len(world.calls) == 4 * len(whole.seeds) + 1  # the arm that had no partner is asked again


def test_a_try_is_closed_with_a_reason_and_keeps_its_share(ledger):
    world = World()
    world.fail_at = 1
    with pytest.raises(StepError, match="killed"):
        asking(ledger, world)
    with pytest.raises(StepError, match="the reason is empty"):
        close(ledger, 1, " ")
    assert close(ledger, 1, "its loss becomes NaN").verdict["outcome"] == "closed"
    assert "**Closed.** its loss becomes NaN" in ledger.book.read_text()
    with pytest.raises(StepError, match="try 1 is finished; expected an open try"):
        close(ledger, 1, "again")
    asking(ledger, World(), hypothesis="the next one")
    assert ledger.tries()[1].registered["level"] == budget.level(1, 0)


def test_levels_follow_the_budget_of_all_tries(ledger):
    for number, effect in enumerate([0.1, 0.0, 0.1]):
        asking(ledger, World(effect), hypothesis=f"number {number}")
    levels = [one.registered["level"] for one in ledger.tries()]
    assert levels == [budget.level(0, 0), budget.level(1, 1), budget.level(2, 1)]
    assert [one.verdict["outcome"] for one in ledger.tries()] == [CONFIRMED, HOPELESS_NOW, CONFIRMED]


def test_a_question_that_was_answered_is_not_asked_again(ledger):
    asking(ledger, World(0.0))
    with pytest.raises(
        StepError, match="try 1 asked this and ended as 'hopeless'; asking again would be a second chance"
    ):
        asking(ledger, World(0.0))


def test_an_exam_has_an_interval_over_seeds_and_families(ledger):
    one = asking(ledger, World())
    paired = one.verdict["paired"]
    found = paired["families"]
    assert (found["units"], found["seeds"]) == (2, len(one.seeds))
    assert found["low"] < paired["mean"] < found["high"]


@pytest.mark.parametrize(
    "change", [lambda lines: lines[1:], lambda lines: [lines[0].replace("0.02", "0.01"), *lines[1:]]]
)
def test_a_ledger_that_was_changed_is_refused(ledger, change):
    asking(ledger, World(0.0))
    ledger.path.write_text("\n".join(change(ledger.path.read_text().splitlines())) + "\n")
    with pytest.raises(StepError, match=r"line [12]: the line or the one before it was changed.*restore it from git"):
        ledger.tries()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"smallest": 0}, "smallest is 0: .*greater than 0"),
        ({"hypothesis": ""}, "hypothesis is ''"),
        ({"set": {}}, "set is {}"),
        ({"set": {"seed": 3}}, "seed is set; a try chooses it"),
        ({"metric": "small.los"}, "metric 'small.los' was given; expected one of small.validation_loss"),
        ({"seeds": 3}, "seeds is 3: extra inputs.*the fields are hypothesis, set"),
        ({"most": 1}, "most is 1"),
        ({"direction": "up"}, "direction is 'up'"),
    ],
)
def test_wrong_questions_are_refused(changes, message):
    with pytest.raises(StepError, match=message):
        read_question(ASKED | changes)


@pytest.mark.parametrize(("name", "expected"), [("hypothesis", "the hypothesis in words"), ("set", "parameters that")])
def test_a_question_without_a_part_says_what_it_is(name, expected):
    with pytest.raises(StepError, match=f"try: {name} was not given; expected {expected}.*; add it"):
        read_question({key: value for key, value in ASKED.items() if key != name})


def test_a_rate_other_than_the_ledgers_is_refused(ledger):
    asking(ledger, World(0.0))
    with pytest.raises(StepError, match=r"rate is 0\.5; expected 0\.1, with which"):
        asking(ledger, World(0.0), rate=0.5)


def test_figures_are_read_with_their_basis(tmp_path):
    (tmp_path / "reports/scores/small").mkdir(parents=True)
    basis = Basis(tokenizer="t", documents="d", targets="x", whole=True)
    summary = {"validation_loss": 3.0, "bits_per_byte": 1.5, "measured_on": basis.record()}
    (tmp_path / "reports/train_small.json").write_text(json.dumps(summary))
    assert read(tmp_path, METRICS["small.validation_loss"]) == Measurement(3.0, basis)
    scores = {
        "suite": "exam",
        "overall": {"acc": {"value": 0.5}},
        "tasks": {"sums": {"acc": {"value": 0.4}}},
        "data": {"sums": "hash"},
    }
    (tmp_path / "reports/scores/small/scores.json").write_text(json.dumps(scores))
    found = read(tmp_path, METRICS["small.exam_accuracy"])
    assert (found.value, found.families) == (0.5, {"sums": 0.4})
    assert found.basis.questions
    with pytest.raises(StepError, match=r"scores.json: small.exam_bits_per_byte is missing"):
        read(tmp_path, METRICS["small.exam_bits_per_byte"])
    with pytest.raises(StepError, match=r"train_large.json: cannot be read"):
        read(tmp_path, METRICS["large.validation_loss"])


def test_a_loss_is_confirmed_by_the_bits_of_the_exam():
    assert sealed_metric(METRICS["large.validation_loss"]) == METRICS["large.exam_bits_per_byte"]
    assert sealed_metric(METRICS["small.exam_accuracy"]) == METRICS["small.exam_accuracy"]
