"""`python -m components.tokenization.trace`: the documents at a position of a stream, with their text."""

from typing import Any

from components.errors import StepError
from components.running.cli import Argument, Command, main
from components.tracking import Tracker

SHOWN = 300  # maximum characters of decoded text per document


def run(inputs: dict[str, Any], outputs: dict[str, Any], params: Any, tracker: Tracker) -> dict[str, Any]:
    from components.tokenization.tokenizer import Encoder
    from components.tokens import Tokens

    tokens = Tokens.open(inputs["tokens"])
    split, start, length = tokens.split(inputs["split"]), inputs["position"], inputs["length"]
    if start < 0 or length < 1 or start + length > len(split):
        raise StepError(
            f"--position {start} --length {length} is not within the {len(split):,} tokens of {inputs['split']}; the "
            f"last position is {len(split) - 1}"
        )
    encoder = Encoder(tokens.tokenizer_dir)
    found = []
    for row, first, count in split.trace(start, length):
        document = split.row(row)
        text = encoder.decode(split.read(document["start"] + first, count).tolist())
        found.append(document | {"row": row, "first": first, "tokens": count, "text": text})
        print(_describe(found[-1]), flush=True)
    return {"split": inputs["split"], "position": start, "length": length, "documents": found}


def _describe(found: dict[str, Any]) -> str:
    begin, last = found["start"] + found["first"], found["first"] + found["tokens"] - 1
    text = found["text"] if len(found["text"]) <= SHOWN else found["text"][:SHOWN] + " ..."
    return (
        f"positions {begin:,} to {begin + found['tokens'] - 1:,}: tokens {found['first']:,} to {last:,} of the "
        f"{found['length']:,} of document {found['id']} ({found['kind']}, {found['source']}), row {found['row']:,} of the "
        f"stream's documents\n{text}\n"
    )


COMMAND = Command(
    step="tokenization.trace",
    description="Show the documents of the tokens at a position of a stream, and decode the tokens.",
    run=run,
    inputs=(
        Argument("tokens", "directory of tokens"),
        Argument("split", "stream to read", required=False, type=str, default="train", choices=("train", "validation")),
        Argument("position", "position of the first token, from 0", type=int),
        Argument("length", "number of tokens", required=False, type=int, default=1),
    ),
    tracked=False,
)

if __name__ == "__main__":
    main(COMMAND)
