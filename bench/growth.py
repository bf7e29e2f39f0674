"""Growth of the real pair: a checkpoint of Phi-1.5's shape into one of Phi-2's, with random weights of the real sizes.

    python -m bench.growth [--scale 1.0] [--layers 24 32] [--dtype float32] [--proof-tokens 64] [--peer]

A source of 1.42 billion random weights (norms and biases too, so that nothing cancels by chance) is written to a
temporary folder, tensor by tensor, and grown by `exact` into 2.78 billion, in a separate process. Reported:

- growth and proof: wall and CPU seconds, and two figures of peak memory: allocated (anonymous pages), and resident, which
  includes mapped files
- the error, by the step's own proof: of the construction and of the files in float64, and of the files with both models
  computed in float32
- for comparison the time to write the same bytes to this disk, and with --peer that of a script that does the same with
  transformers in memory: load both models, copy old entries to their places, `save_pretrained`

--scale reduces heads, units and vocabulary, --layers sets the depths. The real sizes need 17 GB of disk in float32, 9 GB in
bfloat16, and twice as much with --peer.
"""

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.common import Report, Row, Watch, in_a_process, machine, parse, parser, peak_megabytes

if TYPE_CHECKING:
    from torch import Tensor

    from components.phi.model import PhiConfig

MODULE = "bench.growth"
PHI_1_5 = {"vocab": 51_200, "width": 2048, "inner": 8192, "layers": 24, "heads": 32, "rotary_factor": 0.5}
PHI_2 = {"vocab": 51_200, "width": 2560, "inner": 10_240, "layers": 32, "heads": 32, "rotary_factor": 0.4}
STD = 0.02


@dataclass(frozen=True)
class Work:
    """The work of a child, in a folder with `source` and for `grown`."""

    role: str  # source, ours, disk or peer
    folder: str
    scale: float
    layers: Sequence[int]
    dtype: str
    proof_tokens: int
    threads: int

    @property
    def source(self) -> Path:
        return Path(self.folder) / "source"

    @property
    def grown(self) -> Path:
        return Path(self.folder) / "grown"

    def configs(self) -> "tuple[PhiConfig, PhiConfig]":
        """The pair of shapes; --scale takes heads away, so that head_dim and rotary dimensions stay the real ones."""
        from components.phi.model import PhiConfig

        def config(shape: dict[str, Any], layers: int) -> PhiConfig:
            heads = max(1, round(shape["heads"] * self.scale))
            width = shape["width"] // shape["heads"] * heads
            inner, vocab = max(8, round(shape["inner"] * self.scale)), max(64, round(shape["vocab"] * self.scale))
            return PhiConfig(vocab, width, inner, layers, heads, 2048, partial_rotary_factor=shape["rotary_factor"])

        return config(PHI_1_5, self.layers[0]), config(PHI_2, self.layers[1])


def main() -> int:
    options = parser(__doc__, threads=2)
    options.add_argument("--scale", type=float, default=1.0, help="share of heads, widths and vocabulary")
    options.add_argument("--layers", type=int, nargs=2, default=(24, 32), help="depths")
    options.add_argument(
        "--dtype", choices=("float32", "bfloat16"), default="float32", help="data type of both checkpoints"
    )
    options.add_argument("--proof-tokens", type=int, default=64, help="tokens of the proof")
    options.add_argument("--peer", action="store_true", help="also do it with transformers in memory")
    options.add_argument("--folder", type=Path, help="where the temporary folder is made")
    arguments = parse(options, child)
    with tempfile.TemporaryDirectory(dir=arguments.folder, prefix="growth-") as folder:
        given = {field.name: getattr(arguments, field.name) for field in fields(Work)[2:]}
        work = Work("source", folder, **given)
        rows = {}
        for role in ("source", "disk", "ours", *(["peer"] if arguments.peer else [])):
            print(f"  {role} ...", file=sys.stderr, flush=True)
            spec = asdict(replace(work, role=role))
            rows[role] = in_a_process(MODULE, spec, HF_HUB_OFFLINE="1", OMP_NUM_THREADS=str(work.threads))
    return _report(rows, work).finish(arguments)


def child(spec: Row) -> Row:
    """The work of a role, in this process."""
    return ROLES[spec["role"]](Work(**spec))


class Phase:
    """Wall clock, CPU and peak memory of a piece of work."""

    row: Row

    @contextlib.contextmanager
    def measured(self) -> Iterator[None]:
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
        wall, cpu = time.perf_counter(), time.process_time()
        with Watch() as watch:
            yield
        self.row = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
        self.row |= {"anonymous_mb": watch.peaks[0] / 1e6, "resident_mb": peak_megabytes()}


def write_source(work: Work) -> Row:
    """Random weights of the source's shape."""
    import torch

    from components.files import write_json
    from components.phi.checkpoint import DTYPES
    from components.phi.weights import TensorSpec, state_shapes, write_weights

    torch.set_num_threads(work.threads)
    config, dtype = work.configs()[0], DTYPES[work.dtype]
    specs = {name: TensorSpec(shape, dtype) for name, shape in state_shapes(config).items()}
    generator = torch.Generator().manual_seed(1)

    def chunks(name: str, shape: tuple[int, ...]) -> "Iterator[Tensor]":
        rows = max(1, 2**22 // max(1, torch.Size(shape[1:]).numel()))
        for start in range(0, shape[0], rows):
            size = (min(rows, shape[0] - start), *shape[1:])
            yield (1.0 if "layernorm.weight" in name else 0.0) + STD * torch.randn(size, generator=generator)

    work.source.mkdir()
    phase = Phase()
    with phase.measured():
        write_weights(work.source, specs, ((name, chunks(name, spec.shape)) for name, spec in specs.items()))
    write_json(work.source / "config.json", config.to_hf(work.dtype))
    return phase.row | {"parameters": sum(torch.Size(spec.shape).numel() for spec in specs.values())}


def grow(work: Work) -> Row:
    """The step: grow to the disk, then prove."""
    from components.params import TransferParams
    from components.phi import machine as our_machine
    from components.phi.weights import CheckpointWeights
    from components.transfer import transfer
    from components.transfer.operators import growth
    from components.transfer.options import Options
    from components.transfer.proof import proof_rows

    our_machine.prepare(work.threads)
    source, target = work.configs()
    settings = TransferParams(dtype=work.dtype)
    planned = growth(source, target, "exact", "auto", Options.of(settings, 1))
    pair = transfer.Pair(source, CheckpointWeights(work.source, source), target, planned)
    rows = proof_rows(None, work.proof_tokens, source.max_position_embeddings, source.vocab_size, 1)
    work.grown.mkdir()
    growing, proving = Phase(), Phase()
    with growing.measured():
        transfer.write_checkpoint(pair, work.grown, settings, work.source, None)
    with proving.measured():
        proof = transfer.prove(pair, work.grown, rows)
    size = sum(path.stat().st_size for path in work.grown.glob("*.safetensors"))
    phases = {"grow": growing.row, "prove": proving.row}
    return phases | {"proof": proof, "parameters": target.parameter_count(), "bytes": size}


def write_bytes(work: Work) -> Row:
    """How fast the disk takes as many bytes, handed over as growth hands them over."""
    from components.phi.checkpoint import DTYPES

    left = work.configs()[1].parameter_count() * DTYPES[work.dtype].itemsize
    block = os.urandom(2**23)
    phase, path = Phase(), Path(work.folder) / "bytes"
    with phase.measured(), open(path, "wb") as file:
        while left > 0:
            left -= file.write(block[: min(left, len(block))])
    path.unlink()
    return phase.row


def grow_in_memory(work: Work) -> Row:
    """The same entries moved by a script around transformers: no proof, no free entries but the target's own."""
    import torch
    import transformers

    torch.set_num_threads(work.threads)
    transformers.utils.logging.disable_progress_bar()
    source, target = (transformers.PhiConfig(**config.to_hf()) for config in work.configs())
    phase = Phase()
    with phase.measured(), torch.no_grad():
        dtype = getattr(torch, work.dtype)
        small = transformers.PhiForCausalLM.from_pretrained(work.source, dtype=dtype, trust_remote_code=False)
        large = transformers.PhiForCausalLM._from_config(target, dtype=dtype)
        theirs = large.state_dict()
        every = target.num_hidden_layers / source.num_hidden_layers
        places = {int(layer * every): layer for layer in range(source.num_hidden_layers)}
        for name, tensor in small.state_dict().items():
            for place, layer in places.items():
                if f".layers.{layer}." in name:
                    name = name.replace(f".layers.{layer}.", f".layers.{place}.")
                    break
            theirs[name][tuple(slice(size) for size in tensor.shape)] = tensor
        large.save_pretrained(Path(work.folder) / "peer")
    return phase.row


ROLES = {"source": write_source, "ours": grow, "disk": write_bytes, "peer": grow_in_memory}


def _report(rows: dict[str, Row], work: Work) -> Report:
    ours, disk = rows["ours"], rows["disk"]
    settings = machine(work.threads) | {"scale": work.scale, "layers": "-".join(map(str, work.layers))}
    report = Report("Growth of Phi-1.5's shape into Phi-2's", settings | {"stored": work.dtype}, measurements=rows)
    parts = {"growth, disk to disk": ours["grow"], "proof": ours["prove"], "as many bytes to this disk": disk}
    if "peer" in rows:
        parts["with transformers in memory"] = rows["peer"]
    columns = {"seconds": "seconds", "cpu_seconds": "CPU seconds", "anonymous_mb": "peak allocated, MB"}
    columns |= {"resident_mb": "peak resident, MB"}
    caption = f"{rows['source']['parameters']:,} into {ours['parameters']:,} parameters, {ours['bytes'] / 1e9:.2f} GB"
    report.table_of(caption, columns, parts)
    figures = {"relative_logit_error": "norm", "max_relative_logit_difference": "largest, relative"}
    figures |= {"max_absolute_logit_difference": "largest", "kl": "KL", "loss_delta": "loss"}
    proofs = {name: {key: f"{found[key]:.1e}" for key in figures} for name, found in ours["proof"].items()}
    report.table_of(f"Error over {work.proof_tokens} tokens", figures, proofs)
    errors = {name: found["relative_logit_error"] for name, found in ours["proof"].items()}
    report.target("relative logit error of the construction, in float64", errors["construction"], 1e-12, at_least=False)
    if work.dtype == "float32":
        report.target("relative logit error as stored, in float64", errors["stored"], 1e-6, at_least=False)
        report.target("relative logit error as stored, in float32", errors["float32"], 1e-6, at_least=False)
    both = (rows["source"]["parameters"] + ours["parameters"]) * (2 if work.dtype == "bfloat16" else 4) / 1e6
    peak = max(ours[phase]["anonymous_mb"] for phase in ("grow", "prove"))
    if work.scale == 1:  # of small models the libraries themselves are the larger part
        report.target("peak allocated, as a share of the two checkpoints", peak / both, 1.0, at_least=False)
    if "peer" in rows:
        times = rows["peer"]["anonymous_mb"] / ours["grow"]["anonymous_mb"]
        report.target("memory of the script in memory, times ours", times, 1.0)
    return report


if __name__ == "__main__":
    sys.exit(main())
