"""The playground's worker: answers equal to `phiforge chat`'s, several people at once, bounded memory, and a fresh start after
an end."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.errors import StepError
from components.phi.generation import Sampling
from components.phi.text import TextModel, Wish
from flows import playground
from flows.client.playground import Playground
from flows.processes import wait_until

ROOT = Path(__file__).parents[2]
GREEDY = {"temperature": 0.0, "top_k": 0, "top_p": 1.0, "seed": 1, "max_tokens": 20, "stop": []}
PROMPT = "Tale 5. the old miller"


@pytest.fixture(scope="module")
def worker(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Playground]:
    copy = shutil.copytree(home, tmp_path_factory.mktemp("play") / "home with a blank")
    shutil.copyfile(ROOT / "params.yaml", copy / "params.yaml")
    (copy / "flows").mkdir()  # a project may hold another version's code, which is not to be run
    (copy / "flows" / "__init__.py").touch()
    made = Playground(copy)
    yield made
    made.close()


def answer(worker: Playground, model: str = "large", prompt: str = PROMPT, **more: Any) -> dict[str, Any]:
    wish, given = GREEDY | more.pop("wish", {}), {"messages": None} | more
    whole: dict[str, Any] = {"steps": []}
    for event in worker.ask("answer", model=model, prompt=prompt, wish=wish, **given):
        whole = whole | event | {"steps": whole["steps"] + event.get("steps", [])}
    return whole


def test_an_answer_is_that_of_the_chat_with_each_token_explained(worker: Playground) -> None:
    model = TextModel.load(worker.root / "models" / "large")
    found = answer(worker)
    assert found["text"] == model.complete(PROMPT, Wish(20))
    assert "".join(step["text"] for step in found["steps"]).startswith(found["text"])
    assert found["tokens"] == 20
    for step in found["steps"]:
        shares = [share for _, share in step["likeliest"]]
        assert step["probability"] == shares[0] == max(shares), "greedy takes the likeliest"
        assert sum(shares) <= 1 + 1e-5
    sampled = {"temperature": 1.0, "top_p": 0.9, "seed": 7}
    expected = model.complete(PROMPT, Wish(20, Sampling(1.0, 0, 0.9, 7)))
    assert answer(worker, wish=sampled)["text"] == expected


def test_an_answer_goes_on_from_its_beginning_and_ends_at_a_stop(worker: Playground) -> None:
    model = TextModel.load(worker.root / "models" / "large")
    beginning = " went down"
    assert answer(worker, prefix=beginning)["text"] == model.complete(PROMPT + beginning, Wish(20))
    whole = answer(worker)["text"]
    stop = next(whole[place : place + 2] for place in range(5, len(whole)) if whole[place : place + 2].isprintable())
    assert answer(worker, wish={"stop": [stop]})["text"] == whole[: whole.index(stop)]


def test_two_people_get_their_answers_at_once_and_a_refusal_disturbs_neither(worker: Playground) -> None:
    expected = {name: answer(worker, name)["text"] for name in ("small", "large")}
    found: dict[str, str] = {}

    def person(name: str) -> None:
        for _ in range(5):
            found[name] = answer(worker, name)["text"]

    people = [threading.Thread(target=person, args=(name,)) for name in expected]
    for one in people:
        one.start()
    with pytest.raises(StepError, match="no model or folder 'nobody'"):
        answer(worker, "nobody")
    with pytest.raises(StepError, match="temperature is -1"):
        answer(worker, wish={"temperature": -1})
    for one in people:
        one.join()
    assert found == expected


def test_an_answer_that_nobody_waits_for_ends(worker: Playground) -> None:
    for _ in range(3):  # more than are answered at once
        events = worker.ask("answer", model="large", prompt=PROMPT, messages=None, wish=GREEDY | {"max_tokens": 10**6})
        assert next(events)["text"]
        events.close()  # type: ignore[attr-defined]
    assert answer(worker)["tokens"] == 20


def test_a_switch_changes_the_looked_at_model_and_nobody_elses(worker: Playground) -> None:
    whole: dict[str, Any] = {"blocks": [], "heads": [], "new": False}
    given: dict[str, Any] = {"model": "large", "prompt": PROMPT, "head": (0, 1), "tokens": 8}
    before = worker.one("look", off=whole, **given)
    assert before["text"] == TextModel.load(worker.root / "models" / "large").complete(PROMPT, Wish(8))
    assert len(before["lens"]) == 4
    assert before["lens"][-1][-1] == [before["next"][0][0], pytest.approx(before["next"][0][1], rel=1e-4)]
    assert [sum(row) for row in before["attention"]] == pytest.approx([1.0] * len(before["tokens"]), abs=1e-5)
    without = worker.one("look", off=whole | {"blocks": [1], "heads": [[0, 1]]}, **given)
    assert without["next"] != before["next"]
    assert worker.one("look", off=whole, **given) == before
    with pytest.raises(StepError, match="no block 9; expected 0 to 2"):
        worker.one("look", off=whole | {"blocks": [9]}, **given)


def test_held_out_texts_are_offered(worker: Playground) -> None:
    passages = worker.one("prompts", model="large")["passages"]
    assert passages
    assert all(passage["prompt"] and passage["truth"] for passage in passages)


def test_a_worker_that_was_killed_is_started_again(worker: Playground) -> None:
    answer(worker)
    before = worker.pid
    assert before is not None
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: worker._process is None or worker._process.poll() is not None, 20)
    assert answer(worker)["tokens"] == 20
    assert worker.pid != before


def test_a_worker_ends_with_whoever_asked(worker: Playground) -> None:
    code = (
        "import sys, os, signal; from pathlib import Path; from flows.client.playground import Playground\n"
        "p = Playground(Path(sys.argv[1])); p.one('about', model='small'); print(p.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(worker.root)], capture_output=True, text=True, cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    pid = int(done.stdout)
    assert wait_until(lambda: not Path(f"/proc/{pid}/status").exists() or "Z" in _state(pid), 20)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def test_a_model_without_scores_is_asked_the_exam_of_its_run(tmp_path: Path) -> None:
    scores = tmp_path / "reports" / "scores"
    for name in ("large", "tuned"):
        (scores / name).mkdir(parents=True)
        (scores / name / "scores.json").touch()
    found = {name: playground._scores(tmp_path / "models" / name).name for name in ("tuned", "grown", "small")}
    assert found == {"tuned": "tuned", "grown": "large", "small": "large"}


def test_models_leave_when_another_needs_their_room(home: Path) -> None:
    size = {
        name: 4 * TextModel.load(home / "models" / name).phi.config.parameter_count()
        for name in ("small", "large", "control")
    }
    models = playground.Models(size["small"] + size["large"])
    small = models.get(home / "models" / "small")
    models.get(home / "models" / "large")
    assert models.get(home / "models" / "small") is small
    models.get(home / "models" / "control")  # as large as `large`, which was used longest ago
    assert models.get(home / "models" / "small") is small
    assert models.taken == size["small"] + size["control"]
    with pytest.raises(StepError, match=r"takes 0.0 GB, but the playground uses at most 0.0 GB"):
        playground.Models(size["small"] - 1).get(home / "models" / "small")
