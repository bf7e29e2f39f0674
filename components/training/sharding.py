"""Fully sharded training (FSDP2): every device stores a share of each weight and gathers a block's weights when it needs
them."""

import torch
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

from components.params import TrainingParams
from components.phi.model import Phi
from components.training.processes import rank


def shard(model: Phi, mesh: DeviceMesh) -> None:
    """Shard a Phi over the devices of a one-dimensional mesh, block by block, in place.

    Weights are stored and updated in float32 and gathered in the model's activation dtype; gradients are summed over the
    devices in float32 (Zhao et al., arXiv 2304.11277; PyTorch's `fully_shard`).
    """
    # The model casts its activations itself; FSDP would also cast the teacher's weight, a float32 tensor.
    policy = MixedPrecisionPolicy(model.dtype, torch.float32, cast_forward_inputs=False)
    for block in model.blocks:
        fully_shard(block, mesh=mesh, mp_policy=policy)
    fully_shard(model, mesh=mesh, mp_policy=policy)
    for method in ("loss", "token_losses"):  # these use the weights like `forward`
        register_fsdp_forward_method(model, method)


def is_sharded(settings: TrainingParams) -> bool:
    return settings.strategy == "fsdp2" and settings.devices > 1


def sum_gradients_in(model: Phi, micro_batch: bool) -> None:
    """Whether the next backward pass sums a sharded model's gradients over the devices. Needed once per step, in its last
    micro-batch; before, each device adds up its own, whole, in float32."""
    if isinstance(model, FSDPModule):
        model.set_requires_gradient_sync(micro_batch)


def reshard(model: Phi) -> None:
    """Free the weights that are still gathered after a forward pass without a backward pass."""
    if isinstance(model, FSDPModule):
        model.reshard()


def whole(tensor: Tensor) -> Tensor:
    """A tensor on the CPU, gathered if it is sharded: then all ranks must call, and only the first gets it, since each copy
    takes memory of the machine; the others get an empty tensor."""
    tensor = tensor.detach()
    if not isinstance(tensor, DTensor):
        return tensor.cpu()
    gathered = tensor.full_tensor()
    return torch.empty(0) if rank() else gathered.cpu()


def part_of(tensor: Tensor) -> tuple[Tensor, tuple[int, int] | None]:
    """The rows of a tensor that this rank has, with the first row's number and the number of all rows; None if it has the
    whole tensor."""
    tensor = tensor.detach()
    if not isinstance(tensor, DTensor):
        return tensor, None
    _, offsets = compute_local_shape_and_global_offset(tensor.shape, tensor.device_mesh, tensor.placements)
    return tensor.to_local(), (offsets[0], tensor.shape[0])


def placed(value: Tensor, like: Tensor) -> Tensor:
    """A copy of a whole tensor on the device of `like`, sharded like it. Each rank must have the whole tensor."""
    value = value.detach().to(like.device)
    if isinstance(like, DTensor):
        return distribute_tensor(value, like.device_mesh, like.placements, src_data_rank=None)
    return value.clone()
