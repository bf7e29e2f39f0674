"""`make chat`: names of models, commands, pipes, two models side by side, and nothing raw on the terminal."""

import io
import os
import pty
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from components.errors import StepError
from components.files import write_json
from components.phi.text import TextModel, Wish
from components.running.locks import exclusive
from components.tracking import WEIGHTS, weights_sha256
from flows import chat
from flows.models import find_model
from flows.processes import wait_until
from flows.settings import MAIN, lock_file

ROOT = Path(__file__).parents[2]


@pytest.fixture
def place(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the home, as the project's folder."""
    copy = shutil.copytree(home, tmp_path / "home")
    shutil.copyfile(ROOT / "params.yaml", copy / "params.yaml")
    monkeypatch.setenv("PHIFORGE_HOME", str(copy))
    return copy


def talk(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, text: str, *arguments: str
) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of a chat through a pipe."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8"))
    for name in ("stdout", "stderr"):  # pytest's own have no reconfigure
        monkeypatch.setattr(getattr(sys, name), "reconfigure", lambda **_: None, raising=False)
    status = chat.main([*arguments, "--max-tokens", "12"])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_a_piped_text_is_one_prompt_and_the_answer_is_all_of_stdout(place: Path, monkeypatch, capsys) -> None:
    status, out, err = talk(monkeypatch, capsys, "the old miller\nwent\n", "small", "--temperature", "0")
    model = TextModel.load(place / "models" / "small")
    assert status == 0
    assert out == chat_text(model.complete("the old miller\nwent", Wish(12)))
    assert "small: " in err
    assert "continues the text" in err


def chat_text(text: str) -> str:
    from components.foreign.terminal import printable_text

    return printable_text(text) + "\n"


def test_the_default_is_the_large_else_the_small_model_of_the_last_run(place: Path) -> None:
    assert find_model("", place) == place / "models" / "large"
    shutil.rmtree(place / "models" / "large")
    assert find_model("", place) == place / "models" / "small"
    workspace = place / "workspaces" / "0123456789ab"
    shutil.copytree(place / "models" / "control", workspace / "models" / "large")
    locks = place / ".phiforge" / "locks"
    for lock, when in (("main-tree", 100), ("workspace-0123456789ab", 200)):
        (locks / f"{lock}.lock").touch()
        os.utime(locks / f"{lock}.lock", (when, when))
    assert find_model("", place) == find_model("large", place) == workspace / "models" / "large"
    assert find_model("small", place) == place / "models" / "small"
    os.utime(locks / "main-tree.lock", (300, 300))
    assert find_model("", place) == place / "models" / "small"  # of the run that was the last
    with exclusive(lock_file(place, MAIN)):  # it is still under way
        assert find_model("", place) == workspace / "models" / "large"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nonsense", "there is no model or folder 'nonsense', and .*models: control, large, small"),
        ("models:/phiforge", "names no version"),
        ("models:/phiforge/3", "nothing is registered in .*; run `make run` first"),
        ("./nowhere", "./nowhere does not exist; expected a checkpoint folder, or one of: control, large, small"),
        ("params.yaml", "is a file"),
        (".", "config.json"),
    ],
)
def test_a_name_that_means_nothing_is_one_sentence(place: Path, monkeypatch, capsys, name: str, message: str) -> None:
    monkeypatch.chdir(place)
    status, out, err = talk(monkeypatch, capsys, "x", name)
    assert (status, out) == (1, "")
    assert re.search(f"^error: .*{message}", err)
    assert len(err.splitlines()) == 1


def test_without_a_run_the_remedy_is_named(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("PHIFORGE_HOME", str(tmp_path))
    for arguments in ([], ["small"]):
        status, _, err = talk(monkeypatch, capsys, "x", *arguments)
        assert status == 1
        assert err == "error: there is no model yet; run `make run` first, or name a checkpoint folder\n"
    assert not (tmp_path / "mlflow.db").exists()


def register(tracker: Any, checkpoint: Path, alias: str) -> None:
    """What a run of the pipeline leaves in the registry."""
    tracker.model(checkpoint, "model", {})
    mlflow = tracker._live()
    wanted = f"tags.{WEIGHTS} = '{weights_sha256(checkpoint)}'"
    (logged,) = mlflow.search_logged_models(filter_string=wanted, output_format="list")
    version = mlflow.register_model(logged.model_uri, "phiforge").version
    mlflow.MlflowClient().set_registered_model_alias("phiforge", alias, version)


@pytest.mark.slow
def test_versions_and_aliases_of_the_registry(place: Path, monkeypatch) -> None:
    import mlflow

    from components.tracking import MlflowTracker

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place}/mlflow.db")
    tracker = MlflowTracker("report", place)
    register(tracker, place / "models" / "large", "champion")
    register(tracker, place / "models" / "small", "candidate")
    tracker.end("FINISHED")
    mlflow.set_tracking_uri(None)
    for name, model in (("champion", "large"), ("models:/phiforge@champion", "large"), ("models:/phiforge/2", "small")):
        found = find_model(name, place)
        assert (found / "model.safetensors").read_bytes() == (
            place / "models" / model / "model.safetensors"
        ).read_bytes()
        assert TextModel.load(found).complete("the old", Wish(3)) is not None
    with pytest.raises(
        StepError, match="phiforge has no alias 'best'; it has: candidate, champion; models: control, large"
    ):
        find_model("best", place)
    with pytest.raises(StepError, match="phiforge has no version '9'; it has: 1, 2"):
        find_model("models:/phiforge/9", place)
    with pytest.raises(StepError, match=r"no model 'other' is registered in .*; there are: phiforge"):
        find_model("models:/other@champion", place)


@pytest.mark.slow
def test_a_model_of_a_server_elsewhere_is_copied_once(place: Path, monkeypatch) -> None:
    """Through MLflow's own server, which keeps the files."""
    import mlflow

    from components.tracking import MlflowTracker
    from flows.server import answers, free_port

    port = free_port()
    store = ["--backend-store-uri", f"sqlite:///{place}/server.db", "--artifacts-destination", str(place / "store")]
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1", *store]
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert wait_until(lambda: answers(f"http://127.0.0.1:{port}/health"), 180)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        tracker = MlflowTracker("report", place)
        register(tracker, place / "models" / "large", "champion")
        tracker.end("FINISHED")
        mlflow.set_tracking_uri(None)  # which takes it out of the environment too
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        found = find_model("champion", place)
        assert found.is_relative_to(place / ".phiforge" / "registry" / "phiforge-1")
        weights = found / "model.safetensors"
        assert weights.read_bytes() == (place / "models" / "large" / "model.safetensors").read_bytes()
        before = weights.stat().st_ino
        assert find_model("models:/phiforge/1", place) == found
        assert weights.stat().st_ino == before
    finally:
        server.terminate()
        server.wait(30)
    with pytest.raises(StepError, match="does not answer"):
        find_model("champion", place)


def test_commands_come_before_the_prompt(place: Path, monkeypatch, capsys) -> None:
    script = "/set temperature 0\n/set max_tokens 3\n/set stop \\n\\n\n/set\n/model control\n//usr/bin is\n"
    status, out, _ = talk(monkeypatch, capsys, script, "small", "--complete")
    assert status == 0
    model = TextModel.load(place / "models" / "control")
    assert re.search(r"temperature +0\.0", out)
    assert re.search(r"stop +'\\n\\n'", out)
    assert out.endswith(chat_text(model.complete("/usr/bin is", Wish(3, stop=("\n\n",)))))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("/nothing", "there is no command /nothing; there are help, model"),
        ("/set heat 3", "there is no setting 'heat'; there are temperature"),
        ("/set temperature hot", "temperature is 'hot'; expected a number"),
        ("/set temperature -1", "temperature is -1.0; expected a number of at least 0"),
        ("/set seed 1.5", "seed is '1.5'; expected a whole number"),
        ("/set top_p 2", "top_p is 2.0; expected over 0, at most 1"),
        ("/set max_tokens 0", "max_tokens is 0; expected at least 1"),
        ("/prompts 99", "there is no prompt 99; expected 1 to 10"),
        ("/model nowhere", "there is no model or folder 'nowhere'"),
        ("/model", "/model has no name"),
        ("/beside small", "'small' is already talking"),
        ("/chat", "small has no chat template"),
    ],
)
def test_a_mistake_is_one_sentence(place: Path, monkeypatch, capsys, line: str, message: str) -> None:
    status, _, err = talk(monkeypatch, capsys, line + "\n", "small")
    assert status == 1
    assert f"error: {message}" in err
    assert "Traceback" not in err


def test_held_out_texts_are_continued_beside_the_truth(place: Path, monkeypatch, capsys) -> None:
    from components.phi.passages import held_out_passages
    from components.tokens import Tokens

    passages = held_out_passages(Tokens.open(place / "data" / "tokens"), 10)
    _, out, _ = talk(monkeypatch, capsys, "/prompts\n/prompts 2\n", "small", "--temperature", "0")
    listed = [line for line in out.splitlines() if re.match(r" +\d+  Tale \d+\.", line)]
    assert len(listed) == 10
    told = TextModel.load(place / "models" / "small").complete(passages[1].prompt, Wish(12))
    assert out.endswith(passages[1].prompt + "\n" + chat_text(told) + passages[1].truth + "\n")


def test_texts_that_a_model_may_have_seen_are_said_to_be_so(place: Path, monkeypatch, capsys) -> None:
    *_, err = talk(monkeypatch, capsys, "/prompts\n", "small")
    assert "may have seen" not in err
    write_json(place / "models" / "small" / "lineage.json", {"tokens_fingerprint": "another"})
    *_, err = talk(monkeypatch, capsys, "/prompts\n", "small")
    assert "(small was not trained on this data split, so it may have seen these texts)" in err


def test_a_model_beside_itself_is_refused(place: Path, monkeypatch, capsys) -> None:
    status, _, err = talk(monkeypatch, capsys, "x", "small", "--beside", "small")
    assert (status, err) == (1, "error: --beside small: it is already the first model; name another\n")


def test_two_models_answer_the_same_prompt(place: Path, monkeypatch, capsys) -> None:
    status, out, _ = talk(monkeypatch, capsys, "the old", "large", "--beside", "control", "--temperature", "0")
    assert status == 0
    both = [
        chat_text(TextModel.load(place / "models" / name).complete("the old", Wish(12)))
        for name in ("large", "control")
    ]
    assert out == f"--- large\n{both[0]}--- control\n{both[1]}"


def test_a_chat_template_makes_it_a_chat_that_remembers(place: Path, monkeypatch, capsys) -> None:
    folder = place / "models" / "small"
    template = "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}[assistant]"
    write_json(folder / "tokenizer_config.json", {"chat_template": template})
    asked = []
    answer = TextModel.answer
    monkeypatch.setattr(
        TextModel, "answer", lambda self, prompt, wish: asked.append(prompt) or answer(self, prompt, wish)
    )
    assert talk(monkeypatch, capsys, "hello", "small")[0] == 0
    assert asked == ["[user] hello\n[assistant]"]
    asked.clear()
    assert talk(monkeypatch, capsys, "hello", "small", "--complete")[0] == 0
    assert asked == ["hello"]

    from components.phi.conversation import Conversation

    asked.clear()
    out, notes = io.StringIO(), io.StringIO()
    conversation = Conversation(
        lambda _: TextModel.load(folder), lambda _: [], ["small"], Wish(4), out=out, notes=notes
    )
    conversation.take("one")
    said = conversation.speakers[0].messages[1]["content"]
    conversation.take("two")
    assert asked[1].startswith("[user] one\n[assistant] ")
    assert asked[1].endswith("\n[user] two\n[assistant]")
    assert said in asked[1]
    conversation.take("/reset")
    conversation.take("three")
    assert asked[2] == "[user] three\n[assistant]"


def test_nothing_that_steers_a_terminal_is_printed_raw(place: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(TextModel, "answer", lambda *_: Fixed("\x1b[2J\x07bell\r\u202eno\x9b1m\u200dok\ttab \ufffd\n"))
    _, out, err = talk(monkeypatch, capsys, "x", "small")
    assert out == "\\x1b[2J\\x07bell\\r\\u202eno\\x9b1m\u200dok\ttab \\ufffd\n\n"
    status, _, err = talk(monkeypatch, capsys, "x", "\x1b[31mred")
    assert status == 1
    assert "\x1b" not in err


class Fixed:
    """An answer that says what it is told."""

    forgotten = 0

    def __init__(self, text: str) -> None:
        self.text = text

    def __iter__(self):
        return iter(self.text)


def test_what_is_out_of_sight_is_said(place: Path, monkeypatch, capsys) -> None:
    _, out, err = talk(monkeypatch, capsys, "the old miller went down " * 40, "small")
    assert re.search(r"\(small sees 64 tokens at once; the first [\d,]+ were outside the context at the end\)", err)
    assert out.strip()


@pytest.mark.parametrize(("given", "said"), [("", "standard input is empty"), ("caf\udce9", "not UTF-8")])
def test_a_pipe_without_a_readable_prompt_is_refused(place: Path, given: str, said: str) -> None:
    done = run(place, given.encode(errors="surrogateescape"), "small")
    assert done.returncode == 1
    assert said in done.stderr.decode()
    assert b"Traceback" not in done.stderr


def run(place: Path, given: bytes, *arguments: str) -> subprocess.CompletedProcess:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | {
        "PHIFORGE_HOME": str(place)
    }
    command = [sys.executable, "-m", "flows.chat", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, input=given, capture_output=True, timeout=120)


def test_a_person_at_a_terminal_talks_and_quits(place: Path) -> None:
    """Through a real terminal: tokens as they come, side by side, a mistake that ends nothing, Ctrl-D."""
    main, other = pty.openpty()
    environment = os.environ | {"PHIFORGE_HOME": str(place), "TERM": "xterm", "COLUMNS": "100", "LINES": "40"}
    child = subprocess.Popen(
        [sys.executable, "-m", "flows.chat", "small", "--temperature", "0", "--max-tokens", "5"],
        cwd=ROOT, env=environment, stdin=other, stdout=other, stderr=other, start_new_session=True,
    )  # fmt: skip
    os.close(other)
    seen = ""

    def until(words: str) -> None:
        nonlocal seen
        end = time.monotonic() + 60
        while words not in seen:
            assert time.monotonic() < end, seen
            seen += os.read(main, 4096).decode(errors="replace")

    try:
        until("> ")
        for line, words in (
            ("/nothing", "there is no command"),
            ("/beside control", "control: "),
            ("the old", "small"),
        ):
            seen = ""
            os.write(main, f"{line}\n".encode())
            until(words)
            until("> ")
        assert re.search(r"small +control", re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen))
        os.write(main, b"\x04")
        assert child.wait(30) == 0
    finally:
        child.kill()
        os.close(main)


def test_it_answers_soon_after_its_start(place: Path) -> None:
    """Start, imports, load and answer take about 2.2 s of CPU where nothing else runs, and so as long; a busy machine adds to both."""
    import resource

    run(place, b"warm", "small")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert run(place, b"the old", "small").returncode == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 4


@pytest.mark.slow
def test_a_served_model_answers_programs_of_this_machine_only(place: Path) -> None:
    """transformers' own server behind the door: its greedy completion is ours, others are refused."""
    pytest.importorskip("accelerate")
    openai = pytest.importorskip("openai")
    from flows.server import free_port

    port = free_port()
    environment = os.environ | {"PHIFORGE_HOME": str(place), "PHIFORGE_API_KEY": "right", "HF_HOME": str(place / "hf")}
    command = [sys.executable, "-m", "flows.chat", "small", "--serve", "--port", str(port)]
    with open(place / "log", "w") as log:
        server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT)
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="right", max_retries=0)
    try:
        end = time.monotonic() + 180
        while True:
            assert server.poll() is None, (place / "log").read_text()[-3000:]
            assert time.monotonic() < end, (place / "log").read_text()[-3000:]
            try:
                answer = client.completions.create(model="small", prompt="the old miller", max_tokens=8).choices[0].text
                break
            except openai.APIConnectionError:
                time.sleep(0.3)
        chat_answer = client.chat.completions.create(
            model="small", messages=[{"role": "user", "content": "who?"}], max_tokens=8
        )
        wrong = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="wrong", max_retries=0)
        with pytest.raises(openai.AuthenticationError):
            wrong.completions.create(model="small", prompt="x")
        for header in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
            with pytest.raises(openai.PermissionDeniedError):
                client.completions.create(model="small", prompt="x", extra_headers=header)
    finally:
        server.terminate()
        server.wait(30)
    model = TextModel.load(place / "models" / "small")
    assert answer.rstrip("\ufffd") == model.complete("the old miller", Wish(8))
    assert chat_answer.choices[0].message.content.rstrip("\ufffd") == model.complete("Question: who?\nAnswer:", Wish(8))


def test_a_template_that_fails_is_refused_before_anything_is_served(place: Path, monkeypatch, capsys) -> None:
    from flows.server import free_port

    (place / "models" / "small" / "chat_template.jinja").write_text("{{ ''.__class__.__mro__ }}")
    status, _, err = talk(monkeypatch, capsys, "", "small", "--serve", "--port", str(free_port()))
    assert status == 1
    assert "cannot be rendered (SecurityError" in err
    assert "Serving" not in err


def test_a_taken_port_is_refused(place: Path, monkeypatch, capsys) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        status, _, err = talk(monkeypatch, capsys, "", "small", "--serve", "--port", port)
    assert status == 1
    assert f"--port {port} is taken" in err
