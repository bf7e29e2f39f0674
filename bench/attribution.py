"""Cheap attribution against the truth: which training text helps an exam family, foretold and retrained.

    python -m bench.attribution [--project DIR] [--subsets 16] [--seeds 2] [--tokens 2000]

The exercises of each family, and parts of prose, code and textbooks, are groups of about equal size. Small models are
trained on random halves of the groups. A method gives each group a score for each exam family without retraining; its
sum over the groups of a half foretells how well the model of that half answers. The linear datamodelling score (LDS; Park
et al., arXiv 2303.14186) is the rank correlation over the halves, averaged over the families.

Methods: the share of the family's runs of n tokens that stand in the group (spans), the similarity of gradients of the last
layer in a model of all groups (gradient), whether the group is the family itself (own family), and how far two seeds of the
same halves agree (ceiling: about what a method can reach at most).
"""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import components  # noqa: F401 - before torch, for its environment
from bench.common import ROOT, BenchError, Report, cpu_seconds, machine, parser
from components.documents import read_batches
from components.exclusions import FAMILIES
from components.foreign.tokenizer_file import open_tokenizer
from components.study.without.corpus import QUESTION

PARTS = 3  # groups of each kind of text that is not exercises
QUESTIONS, SPAN, LENGTH, BATCH = 40, 4, 64, 16
END = 0  # separates documents
EPOCHS, RATE = 2, 4e-3


@dataclass(frozen=True)
class Asked:
    """The questions of an exam family with their right answers, as token ids, and where each answer starts."""

    family: str
    ids: list[list[int]]
    starts: list[int]


def main() -> int:
    options = parser(__doc__)
    options.add_argument("--project", type=Path, default=ROOT, help="a folder with the results of a run")
    options.add_argument("--subsets", type=int, default=16, help="number of random halves")
    options.add_argument("--seeds", type=int, default=2, help="trainings of each half; the first two give the ceiling")
    options.add_argument("--tokens", type=int, default=2000, help="tokens of a group")
    arguments = options.parse_args()
    import torch

    torch.set_num_threads(1)
    started = cpu_seconds()
    tokenizer = open_tokenizer(arguments.project / "data" / "tokens" / "tokenizer" / "tokenizer.json")
    groups = groups_of(arguments.project, tokenizer, arguments.tokens)
    asked = [exam_of(path, tokenizer) for path in sorted((arguments.project / "data" / "exam").glob("*.jsonl"))]
    asked = [one for one in asked if one.family in groups]
    names, size = [*groups], tokenizer.get_vocab_size()
    if len(names) < 8 or not asked:
        raise BenchError(
            f"{arguments.project} has {len(names)} groups of {arguments.tokens:,} tokens and {len(asked)} exam families with exercises; run `phiforge run`"
        )
    draw = np.random.default_rng(0)
    halves = np.array(
        [
            np.isin(np.arange(len(names)), draw.permutation(len(names))[: len(names) // 2])
            for _ in range(arguments.subsets)
        ]
    )
    truth = np.empty((arguments.seeds, len(halves), len(asked)))
    for seed, half in np.ndindex(truth.shape[:2]):
        truth[seed, half] = truth_of(groups, names, halves[half], asked, size, seed)
        print(
            f"half {half + 1} of {len(halves)}, seed {seed}: {cpu_seconds() - started:.0f} CPU s",
            file=sys.stderr,
            flush=True,
        )
    retrained, middle = cpu_seconds() - started, cpu_seconds()
    scores = {"own family": np.array([[float(name == one.family) for one in asked] for name in names])}
    scores["spans"] = spans(groups, asked)
    foretold = cpu_seconds()
    model = trained([groups[name] for name in names], size, 0)
    scores["gradient"] = gradients(model, groups, asked)
    costs = {"own family": 0.0, "spans": foretold - middle, "gradient": cpu_seconds() - foretold}
    found = truth.mean(axis=0)  # (halves, families)
    rows = [[name, *lds(halves @ score, found), costs[name]] for name, score in scores.items()]
    if arguments.seeds > 1:
        rows.append(["ceiling: another seed", *lds(truth[1], truth[0]), retrained])
    report = Report("Attribution against retraining", machine() | {"halves": len(halves), "seeds": arguments.seeds})
    report.table(
        f"LDS over {len(asked)} exam families; {len(names)} groups of about {arguments.tokens:,} tokens",
        ["method", "LDS", "± half of the 95% interval", "families above 0", "CPU seconds"],
        rows,
    )
    report.note(f"Retraining {arguments.seeds * len(halves)} models took {retrained:.0f} CPU seconds.")
    report.measurements = [{"method": name, "lds": value, "half": half} for name, value, half, *_ in rows]
    return report.finish(arguments)


def groups_of(project: Path, tokenizer: Any, most: int) -> dict[str, list[int]]:
    """Token ids of each group: the exercises of each family, and parts of the other kinds of text."""
    texts: dict[str, list[str]] = {}
    for folder in ("textbooks", "curated"):
        for batch in read_batches(project / "data" / folder, ["text", "kind", "metadata"]):
            for row in batch.to_pylist():
                families = json.loads(row["metadata"]).get(FAMILIES)
                if families:
                    for family, piece in zip(families, QUESTION.split(row["text"]), strict=True):
                        texts.setdefault(family, []).append(piece)
                elif row["kind"] != "exercise":
                    own = texts.setdefault(row["kind"], [])
                    if len(own) < PARTS * most // 10:  # more than enough
                        own.append(row["text"])
    groups = {}
    for name, own in texts.items():
        kind = name in ("prose", "code", "textbook", "web")
        stream = list(joined(own, tokenizer, most * (PARTS if kind else 1)))
        for part in range(PARTS if kind else 1):
            ids = stream[part * most : (part + 1) * most]
            if len(ids) > most // 2:
                groups[f"{name} {part + 1}" if kind else name] = ids
    return groups


def joined(texts: Sequence[str], tokenizer: Any, most: int) -> Iterator[int]:
    taken = 0
    for text in texts:
        ids = tokenizer.encode(text.strip() + "\n").ids
        yield from ids
        yield END
        taken += len(ids) + 1
        if taken >= most:
            return


def exam_of(path: Path, tokenizer: Any) -> Asked:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()[:QUESTIONS]]
    ids, starts = [], []
    for row in rows:
        question = tokenizer.encode(f"Question: {row['question']}\nAnswer:").ids
        ids.append((question + tokenizer.encode(" " + row["choices"][row["answer"]]).ids)[-LENGTH:])
        starts.append(len(ids[-1]) - (len(ids[-1]) - min(len(question), LENGTH - 1)))
    return Asked(path.stem, ids, starts)


def trained(streams: Sequence[Sequence[int]], size: int, seed: int) -> Any:
    """A small Phi after EPOCHS passes over some groups, in an order that the seed decides."""
    import torch

    from components.phi.config import PhiConfig
    from components.phi.model import Phi

    config = PhiConfig(size, 48, 192, 2, 2, LENGTH)
    model = Phi(config).initialize(seed)
    stream = torch.tensor([token for one in streams for token in one])
    blocks = stream[: (len(stream) - 1) // LENGTH * LENGTH + 1]
    inputs, targets = blocks[:-1].view(-1, LENGTH), blocks[1:].view(-1, LENGTH)
    order = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.1, betas=(0.9, 0.95))
    batches = [part for _ in range(EPOCHS) for part in torch.randperm(len(inputs), generator=order).split(BATCH)]
    for step, rows in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / 20, (len(batches) - step) / (0.6 * len(batches)))
        loss = model.loss(inputs[rows], targets[rows])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model.eval()


def padded(asked: Asked) -> tuple[Any, Any]:
    """Inputs and targets (questions, LENGTH) of which only the answers' tokens count."""
    import torch

    from components.phi.model import IGNORE

    inputs, targets = (torch.full((len(asked.ids), LENGTH), fill) for fill in (END, IGNORE))
    for row, (ids, start) in enumerate(zip(asked.ids, asked.starts, strict=True)):
        inputs[row, : len(ids) - 1] = torch.tensor(ids[:-1])
        targets[row, start - 1 : len(ids) - 1] = torch.tensor(ids[start:])
    return inputs, targets


def truth_of(
    groups: dict[str, list[int]], names: Sequence[str], half: np.ndarray, asked: Sequence[Asked], size: int, seed: int
) -> list[float]:
    """Train on the chosen groups; mean log-probability of an answer's token, by family."""
    model = trained([groups[name] for name, chosen in zip(names, half, strict=True) if chosen], size, seed)
    found = []
    for one in asked:
        inputs, targets = padded(one)
        found.append(-float(model.token_losses(inputs, targets).sum() / (targets >= 0).sum()))
    return found


def spans(groups: dict[str, list[int]], asked: Sequence[Asked]) -> np.ndarray:
    """The share of a family's distinct runs of SPAN tokens that stand in a group, (groups, families)."""
    sets = [runs([ids]) for ids in groups.values()]
    wanted = [runs(one.ids) for one in asked]
    return np.array([[len(own & want) / max(1, len(want)) for want in wanted] for own in sets])


def runs(texts: Sequence[Sequence[int]]) -> set[tuple[int, ...]]:
    return {tuple(ids[start : start + SPAN]) for ids in texts for start in range(len(ids) - SPAN + 1)}


def gradients(model: Any, groups: dict[str, list[int]], asked: Sequence[Asked]) -> np.ndarray:
    """The cosine of the mean gradients of the head's weight on a group and on a family's answers, (groups, families)."""
    import torch

    def gradient(inputs: Any, targets: Any) -> Any:
        (found,) = torch.autograd.grad(model.loss(inputs, targets), [model.head.weight])
        return torch.nn.functional.normalize(found.flatten(), dim=0)

    ours = []
    for ids in groups.values():
        stream = torch.tensor(ids)
        blocks = stream[: (len(stream) - 1) // LENGTH * LENGTH + 1]
        ours.append(gradient(blocks[:-1].view(-1, LENGTH), blocks[1:].view(-1, LENGTH)))
    theirs = [gradient(*padded(one)) for one in asked]
    return (torch.stack(ours) @ torch.stack(theirs).T).numpy()


def lds(foretold: np.ndarray, found: np.ndarray) -> tuple[float, float, str]:
    """Mean rank correlation over the families with half of its 95% interval, and in how many it is above 0.

    Args:
        foretold, found: (halves, families).
    """
    from scipy.stats import spearmanr

    from components.results import statistics

    values = [float(spearmanr(foretold[:, place], found[:, place]).statistic) for place in range(found.shape[1])]
    mean = statistics.mean(np.nan_to_num(values))
    low, high = statistics.interval(mean)
    half = 0.0 if low is None or high is None else (high - low) / 2
    return mean.value, half, f"{sum(value > 0 for value in values)} of {len(values)}"


if __name__ == "__main__":
    sys.exit(main())
