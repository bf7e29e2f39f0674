"""The limiter on a clock of its own: it rises, ignores stray faults, falls once a round, waits as it is told."""

import heapq
from itertools import pairwise

from components.endpoint.limiter import DECREASE, PATIENT, SHORTEST, SLOWEST, START, Limiter


def simulate(
    limiter: Limiter, seconds: float, now: float = 0.0, took: float = 0.2, bears: int = 10_000, fail: bool = False
) -> tuple[float, list[tuple[float, float, int]]]:
    """Run an endpoint that answers after `took` seconds and refuses at once what exceeds `bears` at a time.

    Returns:
        The time, and (time, limit, in flight) after each reply.
    """
    flying: list[tuple[float, int, bool]] = []
    history, end = [], now + seconds
    while now < end:
        pause = limiter.wait(now)
        if pause == 0.0:
            refused = fail or sum(not congested for _, _, congested in flying) >= bears
            heapq.heappush(flying, (now + (0.01 if refused else took), limiter.start(now), refused))
            continue
        if flying and (pause is None or flying[0][0] <= now + pause):
            now, number, congested = heapq.heappop(flying)
            limiter.end(number, now, congested, answered=not congested)
            history.append((now, limiter.limit, len(flying)))
        else:
            now += pause or 0.01
    for _, number, _ in flying:
        limiter.end(number, now, False, answered=False)
    return now, history


def test_it_doubles_to_its_limit_and_no_further():
    limiter = Limiter(128, 60.0)
    assert limiter.limit == START
    now, _ = simulate(limiter, 1.2)
    assert limiter.limit == 128
    _, history = simulate(limiter, 5.0, now)
    assert limiter.limit == 128
    assert max(flying for _, _, flying in history) <= 128


def test_starts_are_spread_and_the_limit_is_used_all_the_same():
    limiter = Limiter(64, 60.0)
    now, _ = simulate(limiter, 3.0)
    _, history = simulate(limiter, 10.0, now)
    assert len(history) / 10.0 > 0.95 * 64 / 0.2
    gaps = [b[0] - a[0] for a, b in pairwise(history)]
    assert max(gaps) < 0.06  # replies do not come in bursts of 64


def test_a_single_request_is_a_limit_too():
    limiter = Limiter(1, 60.0)
    number = limiter.start(0.0)
    assert limiter.wait(0.0) is None
    limiter.end(number, 0.2, congested=True, answered=False)
    assert limiter.wait(0.2) == 0.0


def test_stray_faults_cost_nothing():
    limiter = Limiter(64, 60.0)
    now, _ = simulate(limiter, 3.0)
    for turn in range(200):  # five in a hundred
        number = limiter.start(now)
        limiter.end(number, now + 0.2, congested=turn % 20 == 0, answered=turn % 20 != 0, retry_after=5.0)
        now += 0.01
    assert limiter.limit == 64
    assert limiter.paused_until == 0.0


def test_many_faults_of_one_round_are_one_fall():
    limiter = Limiter(64, 60.0)
    now, _ = simulate(limiter, 3.0)
    numbers = [limiter.start(now) for _ in range(64)]
    for number in numbers:
        limiter.end(number, now + 0.2, congested=True, answered=False)
    assert limiter.limit == 64 * DECREASE


def test_it_finds_what_an_endpoint_bears():
    """An endpoint that turns away all beyond 20 at once: the limit comes to stay around that."""
    limiter = Limiter(256, 60.0)
    _, history = simulate(limiter, 40.0, bears=20)
    limits = [limit for now, limit, _ in history if now > 10.0]
    assert min(limits) >= 10
    assert max(limits) <= 40
    answered = sum(1 for now, _, _ in history if now > 10.0)
    assert answered / 30.0 > 0.8 * 20 / 0.2


def test_retry_after_holds_everything_back_when_many_are_turned_away():
    limiter = Limiter(64, 60.0)
    now, _ = simulate(limiter, 3.0)
    for _ in range(20):
        limiter.end(limiter.start(now), now, congested=True, answered=False, retry_after=3.0)
    assert abs(limiter.wait(now) - 3.0) < 1e-6
    assert limiter.wait(now + 4.0) == 0.0


def test_waits_shorten_once_latencies_are_known():
    limiter = Limiter(64, 60.0)
    assert limiter.deadline() == 60.0
    simulate(limiter, 20.0, took=2.0)
    assert abs(limiter.deadline() - SLOWEST * 2.0) < 0.01
    quick = Limiter(64, 60.0)
    simulate(quick, 2.0, took=0.01)
    assert quick.deadline() == SHORTEST


def test_waits_are_long_where_latencies_differ():
    """One answer in ten takes five times as long as the others: nothing that may still come is given up."""
    limiter = Limiter(64, 600.0)
    for turn in range(200):
        limiter.end(limiter.start(turn), turn + (10.0 if turn % 10 == 0 else 2.0), congested=False, answered=True)
    assert limiter.deadline() == PATIENT * 10.0


def test_a_call_that_hangs_gives_its_place_away():
    limiter = Limiter(START, 60.0)
    now, _ = simulate(limiter, 3.0)
    now += 1.0
    for _ in range(START):
        limiter.start(now)
    assert limiter.wait(now + 0.3) > 0
    assert limiter.wait(now + 1.0) == 0.0  # more than twice the usual latency has passed
    more = 0
    while limiter.wait(now + 2.0 + more) == 0.0 and more < 100:
        limiter.start(now + 2.0)
        more += 1
    assert more == START // 4  # only a quarter more than the limit may start
