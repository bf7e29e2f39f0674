"""Expressions are evaluated in one process; one that kills it fails alone."""

from components.synthesis.execution import evaluate


def test_values_and_errors_come_back_in_order():
    jobs = [("1 + 1", ()), ("1 / 0", ()), ("textwrap.wrap('a b', 1)", ("textwrap",)), ("missing", ())]
    assert evaluate(jobs) == [
        (True, "2"),
        (False, "ZeroDivisionError"),
        (True, "['a', 'b']"),
        (False, "NameError"),
    ]


def test_a_dead_process_fails_one_expression_and_the_rest_goes_on():
    (before, died, after) = evaluate([("1", ()), ("os._exit(3)", ("os",)), ("2", ())])
    assert before == (True, "1")
    assert not died[0]
    assert "status 3" in died[1]
    assert after == (True, "2")


def test_an_endless_expression_is_stopped():
    (endless, after) = evaluate([("sum(iter(int, 1))", ()), ("2", ())], seconds=1)
    assert not endless[0]
    assert after == (True, "2")


def test_nothing_to_do():
    assert evaluate([]) == []


def test_each_process_hashes_strings_in_its_own_way() -> None:
    assert (
        len({evaluate([("hash('a')", ())])[0] for _ in range(3)}) > 1
    )  # so the order of a set never passes for a fact


def test_statements_may_stand_before_the_expression() -> None:
    programs = ["x = 3; x += 4\nx", "try:\n    1 / 0\nexcept Exception as e:\n    n = type(e).__name__\nn", "'a; b'"]
    assert evaluate([(program, ()) for program in programs]) == [
        (True, "7"),
        (True, "'ZeroDivisionError'"),
        (True, "'a; b'"),
    ]
