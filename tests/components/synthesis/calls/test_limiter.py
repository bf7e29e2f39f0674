"""The limiter on a clock of its own: it rises, ignores stray faults, falls once a round, waits as it is told."""

from components.synthesis.calls.limiter import DECREASE, KNOWN, PATIENT, SHORTEST, START, Limiter


def rounds(limiter: Limiter, count: int, now: float, took: float = 0.2, congested: bool = False) -> float:
    """Fill the limiter and empty it `count` times."""
    for _ in range(count):
        numbers = []
        while limiter.wait(now) == 0.0:
            numbers.append(limiter.start(now))
        now += took
        for number in numbers:
            limiter.end(number, now, congested, answered=not congested)
    return now


def test_it_doubles_to_its_limit_and_no_further():
    limiter = Limiter(64, 60.0)
    assert limiter.limit == START
    rounds(limiter, 3, 0.0)
    assert limiter.limit == 64
    rounds(limiter, 5, 1.0)
    assert limiter.limit == 64


def test_a_single_request_is_a_limit_too():
    limiter = Limiter(1, 60.0)
    number = limiter.start(0.0)
    assert limiter.wait(0.0) is None
    limiter.end(number, 0.2, congested=True, answered=False)
    assert limiter.wait(0.2) == 0.0


def test_stray_faults_cost_nothing():
    limiter = Limiter(64, 60.0)
    now = rounds(limiter, 6, 0.0)
    for turn in range(200):  # five in a hundred
        number = limiter.start(now)
        limiter.end(number, now + 0.2, congested=turn % 20 == 0, answered=turn % 20 != 0, retry_after=5.0)
        now += 0.01
    assert limiter.limit == 64
    assert limiter.wait(now) == 0.0


def test_many_faults_of_one_round_are_one_fall():
    limiter = Limiter(64, 60.0)
    now = rounds(limiter, 6, 0.0)
    rounds(limiter, 1, now, congested=True)
    assert limiter.limit >= 64 * DECREASE**2
    assert limiter.limit < 64


def test_it_finds_what_an_endpoint_bears():
    """An endpoint that turns away all beyond 20 at once: the limit comes to stay around that."""
    limiter, now, limits = Limiter(256, 60.0), 0.0, []
    for _ in range(60):
        numbers = []
        while limiter.wait(now) == 0.0:
            numbers.append(limiter.start(now))
        now += 0.2
        for place, number in enumerate(numbers):
            limiter.end(number, now, congested=place >= 20, answered=place < 20)
        limits.append(limiter.limit)
    assert min(limits[20:]) >= 10
    assert max(limits[20:]) <= 45


def test_retry_after_holds_everything_back_when_many_are_turned_away():
    limiter = Limiter(64, 60.0)
    now = rounds(limiter, 6, 0.0)
    for _ in range(20):
        limiter.end(limiter.start(now), now, congested=True, answered=False, retry_after=3.0)
    assert limiter.wait(now) == 3.0
    assert limiter.wait(now + 3.1) == 0.0


def test_waits_shorten_once_latencies_are_known():
    limiter = Limiter(64, 60.0)
    assert limiter.deadline() == 60.0
    rounds(limiter, 8, 0.0, took=2.0)
    assert limiter.deadline() == PATIENT * 2.0
    quick = Limiter(64, 60.0)
    rounds(quick, 8, 0.0, took=0.01)
    assert quick.deadline() == SHORTEST


def test_a_call_that_hangs_gives_its_place_away():
    limiter = Limiter(START, 60.0)
    now = rounds(limiter, KNOWN // START + 2, 0.0)
    for _ in range(START):
        limiter.start(now)
    assert limiter.wait(now) > 0
    assert limiter.wait(now + 0.5) == 0.0  # twice the usual latency has passed
    for _ in range(START // 4):
        limiter.start(now + 0.5)
    assert limiter.wait(now + 0.5) != 0.0  # but only a quarter more than the limit may start
