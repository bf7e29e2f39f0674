"""Sparse features of one layer: a TopK autoencoder (Gao et al., arXiv 2406.04093) on the residual stream.

Each token's stream is described by the few features that respond most. What matters is how much of the stream, and of the
model's loss, the description keeps, and whether a feature's documents have something in common.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from components.errors import StepError
from components.files import atomic_directory, write_json
from components.inside.looking import continued, record, residuals
from components.interpretation.interpret import THREADS
from components.interpretation.material import TOKENS, nats
from components.params import Params
from components.phi.checkpoint import load, load_tokenizer
from components.phi.machine import prepare
from components.phi.model import Phi
from components.running.cli import Paths
from components.running.progress import Progress
from components.tokens import Tokens, TokenSplit
from components.tracking import Tracker, weights_sha256

if TYPE_CHECKING:
    from tokenizers import Tokenizer

LEARNED, JUDGED = 262_144, 32_768  # maximum tokens of training text and of held-out text
BATCH, RATE = 2048, 3e-3
PER_DIMENSION = 8
EXAMPLES, CANDIDATES = 5, 64  # documents per feature, and places among which they are sought
BEFORE, AFTER = 12, 4  # tokens shown around the one that fires


class SparseCode(nn.Module):
    """x ~ mean + scale * (z @ decoder), with at most `active` entries of z above 0."""

    def __init__(self, sample: Tensor, features: int, active: int, seed: int) -> None:
        """`sample`: streams (n, D), whose moments normalize the input and whose rows are the first directions."""
        super().__init__()
        self.active = active
        self.mean = sample.mean(0)
        self.scale = (sample - self.mean).square().mean().sqrt()
        generator = torch.Generator().manual_seed(seed)
        rows = torch.randint(len(sample), (features,), generator=generator).to(sample.device)
        directions = nn.functional.normalize(sample[rows] - self.mean, dim=-1)
        self.decoder = nn.Parameter(directions.clone())
        self.encoder = nn.Parameter(directions.clone())
        self.bias = nn.Parameter(torch.zeros(features, device=sample.device))
        with torch.no_grad():  # directions overlap, so their sum overshoots; begin with the length that fits best
            x = sample[rows[:BATCH]]
            found, given = self.decode(self.encode(x)) - self.mean, x - self.mean
            self.encoder.mul_((found * given).sum() / found.square().sum())

    def encode(self, x: Tensor) -> Tensor:
        """Responses (n, features) of streams (n, D)."""
        responses = (x - self.mean) / self.scale @ self.encoder.T + self.bias
        top = responses.topk(self.active, dim=-1)
        return torch.zeros_like(responses).scatter(-1, top.indices, top.values.relu())

    def decode(self, z: Tensor) -> Tensor:
        return self.mean + self.scale * (z @ self.decoder)


@dataclass(frozen=True)
class Sequences:
    """Sequences of a split: their positions in the stream and their tokens with one more to predict."""

    starts: np.ndarray
    rows: Tensor

    @classmethod
    def read(cls, split: TokenSplit, length: int, tokens: int, device: torch.device) -> "Sequences":
        starts = split.spread(length, tokens) * length
        if not len(starts):
            raise StepError(
                f"{split.directory} has {len(split)} tokens; one sequence of the model needs {length + 1}; add text"
            )
        rows = np.stack([split.read(int(start), length + 1) for start in starts])
        return cls(starts, torch.from_numpy(rows).to(device))

    def batches(self) -> Iterator[Tensor]:
        yield from self.rows.split(max(1, TOKENS // self.rows.shape[1]))


def run(inputs: Paths, outputs: Paths, params: Params, tracker: Tracker) -> dict[str, Any]:
    """Learn features, judge them, and write features.json and features.safetensors; returns the figures.

    Raises:
        StepError: an input cannot be read, or an option is out of its range.
    """
    prepare(THREADS)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model, tokenizer = load(inputs["model"]).to(device), load_tokenizer(inputs["model"])
    layer, features = _options(inputs, model)
    corpus = Tokens.open(inputs["tokens"])
    length = model.config.max_position_embeddings
    learned = Sequences.read(corpus.split("train"), length, LEARNED, device)
    judged = Sequences.read(corpus.split("validation"), length, JUDGED, device)
    streams = torch.cat([residuals(model, rows[:, :-1])[layer].flatten(0, 1) for rows in learned.batches()])
    code = learn(streams, features, inputs["active"], inputs["steps"], params.seed)
    figures, responses = judge(code, model, layer, judged)
    described = describe(responses, judged, corpus.split("validation"), tokenizer)
    about = {"layer": layer, "features": features, "active": inputs["active"], "learned_tokens": len(streams)}
    with atomic_directory(outputs["output"]) as folder:
        weights = {"model": weights_sha256(inputs["model"])}
        write_json(folder / "features.json", about | weights | {"figures": figures, "described": described})
        state = {name: tensor.detach().contiguous() for name, tensor in code.state_dict().items()}
        save_file(state | {"mean": code.mean, "scale": code.scale}, folder / "features.safetensors")
    return about | figures


def _options(inputs: Paths, model: Phi) -> tuple[int, int]:
    blocks, width = model.config.num_hidden_layers, model.config.hidden_size
    layer = blocks // 2 if inputs["layer"] is None else inputs["layer"]
    features = PER_DIMENSION * width if inputs["features"] is None else inputs["features"]
    if not 0 <= layer <= blocks:
        raise StepError(f"--layer is {layer}; expected 0 to {blocks}")
    if not 1 <= inputs["active"] <= features:
        raise StepError(f"--active is {inputs['active']}; expected 1 to the number of features, {features}")
    if inputs["steps"] < 1:
        raise StepError(f"--steps is {inputs['steps']}; expected at least 1")
    return layer, features


def learn(streams: Tensor, features: int, active: int, steps: int, seed: int) -> SparseCode:
    """A sparse code of streams (n, D), by Adam on the squared error, with decoder rows of norm 1."""
    code = SparseCode(streams, features, active, seed)
    optimizer = torch.optim.Adam(code.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, 5 * (1 - step / steps)))
    generator, progress = torch.Generator().manual_seed(seed), Progress(steps)
    for step in range(1, steps + 1):
        rows = torch.randint(len(streams), (BATCH,), generator=generator).to(streams.device)
        batch = streams[rows]
        loss = ((code.decode(code.encode(batch)) - batch) / code.scale).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            code.decoder.copy_(nn.functional.normalize(code.decoder, dim=-1))
        progress.update(step, loss=loss.item())
    return code


@torch.no_grad()
def judge(code: SparseCode, model: Phi, layer: int, judged: Sequences) -> tuple[dict[str, float], Tensor]:
    """Figures of the code on held-out text, and the responses (sequences * T, features).

    Returns:
        `l0`, features per token; `variance_explained`; `loss` of the model, `loss_coded` with the decoded stream in the
        stream's place and `loss_mean` with the mean stream there, nats per token; `loss_recovered`, 1 for the model's own
        loss and 0 for that of the mean stream; and `dead`, the share of the features that never fire.
    """
    losses, all_responses, left, whole = [], [], 0.0, 0.0
    for rows in judged.batches():
        recorded = record(model, rows[:, :-1])
        stream = recorded.streams[layer]
        responses = code.encode(stream.flatten(0, 1))
        coded = code.decode(responses).view_as(stream)
        left += float((stream - coded).square().sum())
        whole += float((stream - code.mean).square().sum())
        given = (stream, coded, code.mean.expand_as(stream))
        losses.append([nats(model, continued(model, recorded, layer, x), rows[:, 1:]) for x in given])
        all_responses.append(responses.to_sparse())
    own, coded_loss, mean_loss = (float(np.concatenate(parts).mean()) for parts in zip(*losses, strict=True))
    responses = torch.cat(all_responses).to_dense()
    figures = {
        "l0": float((responses > 0).sum(1).float().mean()),
        "variance_explained": 1 - left / whole,
        "loss": own,
        "loss_coded": coded_loss,
        "loss_mean": mean_loss,
        "loss_recovered": (mean_loss - coded_loss) / (mean_loss - own),
        "dead": float((~(responses > 0).any(0)).float().mean()),
    }
    return figures, responses


def describe(responses: Tensor, judged: Sequences, split: TokenSplit, tokenizer: "Tokenizer") -> list[dict[str, Any]]:
    """Of each feature that fires: how often, in which kinds of documents, and in which documents most strongly."""
    tokens, length = judged.rows[:, :-1].cpu(), judged.rows.shape[1] - 1
    documents = split.rows_at(np.add.outer(judged.starts, np.arange(length))).ravel()  # of each position
    names, of_row = split.kinds
    kinds = np.asarray(of_row)[documents]
    table = split.documents
    found = []
    for feature in (responses > 0).any(0).nonzero()[:, 0].tolist():
        values = responses[:, feature].cpu()
        fires = (values > 0).numpy()
        counts = np.bincount(kinds[fires], minlength=len(names))
        strongest = values.topk(min(CANDIDATES, int(fires.sum()))).indices.tolist()
        of_document = {int(documents[place]): place for place in reversed(strongest)}  # the strongest place of each
        places = sorted(of_document.values(), key=lambda place: -float(values[place]))[:EXAMPLES]
        examples = []
        for place in places:
            row = table.slice(int(documents[place]), 1).to_pylist()[0]
            shown = _around(tokens[place // length].tolist(), place % length, tokenizer)
            about = {"document": row["id"], "source": row["source"], "kind": row["kind"]}
            examples.append(about | {"response": float(values[place])} | shown)
        shares = {name: float(n / counts.sum()) for name, n in zip(names, counts, strict=True) if n}
        found.append({"feature": feature, "fires": float(fires.mean()), "kinds": shares, "examples": examples})
    return found


def _around(ids: list[int], place: int, tokenizer: "Tokenizer") -> dict[str, str]:
    """The text before the token that fires, its own, and the text after it."""
    parts = {"before": ids[max(0, place - BEFORE) : place], "token": ids[place : place + 1]}
    parts["after"] = ids[place + 1 : place + 1 + AFTER]
    return {name: tokenizer.decode(part, skip_special_tokens=False) for name, part in parts.items()}
