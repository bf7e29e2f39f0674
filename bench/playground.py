"""Speed of the playground's worker on the models of the last run: `python -m bench.playground [--rounds 5]`.

Time to the first token and tokens per second of an answer, beside transformers' `generate` on the same checkpoint in the same
process order; a switch of Look inside; and passages of an answer in the training data. Medians; wall time, since a person waits.
"""

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import components  # noqa: F401 - before torch: it sets how threads wait
from flows.client.playground import Playground, known_models
from flows.settings import project_root

PROMPT = "Question: Which planet is closer to the Sun, Saturn or Venus?\nAnswer:"
TOKENS = 96
GREEDY = {"temperature": 0.0, "top_k": 0, "top_p": 1.0, "seed": 1, "max_tokens": TOKENS, "stop": []}


def answer(worker: Playground, model: str) -> tuple[float, float, str]:
    """Seconds to the first token, tokens per second, and the text."""
    started, first, steps, text = time.perf_counter(), 0.0, 0, ""
    for event in worker.ask("answer", model=model, prompt=PROMPT, messages=None, wish=GREEDY):
        first = first or time.perf_counter() - started
        steps += len(event.get("steps", ()))
        text = event.get("text", text)
    return first, steps / (time.perf_counter() - started), text


def timed(action: Any) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def theirs(folder: Path) -> tuple[float, str]:
    """Tokens per second of transformers, and its text."""
    import torch
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

    model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=False)
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    ids = torch.tensor([tokenizer.encode(PROMPT, add_special_tokens=False)])
    found = model.generate(ids, max_new_tokens=TOKENS, do_sample=False)  # the first is slower
    seconds = statistics.median(
        timed(lambda: model.generate(ids, max_new_tokens=TOKENS, do_sample=False)) for _ in range(3)
    )
    made = found.shape[1] - ids.shape[1]
    return made / seconds, tokenizer.decode(found[0, ids.shape[1] :], skip_special_tokens=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each measurement")
    rounds = range(parser.parse_args().rounds)
    root = project_root()
    if not (known := known_models(root)):
        raise SystemExit("there is no model yet; run `make run` first")
    model, worker = known[0], Playground(root)
    print(f"start of the worker and of {model}: {timed(lambda: worker.one('about', model=model)):.2f} s")
    answers = [answer(worker, model) for _ in rounds]
    first, speed = (statistics.median(each[number] for each in answers) for number in (0, 1))
    peer, text = theirs(root / "models" / model)
    same = "the same text" if text == answers[0][2] else "another text"
    print(f"first token: {1000 * first:.0f} ms")
    print(
        f"tokens per second: {speed:.0f} with probabilities; transformers {peer:.0f}, {same}; ratio {speed / peer:.2f}"
    )
    off: dict[str, Any] = {"blocks": [], "heads": [], "new": False}
    switches: list[dict[str, Any]] = [off | {"blocks": [1]}, off | {"heads": [[0, 1]]}, off]
    switches += [off | {"new": True}] if "grown" in known and model == "large" else []
    looks = [
        timed(lambda: worker.one("look", model=model, prompt=PROMPT, off=each, head=(0, 0), tokens=24))  # noqa: B023
        for _ in rounds
        for each in switches
    ]
    print(f"a switch: median {1000 * statistics.median(looks[1:]):.0f} ms, longest {1000 * max(looks[1:]):.0f} ms")
    spans = [timed(lambda: worker.one("spans", model=model, text=text, least=8)) for _ in rounds]
    print(
        f"passages of {TOKENS} tokens: first {1000 * spans[0]:.0f} ms, then {1000 * statistics.median(spans[1:]):.0f} ms"
    )
    worker.close()


if __name__ == "__main__":
    main()
