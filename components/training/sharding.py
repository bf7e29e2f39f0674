"""Fully sharded training (FSDP2): every device stores a share of each weight and gathers a block's weights when it needs
them."""

import torch
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor

from components.phi.model import Phi


def shard(model: Phi, mesh: DeviceMesh) -> None:
    """Shard a Phi over the devices of a one-dimensional mesh, block by block, in place.

    Weights are stored and updated in float32 and gathered in the model's activation dtype; gradients are summed over the
    devices in float32 (Zhao et al., arXiv 2304.11277; PyTorch's `fully_shard`).
    """
    policy = MixedPrecisionPolicy(param_dtype=model.dtype, reduce_dtype=torch.float32)
    for block in model.blocks:
        fully_shard(block, mesh=mesh, mp_policy=policy)
    fully_shard(model, mesh=mesh, mp_policy=policy)
    for method in ("loss", "token_losses"):  # these use the weights like `forward`
        register_fsdp_forward_method(model, method)


def reshard(model: Phi) -> None:
    """Free the weights that are still gathered after a forward pass without a backward pass."""
    if isinstance(model, FSDPModule):
        model.reshard()


def whole(tensor: Tensor) -> Tensor:
    """A tensor on the CPU, gathered if it is sharded (then all ranks must call)."""
    tensor = tensor.detach()
    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).cpu()


def placed(value: Tensor, like: Tensor) -> Tensor:
    """A copy of a whole tensor on the device of `like`, sharded like it. Each rank must have the whole tensor."""
    value = value.detach().to(like.device)
    if isinstance(like, DTensor):
        return distribute_tensor(value, like.device_mesh, like.placements, src_data_rank=None)
    return value.clone()
