"""`python -m components.benchmarking.held_out`: measure a checkpoint's loss on each held-out document of a tokens directory.

Documents are decoded to text and encoded by the checkpoint's own tokenizer, so that models with different tokenizers or
context lengths are scored on the same bytes. Documents that the pipeline wrote itself are left out, unless there are no
others, or all kinds are asked for.
"""

import hashlib
import math
from typing import Any

import numpy as np

from components.documents import GENERATED
from components.errors import StepError
from components.files import write_json
from components.foreign.tokenizer_file import open_tokenizer
from components.params import Params
from components.running.cli import Argument, Command, Paths, main
from components.tokens import Tokens
from components.tracking import Tracker, weights_sha256

OWN, ALL = "own", "all"  # which documents are scored


def run(inputs: Paths, outputs: Paths, params: Params, tracker: Tracker) -> dict[str, Any]:
    """Write the nats and bytes of each document.

    Raises:
        StepError: the checkpoint or the tokens cannot be read, or the held-out text is missing.
    """
    from lm_eval.api.instance import Instance

    from components.benchmarking.checkpoint import open_scorer
    from components.phi.machine import prepare

    tokens, settings = Tokens.open(inputs["tokens"]), params.benchmarking
    texts = held_out_texts(tokens, 1000 * params.promotion.held_out_kilobytes, inputs.get("kinds") == ALL)
    prepare(settings.threads)
    scorer = open_scorer(inputs["checkpoint"], settings.batch_size, settings.device)
    requests = [Instance("loglikelihood_rolling", {}, (text,), i) for i, text in enumerate(texts.values())]
    nats = [-logprob for logprob in scorer.loglikelihood_rolling(requests)]
    sizes = [len(text.encode()) for text in texts.values()]
    found = {
        "weights_sha256": weights_sha256(inputs["checkpoint"]),
        "text_sha256": hashlib.sha256("\0".join(texts.values()).encode()).hexdigest(),
        "documents": list(texts),
        "bytes": sizes,
        "nats": nats,
    }
    write_json(outputs["output"], found)
    return {"documents": len(texts), "bytes": sum(sizes), "bits_per_byte": sum(nats) / math.log(2) / sum(sizes)}


def held_out_texts(tokens: Tokens, limit: int, all_kinds: bool = False) -> dict[str, str]:
    """Held-out documents by id, evenly spread over the stream, up to `limit` bytes but at least one.

    Raises:
        StepError: the stream has no held-out document.
    """
    split = tokens.split("validation")
    names, codes = split.kinds
    generated = np.isin(codes, [names.index(kind) for kind in GENERATED])
    rows = np.flatnonzero(~generated if not (all_kinds or generated.all()) else np.ones_like(generated))
    table = split.documents
    ids, starts, lengths, sizes = (table[name].to_numpy() for name in ("id", "start", "length", "bytes"))
    if not len(rows):
        raise StepError(
            f"{split.directory} contains no document; expected held-out text; raise tokenization.validation_fraction"
        )
    count = max(1, min(len(rows), int(limit / sizes[rows].mean())))
    tokenizer = open_tokenizer(tokens.tokenizer_dir / "tokenizer.json")
    chosen = rows[np.arange(count) * len(rows) // count]
    # The last token of a document is end-of-text, which has no bytes.
    texts = {str(ids[row]): tokenizer.decode(split.read(starts[row], lengths[row] - 1).tolist()) for row in chosen}
    return {name: text for name, text in texts.items() if text}


COMMAND = Command(
    step="benchmarking.held_out",
    description="Compute a checkpoint's loss on each held-out document of a tokens directory, in nats and bytes.",
    run=run,
    inputs=(
        Argument("checkpoint", "Hugging Face checkpoint of a Phi"),
        Argument("tokens", "tokens directory whose held-out documents are scored"),
        Argument(
            "kinds",
            "all kinds of documents, or the user's own",
            required=False,
            type=str,
            default=OWN,
            choices=(OWN, ALL),
        ),
    ),
    outputs=(Argument("output", "JSON file for the nats and bytes per document"),),
    sections=("benchmarking", "promotion"),
    tracked=False,
)

if __name__ == "__main__":
    main(COMMAND)
