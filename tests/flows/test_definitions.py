"""What can be run: each definition has its stages, its flow, its deployment, and a target of make."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from flows.definitions import DEFINITIONS, Definition
from flows.graph import load_graph


@pytest.mark.parametrize("definition", DEFINITIONS.values(), ids=lambda definition: definition.flow)
def test_each_definition_can_be_run_in_every_way(root: Path, definition: Definition) -> None:
    from flows.pipeline import FLOWS

    flow = FLOWS[definition.flow]
    assert flow.name == definition.flow
    deployments = YAML(typ="safe").load((root / "prefect.yaml").read_text())["deployments"]
    entrypoints = [entry["entrypoint"] for entry in deployments if entry["name"] == "local"]
    assert entrypoints.count(f"flows/pipeline.py:{flow.fn.__name__}") == 1
    own = {
        "pipeline": "flows.run $(ARGS)",
        "without": "flows.without $(ARGS)",
        "tuning": "flows.tune $(ARGS)",
    }  # with options of their own
    words = own.get(definition.flow, f"flows.run {definition.flow} $(ARGS)")
    assert (root / "Makefile").read_text().count(words) == 1


@pytest.mark.parametrize("definition", DEFINITIONS.values(), ids=lambda definition: definition.flow)
def test_a_definition_names_what_its_stages_write(root: Path, definition: Definition) -> None:
    outs = [Path(out) for stage in load_graph(root, definition.file, definition.last) for out in stage.outs]
    for path in filter(None, (definition.numbers, definition.result, definition.page)):
        assert any(path == out or out in path.parents for out in outs), path


def test_the_worker_starts_every_deployment_and_nothing_else(root: Path) -> None:
    from flows.worker import ENTRYPOINTS

    deployments = YAML(typ="safe").load((root / "prefect.yaml").read_text())["deployments"]
    assert sorted(entry["entrypoint"] for entry in deployments) == sorted(ENTRYPOINTS.values())
