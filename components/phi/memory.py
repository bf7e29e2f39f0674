"""Estimates the memory of a Phi per device, in training and in evaluation, and measures the available memory.

Imports torch only to ask the machine, so that a plan can estimate quickly.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Protocol

from components.errors import StepError
from components.params import TrainingParams
from components.phi.config import PhiConfig, chunk_tokens
from components.phi.machine import computes_bfloat16

MASTER = 4  # bytes: weights, gradients, moments and averages are float32
AT_ONCE = 2**26  # maximum elements that Muon orthogonalises together: enough to fill any device


class DType(Protocol):
    """A data type by the bytes of an element, such as torch.float32."""

    @property
    def itemsize(self) -> int: ...


@dataclass(frozen=True)
class Memory:
    """Bytes on one device at the peak of a training step, by purpose.

    Attributes:
        weights: weights in float32.
        gradients: gradients in float32; twice with DDP, which gathers them in buckets.
        optimizer: AdamW's two moments; with Muon one moment for the blocks' matrices, whole on each device with FSDP2.
        average: the moving average of the weights.
        teacher: weights of the teacher, whole on each device.
        carried: mask of entries copied by growth, and their values before a step, if they are trained separately.
        casts: weights in the activations' dtype, which the backward pass reads; with FSDP2 those gathered at once.
        activations: tensors that the forward pass keeps for the backward pass.
        temporary: the largest of: in the head, one chunk's logits, the weight in the activations' dtype and its gradient
            before it is added; the tensors of one block's backward pass; the memory that a step of Muon needs beyond
            the freed activations: updates, and with FSDP2 whole values and gradients of all the blocks' matrices.
    """

    weights: int
    gradients: int
    optimizer: int
    average: int
    teacher: int
    carried: int
    casts: int
    activations: int
    temporary: int

    @property
    def total(self) -> int:
        return sum(bytes_ for _, bytes_ in self.parts())

    def parts(self) -> Iterator[tuple[str, int]]:
        for field in fields(self):
            yield field.name, getattr(self, field.name)

    def __str__(self) -> str:
        """`41.3 GB: weights 11.1, gradients 11.1, ...`, largest first, without zeros."""
        unit, name = (1e9, "GB") if self.total >= 1e9 else (1e6, "MB")
        ordered = sorted(self.parts(), key=lambda part: -part[1])
        return f"{self.total / unit:.1f} {name}: " + ", ".join(f"{n} {b / unit:.1f}" for n, b in ordered if b)


def estimate(
    config: PhiConfig,
    settings: TrainingParams,
    dtype: DType,
    device: str = "cpu",
    teacher: PhiConfig | None = None,
    carried: bool = False,
    bfloat16: bool | None = None,
) -> Memory:
    """The memory that a training step needs at its peak on one device.

    It excludes torch itself, its kernels' workspace and the allocator's gaps: leave a tenth free for them. Compiled
    models need somewhat less.

    Args:
        dtype: data type of the activations.
        device: "cpu" or "cuda", which compute attention and the head in different ways.
        teacher: shape of the teacher.
        carried: entries copied by growth are trained separately.
        bfloat16: the device multiplies in bfloat16; None asks this machine.
    """
    narrow = dtype.itemsize
    matrices, parameters = config.block_matrices, config.parameter_count()
    tables = 2 * config.vocab_size * config.hidden_size + config.vocab_size + 2 * config.hidden_size
    of_muon = config.num_hidden_layers * matrices if settings.optimizer == "muon" else 0
    sharded = settings.strategy == "fsdp2" and settings.devices > 1
    share = settings.devices if sharded else 1
    # Sharded, each device adds up whole gradients over a step's micro-batches before they are summed over the devices.
    added_up = (
        MASTER * parameters if sharded and settings.batch_tokens > settings.micro_batch_tokens * settings.devices else 0
    )

    tokens, layers = settings.micro_batch_tokens, config.num_hidden_layers
    block = tokens * _kept_by_block(config, settings.context_length, narrow, device)
    kept = layers * (tokens * config.hidden_size * narrow if settings.recompute else block)
    under_way = tokens * narrow * (2 * config.intermediate_size + 3 * config.hidden_size)
    under_way += block if settings.recompute else 0
    ends = tokens * (2 * config.hidden_size * narrow + 8)  # around the last norm, and the token ids
    mask = tokens * settings.context_length * narrow if settings.document_mask and device == "cpu" else 0

    if sharded:  # this block and the next are gathered, and everything outside the blocks
        casts = narrow * (2 * matrices + tables)
    elif narrow == MASTER:
        casts = 0
    else:
        casts = narrow * matrices * (1 if settings.recompute else layers)
    activations = kept + ends + mask
    native = computes_bfloat16(device) if bfloat16 is None and of_muon else bool(bfloat16)
    step = _muons_step(config, native) + (2 * MASTER * of_muon if sharded else 0) if of_muon else 0
    return Memory(
        weights=MASTER * parameters // share,
        gradients=MASTER * parameters // share + added_up,
        optimizer=MASTER * (2 * (parameters - of_muon) // share + of_muon),
        average=MASTER * parameters // share if settings.ema_decay else 0,
        teacher=MASTER * teacher.parameter_count() if teacher else 0,
        carried=(MASTER + 1) * parameters // share if carried else 0,
        casts=casts,
        activations=activations,
        temporary=max(
            under_way, _head(config, tokens, narrow, device, 2 if teacher else 1), step - casts - activations
        ),
    )


def _muons_step(config: PhiConfig, bfloat16: bool) -> int:
    """Bytes of the updates of matrices of one shape, which Muon makes together: once in float32, and three times in the
    dtype in which it orthogonalises."""
    width, inner = config.hidden_size, config.intermediate_size
    one_shape = config.num_hidden_layers * max(4 * width**2, width * inner)
    an_element = MASTER + 3 * (2 if bfloat16 else 4)
    return an_element * min(one_shape, max(AT_ONCE, width * max(width, inner)))


def _kept_by_block(config: PhiConfig, length: int, narrow: int, device: str) -> int:
    """Bytes per token that a block keeps for its backward pass.

    Its input, the normed input, input and output of the GELU, and the input of the output projection; then queries, keys
    and values. The fused kernels keep queries and keys before and after rotation, the values once, and one sum per head;
    attention by matrix products keeps all three once, and every score.
    """
    width, heads = config.hidden_size, config.num_attention_heads
    always = 3 * width + 2 * config.intermediate_size
    if device == "cpu" and narrow == 2 and length <= 512:
        return narrow * (always + 3 * width + heads * length)
    return narrow * (always + 5 * width) + MASTER * heads


def _head(config: PhiConfig, tokens: int, narrow: int, device: str, models: int) -> int:
    """Peak bytes of the head: in a chunk, with the logits of one model or two, or when its gradient is scaled and
    added."""
    cast = narrow if narrow < MASTER else 0
    table = config.vocab_size * config.hidden_size
    logits = models * min(tokens, chunk_tokens(device)) * config.vocab_size * (cast + 2 * MASTER)
    return max(logits + table * (cast + MASTER), 2 * MASTER * table)


def check_room(config: PhiConfig, origin: str, weights: bool = True) -> None:
    """Refuse a model that does not fit into memory before it is allocated: otherwise the kernel would kill the process.

    Args:
        origin: where the configuration comes from.
        weights: False if only one block's weights are in memory at once, in float64.

    Raises:
        StepError: the weights and the table of rotations need more memory than is available.
    """
    needed = MASTER * config.parameter_count() if weights else 2 * MASTER * config.block_matrices
    needed += 3 * MASTER * config.max_position_embeddings * (config.rotary_dims // 2)  # angles, cosines, sines
    if needed > (available := available_memory()):
        raise StepError(
            f"{origin}: a model of this shape needs {needed / 1e9:,.1f} GB of memory ({config.parameter_count():,} parameters, "
            f"{config.max_position_embeddings:,} positions), but {available / 1e9:.1f} GB are available; use a smaller model, or "
            "a machine with more memory"
        )


def available_memory() -> float:
    """Bytes that this process can use at its peak, including those in use now, within a container's limit."""
    import torch

    if torch.cuda.is_available():
        free, _ = torch.cuda.mem_get_info()  # of this process's own device
        return free + torch.cuda.memory_reserved()
    import psutil

    available = psutil.virtual_memory().available + psutil.Process().memory_info().rss
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.is_file() else "max"
    return min(available, math.inf if text == "max" else int(text))
