"""The benchmark of runs on own text reads what the run has left, and tells a refusal from a failure."""

from bench.own_text import REPORT_LINE, failure, figures


def test_a_run_that_ends_before_any_work_was_refused() -> None:
    said = "Starting\ninventory: failed (3.9 s)\nerror: stage inventory\nerror: no readable file; name other text\nmake: ***"
    assert failure(said) == "refused: no readable file; name other text"
    assert failure("error: --text: there is no folder 'x'\n") == "refused: --text: there is no folder 'x'"
    assert failure("Setting up .venv\nmake: *** Error 1").startswith("failed: Setting up")
    assert failure("inventory: done (3.0 s)\ncurate: failed (9.0 s)\nerror: too few\n") == "failed: too few"


def test_the_row_has_the_share_of_people_s_text_and_bits_per_byte() -> None:
    costs = [("token frequencies", 4.0), ("xz -9e", 2.5), ("small", 2.2), ("large", 2.1)]
    text = {
        "documents": {"read": 10, "kept": 9},
        "training": {"by_kind": {"prose": 60, "code": 10, "exercise": 20, "textbook": 10}},
        "held_out": {"costs": [{"by": name, "bits_per_byte": bits} for name, bits in costs]},
    }
    row = figures({"text": text})
    assert (row["documents read"], row["kept"], row["outcome"]) == (10, 9, "done")
    assert row["own share of tokens"] == 0.7
    assert (row["large, bits per byte"], row["xz"], row["unigram"]) == (2.1, 2.5, 4.0)


def test_the_report_is_found_in_a_folder_with_a_blank() -> None:
    said = "Next steps\n  the report          workspaces/a b/reports/final/index.html\n  metrics   dvc"
    assert REPORT_LINE.findall(said) == ["workspaces/a b/reports/final/"]
