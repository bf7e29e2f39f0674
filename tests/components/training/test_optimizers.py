"""One optimizer of two: which weights each gets, that Muon sees whole matrices, that a state comes back."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from components.params import TrainingParams
from components.phi.model import Phi, PhiConfig
from components.training.muon import BatchedMuon, batches
from components.training.optimizers import PhiOptimizer
from components.training.sharding import shard, whole

CONFIG = PhiConfig(10, 16, 24, 2, 2, 8)


def make(seed: int = 0, **settings: Any) -> tuple[Phi, PhiOptimizer]:
    model = Phi(CONFIG).initialize(seed)
    return model, PhiOptimizer(model, TrainingParams(**settings), 0.01)


def learn(model: Phi, optimizer: PhiOptimizer, steps: int, seed: int = 0) -> None:
    draw = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        tokens = torch.randint(0, 10, (2, 9), generator=draw)
        model.loss(tokens[:, :-1], tokens[:, 1:]).backward()
        optimizer.step()
        optimizer.zero_grad()


def names(model: Phi, group: dict[str, Any]) -> set[str]:
    of = {id(p): name for name, p in model.named_parameters()}
    return {of[id(p)] for p in group["params"]}


def test_muon_takes_the_matrices_of_the_blocks_and_adamw_the_rest() -> None:
    model, optimizer = make(optimizer="muon", weight_decay=0.1, adamw_lr_ratio=0.5)
    blocks, matrices, vectors = optimizer.param_groups
    kinds = ("qkv", "dense", "fc1", "fc2")
    assert names(model, blocks) == {f"blocks.{i}.{kind}.weight" for i in range(2) for kind in kinds}
    assert names(model, matrices) == {"embed.weight", "head.weight"}
    assert {p.ndim for p in vectors["params"]} == {1}
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(model.parameters()))
    assert [group["lr"] for group in optimizer.param_groups] == [0.01, 0.005, 0.005]
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.1, 0.0]


def test_adamw_is_pytorchs() -> None:
    model, optimizer = make(optimizer="adamw", weight_decay=0.1)
    other = Phi(CONFIG).initialize(0)
    groups = [{"params": [p for p in other.parameters() if (p.ndim >= 2) == big]} for big in (True, False)]
    groups[1]["weight_decay"] = 0.0
    peer = torch.optim.AdamW(groups, lr=0.01, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    learn(model, optimizer, 5)
    learn(other, peer, 5)  # type: ignore[arg-type]
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


def test_muon_orthogonalises_queries_keys_and_values_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """The update of each of the three is what Muon gives for that matrix alone."""
    monkeypatch.setattr("components.training.muon.computes_bfloat16", lambda device: True)
    model, optimizer = make(optimizer="muon", muon_momentum=0.8)
    before = model.blocks[0].qkv.weight.detach().clone()
    alone = [torch.nn.Parameter(part.clone()) for part in before.chunk(3)]
    peer = torch.optim.Muon(alone, lr=0.01, weight_decay=0.1, momentum=0.8, adjust_lr_fn="match_rms_adamw")
    tokens = torch.randint(0, 10, (2, 9), generator=torch.Generator().manual_seed(0))
    model.loss(tokens[:, :-1], tokens[:, 1:]).backward()
    for part, gradient in zip(alone, model.blocks[0].qkv.weight.grad.chunk(3), strict=True):
        part.grad = gradient.clone()
    peer.step()
    optimizer.step()
    assert torch.equal(model.blocks[0].qkv.weight, torch.cat(list(alone)))
    assert not torch.equal(model.blocks[0].qkv.weight, before)


def test_matrices_orthogonalised_in_float32_move_as_in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine without bfloat16: within float32's rounding, and as far from PyTorch's as bfloat16 is."""
    monkeypatch.setattr("components.training.muon.computes_bfloat16", lambda device: False)
    start, gradient = torch.randn(2, 24, 40, generator=torch.Generator().manual_seed(3)).unbind()
    moved = []
    for muon in (BatchedMuon, torch.optim.Muon):
        weight = torch.nn.Parameter(start.clone())
        weight.grad = gradient.clone()
        muon([weight], lr=1.0, weight_decay=0.0, adjust_lr_fn="original").step()
        moved.append(start - weight.detach())
    x = gradient.double() / gradient.double().norm()
    for _ in range(5):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.775 * gram + 2.0315 * gram @ gram) @ x
    torch.testing.assert_close(moved[0].double(), x, rtol=0, atol=1e-5)
    torch.testing.assert_close(moved[1].double(), x, rtol=0, atol=3e-2)
    assert not torch.equal(*moved)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_state_comes_back_to_the_bit(optimizer: str) -> None:
    model, first = make(optimizer=optimizer)
    learn(model, first, 3)
    tensors = {name: value.clone() for name, value in first.tensors().items()}
    weights = {name: p.detach().clone() for name, p in model.named_parameters()}
    learn(model, first, 3, seed=1)
    again, second = make(seed=5, optimizer=optimizer)
    again.load_state_dict(weights, strict=False)
    second.load_tensors(tensors)
    learn(again, second, 3, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    assert first.tensors().keys() == second.tensors().keys()


def test_a_skipped_step_leaves_weights_and_state_as_they_were() -> None:
    model, optimizer = make(optimizer="muon")
    learn(model, optimizer, 2)
    weights = [p.detach().clone() for p in model.parameters()]
    state = {name: value.clone() for name, value in optimizer.tensors().items()}
    model.loss(torch.ones(1, 4, dtype=torch.long), torch.ones(1, 4, dtype=torch.long)).backward()
    optimizer.skip = True
    optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(weights, model.parameters(), strict=True))
    assert all(torch.equal(value, state[name]) for name, value in optimizer.tensors().items())
    optimizer.step()
    assert not torch.equal(weights[0], next(iter(model.parameters())))


def test_matrices_orthogonalised_together_move_as_pytorchs_muon_moves_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several shapes, tall and wide, in batches of two matrices at most."""
    monkeypatch.setattr("components.training.muon.AT_ONCE", 2 * 24 * 24)
    monkeypatch.setattr("components.training.muon.computes_bfloat16", lambda device: True)
    shapes = [(24, 24)] * 3 + [(40, 16)] * 2 + [(16, 40), (24, 24)]

    def moved(muon: type[torch.optim.Muon]) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(3)
        weights = [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]
        optimizer = muon(weights, lr=0.01, weight_decay=0.1, momentum=0.9, adjust_lr_fn="match_rms_adamw")
        for _ in range(10):
            for weight in weights:
                weight.grad = torch.randn(weight.shape, generator=generator)
            optimizer.step()
        return [weight.detach() for weight in weights]

    assert [len(places) for places in batches([torch.Size(shape) for shape in shapes])] == [2, 2, 1, 1, 1]
    for theirs, ours in zip(moved(torch.optim.Muon), moved(BatchedMuon), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-4)  # bfloat16 within, at steps of about 0.01 in all


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[DeviceMesh]:
    """On one device: its state is sharded too."""
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    torch.distributed.destroy_process_group()


def test_muon_goes_on_from_weights_that_were_changed_between_steps(mesh: DeviceMesh) -> None:
    """Carried-over entries are set back after a step; of a sharded model too, the next step begins there."""
    results = []
    for sharded in (False, True):
        model = Phi(CONFIG).initialize(0)
        if sharded:
            shard(model, mesh)
        optimizer = PhiOptimizer(model, TrainingParams(optimizer="muon"), 0.01)
        for step in range(3):
            learn(model, optimizer, 1, seed=step)
            with torch.no_grad():
                for block in model.blocks:
                    block.qkv.weight.mul_(0.5)
        results.append([whole(p) for p in model.parameters()])
    for own, theirs in zip(*results, strict=True):
        torch.testing.assert_close(own, theirs, rtol=0, atol=1e-6)


def test_a_sharded_model_holds_whole_matrices_within_a_step_only(mesh: DeviceMesh) -> None:
    model = Phi(CONFIG).initialize(0)
    shard(model, mesh)
    optimizer = PhiOptimizer(model, TrainingParams(optimizer="muon"), 0.01)
    learn(model, optimizer, 2)
    parts = [part for parts in optimizer._parts.values() for part in parts.parts]
    assert {part.untyped_storage().nbytes() for part in parts} == {4}
    assert all(part.grad is None for part in parts)
