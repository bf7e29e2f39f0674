"""The notebook of the documentation runs on any checkpoint that the project writes."""

import json
import os
from pathlib import Path

import pytest


@pytest.mark.slow
def test_the_notebook_finds_heads_in_a_checkpoint(
    home: Path, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    pytest.importorskip("transformer_lens", reason="`make playground-setup` installs transformer-lens")
    import matplotlib
    import torch

    matplotlib.use("Agg")
    monkeypatch.setitem(os.environ, "PHI", str(home / "models" / "large"))
    cells = json.loads((root / "docs" / "notebooks" / "first-circuit.ipynb").read_text())["cells"]
    names: dict[str, object] = {}
    try:
        for cell in cells:
            if cell["cell_type"] == "code":
                exec("".join(cell["source"]), names)
    finally:
        torch.set_grad_enabled(True)
    said = capsys.readouterr().out
    assert "after block 2:" in said
    assert said.count("from the last position it attends to") == 5
    assert "without the last:" in said
