"""The page of all runs."""

from collections.abc import Iterator

import pytest
from streamlit.testing.v1 import AppTest

from tests.ui.fakes import Dead, Lists, Open, flow_run, html, opener, settle
from ui import results


@pytest.fixture
def open_page(monkeypatch: pytest.MonkeyPatch, root) -> Iterator[Open]:
    yield from opener(monkeypatch, root)


def some() -> Lists:
    lists = Lists(
        flow_run("quiet-falcon", "RUNNING", overrides={"seed": 2}),
        flow_run("amber-lynx", "FAILED", overrides={"training.beta1": 0.8, "a.b": 1, "c.d": 2, "e.f": 3}),
        flow_run("calm-wren", overrides={"seed": 3}, note="third seed", tags=("baseline",)),
        flow_run("bright-otter", overrides={"seed": 2}),
        flow_run("old-heron", tags=("archived",)),
    )
    lists.losses = {"calm-wren": {"large": 2.5, "small": 2.9}, "bright-otter": {"large": 2.7}}
    return lists


def shown(at: AppTest, column: str = "name") -> list:
    return list(at.dataframe[0].value[column])


def tick(at: AppTest, *names: str) -> AppTest:
    """AppTest has no clicks on rows, so the session gets what they leave."""
    ids = at.session_state["runs_shown"]
    at.session_state["runs_chosen"] = {ids[shown(at).index(name)] for name in names}
    return settle(at.run())


def test_the_table_says_what_each_run_is_and_gave(open_page: Open) -> None:
    at = open_page("runs", some())
    assert shown(at) == ["quiet-falcon", "amber-lynx", "calm-wren", "bright-otter"]
    assert shown(at, "state")[:2] == [["Running"], ["Failed"]]
    assert shown(at, "differs from the default")[1] == "training.beta1 0.8, a.b 1, c.d 2, e.f 3", "nothing is left out"
    assert shown(at, "large loss")[2:] == [2.5, 2.7]
    assert shown(at, "tags")[2] == ["baseline"]
    assert "small loss" not in at.dataframe[0].value


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"find": "third"}, ["calm-wren"]),
        ({"find": "beta1 0.8"}, ["amber-lynx"]),
        ({"find": "no such"}, []),
        ({"state": "active"}, ["quiet-falcon"]),
        ({"of": "corpus"}, []),
        ({"sort": "large loss"}, ["calm-wren", "bright-otter", "quiet-falcon", "amber-lynx"]),
        ({"archived": "true"}, ["quiet-falcon", "amber-lynx", "calm-wren", "bright-otter", "old-heron"]),
        ({"fold": "true"}, ["quiet-falcon", "amber-lynx", "calm-wren"]),
    ],
)
def test_filters_and_order_are_in_the_address(open_page: Open, query: dict[str, str], names: list[str]) -> None:
    at = open_page("runs", some(), **query)
    assert (shown(at) if names else []) == names
    assert ("No run matches" in html(at)) == (not names)


def test_folded_seeds_show_their_mean(open_page: Open) -> None:
    at = open_page("runs", some(), fold="true")
    assert shown(at, "large loss")[2] == pytest.approx(2.6)
    assert shown(at, "seeds") == [1, 1, 2]


def test_parameters_can_have_columns(open_page: Open) -> None:
    at = open_page("runs", some(), show="parameters as columns")
    assert shown(at, "training.beta1")[1] == "0.8"
    assert [value for value in shown(at, "seed") if isinstance(value, str)] == ["2", "3", "2"]


def test_ticked_runs_are_compared(open_page: Open) -> None:
    at = tick(open_page("runs", some()), "calm-wren", "bright-otter")
    at.button(key="runs_compare").click().run()
    assert at.query_params["runs"] in ("id-calm-wren,id-bright-otter", ["id-calm-wren,id-bright-otter"])


def test_a_run_is_renamed_and_gets_tags_and_a_note(open_page: Open) -> None:
    lists = some()
    at = tick(open_page("runs", lists), "calm-wren")
    fields = {w.label: w for w in (*at.text_input, *at.text_area)}
    assert (fields["Name"].value, fields["Tags"].value, fields["Note"].value) == ("calm-wren", "baseline", "third seed")
    fields["Name"].set_value("wider")
    fields["Tags"].set_value("keep, 2026")
    next(button for button in at.button if button.label == "Save").click()
    settle(at.run())
    ((_, run), (_, renamed)) = lists.done
    assert (run.name, run.tags, run.note, renamed) == ("wider", ("2026", "keep"), "third seed", "wider")
    assert "wider" in shown(at)


def test_archived_runs_leave_the_table(open_page: Open) -> None:
    at = tick(open_page("runs", some()), "calm-wren", "amber-lynx")
    settle(at.button(key="runs_archive").click().run())
    assert shown(at) == ["quiet-falcon", "bright-otter"]


def test_a_run_is_deleted_after_a_question_and_an_active_one_is_not(open_page: Open) -> None:
    lists = some()
    at = tick(open_page("runs", lists), "amber-lynx")
    assert not lists.done
    settle(at.button(key="runs_delete_sure").click().run())
    assert lists.done == [("delete", "id-amber-lynx"), ("delete", "mlflow-amber-lynx")]
    at = tick(at, "quiet-falcon")
    assert not [button for button in at.button if button.key == "runs_delete_sure"]


def test_who_may_only_view_changes_nothing(open_page: Open) -> None:
    at = tick(open_page("runs", some(), role="reader"), "calm-wren")
    assert not {"runs_archive", "runs_delete_sure"} & {button.key for button in at.button}


def test_without_runs_or_a_server_the_page_says_so(open_page: Open) -> None:
    assert "No runs yet" in html(open_page("runs", Lists()))
    assert "Runs cannot be shown now" in html(open_page("runs", Dead()))


def test_a_cached_stage_has_the_figures_of_the_run_that_made_it(
    open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Cached(Lists):
        def outputs(self, run_id: str) -> dict[str, dict[str, str]]:
            return {"train_large": {"models/large": "abc"}}

        def parents(self, limit: int = 100) -> list:
            return []

    lists = Cached(flow_run("again"), flow_run("first"))
    made = Lists(flow_run("first"))
    made.losses = {"first": {"large": 2.5}}
    (record,) = made.measured()
    record.tags["dvc.outs"] = '{"models/large": "abc"}'
    lists.measured = lambda limit=0: [record]
    monkeypatch.setattr(results.reads, "runs", lambda: lists)
    monkeypatch.setattr(results.reads, "records", lambda: lists)
    assert [one.figures["large loss"] for one in results.of(lists.all)] == [2.5, 2.5]


def test_the_same_seed_twice_is_one_seed() -> None:
    runs = [results.Result(flow_run(name, overrides={"seed": seed})) for name, seed in (("a", 1), ("b", 2), ("c", 1))]
    (group,) = results.folded(runs)
    assert [one.run.name for one in group.members] == ["a", "b"]
    assert group.name == "a and 1 more seed"
