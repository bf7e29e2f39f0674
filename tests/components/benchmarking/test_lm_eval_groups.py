"""Every group of lm-eval's definitions on made-up rows: figures equal to those of lm-eval's HFLM, or a named reason.

    PHIFORGE_GROUPS=out.md python -m pytest -m slow tests/components/benchmarking/test_lm_eval_groups.py

also writes the outcome for each definition, on which the table in docs/benchmarking.md is based.
"""

import contextlib
import io
import math
import os
import warnings
from pathlib import Path

import pytest

from tests.components.benchmarking.generated_rows import HAND_MADE, fields_of, rows_for

pytestmark = pytest.mark.slow
TRIALS = 24
NEW_TOKENS = 6


def definitions():
    """By group, the folder in lm-eval's tasks: a definition of each output type and set of metrics, at most two."""
    import yaml
    from lm_eval.tasks._yaml_loader import load_yaml

    from components.benchmarking.definitions import tasks_folder

    found = {}
    for folder in sorted(path for path in tasks_folder().iterdir() if path.is_dir() and path.name != "__pycache__"):
        kinds = {}
        for path in sorted(folder.rglob("*.yaml")):
            try:
                config = load_yaml(path, resolve_func=False)
            except (OSError, ValueError, yaml.YAMLError):
                continue
            if not isinstance(config.get("task"), str) or "group" in config:
                continue
            metrics = tuple(sorted(str(m.get("metric")) for m in config.get("metric_list") or ()))
            kinds.setdefault((config.get("output_type"), metrics), str(path.relative_to(tasks_folder())))
            if len(kinds) == 2:
                break
        if kinds:
            found[folder.name] = list(kinds.values())
    return found


@pytest.fixture(scope="module")
def models(checkpoint, tmp_path_factory):
    """A Phi with 1,024 positions, in our scorer and in HFLM."""
    from dataclasses import replace

    from lm_eval.models.huggingface import HFLM
    from tokenizers import Tokenizer
    from transformers import PhiForCausalLM, PreTrainedTokenizerFast

    from components.benchmarking.checkpoint import open_scorer
    from components.phi.checkpoint import read_config, save
    from components.phi.model import Phi

    folder = tmp_path_factory.mktemp("groups") / "model"
    config = replace(read_config(checkpoint), max_position_embeddings=1024)
    save(Phi(config).initialize(5), folder, checkpoint, {})
    opened = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_file(str(folder / "tokenizer.json")), eos_token="<|endoftext|>"
    )
    loaded = PhiForCausalLM.from_pretrained(folder)
    return open_scorer(folder, 8), HFLM(loaded, tokenizer=opened, batch_size=1, softmax_dtype="float32")


def task_of(name, config, rows):
    from components.benchmarking.suites import Task

    given = dict(config) | {"num_fewshot": 0}
    given["generation_kwargs"] = dict(given.get("generation_kwargs") or {}) | {"max_gen_toks": NEW_TOKENS}
    return Task(name, name, "c", "lm_eval", "acc", {"test": rows}, "test", "0", config=given)


def scored(definition, config, models):
    """Our figures and HFLM's on the first rows that the definition accepts; (None, reason) if it accepts none."""
    from lm_eval.evaluator import evaluate

    from components.benchmarking.benchmark import _ask
    from components.benchmarking.suites import reason_of
    from components.benchmarking.tasks import build_tasks
    from components.errors import StepError

    (ours, theirs), name = models, Path(definition).stem
    fields, reason = fields_of(config), ""
    rows = HAND_MADE.get(definition)
    for trial in range(1 if rows else TRIALS):
        task = task_of(name, config, rows or rows_for(fields, trial))
        try:
            built = build_tasks([task])
            expected = evaluate(
                lm=theirs, task_dict={"tasks": built, "groups": {}, "group_map": {}}, bootstrap_iters=0, limit=3
            )
        except BaseException as error:  # noqa: BLE001 - definitions may raise anything
            reason = reason or reason_of(error)
            continue
        try:
            found = _ask(ours, task, 3, None, gold=False).scores
        except (
            StepError
        ) as error:  # such as a correct answer that is not among the choices, which lm-eval counts as wrong
            reason = reason or str(error)
            continue
        except BaseException as error:  # noqa: BLE001 - definitions may raise anything
            # There is nothing to compare if lm-eval has no number for these rows either.
            numbers = [v for key, v in expected["results"][name].items() if "," in key and _is_number(v)]
            found = {"failed": {"value": reason_of(error)}} if numbers else {}
        return found, expected["results"][name]
    return None, f"it accepts none of the rows made up for it: {reason}"


def _is_number(value):
    return isinstance(value, int | float) and math.isfinite(value)


def differences(found, expected):
    """Figures that are not equal; a figure that is not a number in lm-eval must be missing here."""
    wrong = []
    for key, value in expected.items():
        metric, _, filtered = key.partition(",")
        if not filtered or metric.endswith("_stderr") or metric == "bypass":
            continue
        ours = found.get(f"{metric}_{filtered.replace('-', '_')}", found.get(metric))
        known = _is_number(value)
        if "failed" in found:
            wrong.append(found["failed"]["value"])
        elif known != (ours is not None) or (
            known and not math.isclose(ours["value"], value, rel_tol=1e-3, abs_tol=1e-4)
        ):
            wrong.append(f"{metric}: {ours and ours['value']} here, {value} in lm-eval")
    return wrong


def test_every_group_gives_what_hflm_gives_or_is_named(models):
    from components.benchmarking.definitions import read_definition
    from components.benchmarking.suites import reason_of

    only = os.environ.get("PHIFORGE_ONLY", "").split(",")
    equal, refused, wrong = [], {}, {}
    for group, names in definitions().items():
        if only != [""] and group not in only:
            continue
        for name in names:
            said = io.StringIO()
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    config = read_definition(name, programs=False)
                    config.pop("hub")
                    found, expected = scored(name, config, models)
                except BaseException as error:  # noqa: BLE001 - definitions may raise anything
                    refused[name] = reason_of(error)
                    continue
            if found is None:
                refused[name] = expected
            elif bad := differences(found, expected):
                wrong[name] = bad
            else:
                equal.append(name)
    if place := os.environ.get("PHIFORGE_GROUPS"):
        lines = [
            f"{len(equal)} equal, {len(refused)} not run, {len(wrong)} wrong",
            *(f"wrong {n}: {w}" for n, w in wrong.items()),
        ]
        lines += [f"| `{name}` | {reason} |" for name, reason in refused.items()] + [f"equal {name}" for name in equal]
        Path(place).write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert wrong == {}
    assert len(equal) > 100 or only != [""]
