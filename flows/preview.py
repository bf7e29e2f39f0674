"""The output of a run before any work: the contents of its text, then the plan with sizes, stages and minutes.

`python -m components.ingestion.survey` reads the text in a separate process, like every step.
"""

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from components.errors import StepError
from components.foreign import yaml_text
from components.foreign.terminal import printable
from components.params import PARAMS_FILE, Params, load_params
from components.params.sizing import WIDTHS
from components.planning.plan import whole_seconds
from components.running.contents import AS_JSON, Contents, FileType, counted
from flows import measured, processes
from flows.definitions import PIPELINE, Definition
from flows.graph import load_graph
from flows.plan import GPU, costs
from flows.sizes import UNKNOWN_BYTES, Asked, cores, sized

TYPES, LANGUAGES = 8, 5  # maximum numbers that are shown
SURVEY = "components.ingestion.survey"
GRACE = 1.0  # seconds from asking the survey to stop until it is killed
LEAST_SHARE = 0.005  # minimum share of a language that is shown


class Previewed(NamedTuple):
    """The overrides of a run with sources and sizes, and the bytes of text in the sources."""

    overrides: dict[str, Any]
    text_bytes: float


def preview(root: Path, asked: Asked, definition: Definition, console: Console, with_time: bool = True) -> Previewed:
    """Print the contents of the text and the plan.

    Raises:
        StepError: the text or the size is refused.
    """
    params = load_params(root / PARAMS_FILE, asked.overrides, asked.profile)
    contents = Contents(elsewhere=["python"])
    if params.ingestion.names_own_text:
        with console.status("Reading your text"):
            contents = survey(root, with_least_parts(root, asked, params))
        if lines := found(contents):
            show(console, "Your text", lines)
        if contents.refusal:
            raise StepError(printable(contents.refusal))
    known = round(measured.last_text_bytes(root, params))
    text_bytes = known or contents.total.text_bytes + UNKNOWN_BYTES * len(contents.elsewhere)
    overrides = sized(root, asked.overrides, asked.profile, asked.size, text_bytes)
    resulting = load_params(root / PARAMS_FILE, overrides, asked.profile)
    plan = planned(root, resulting, definition, text_bytes, with_time)
    if params.ingestion.names_own_text:
        show(console, "The plan", plan.lines())
    else:
        console.print(Text(f"The plan: {plan.sentence()}"), soft_wrap=True)
    return Previewed(overrides, text_bytes)


def with_least_parts(root: Path, asked: Asked, params: Params) -> Params:
    """The parameters with the shortest parts into which the run may cut texts; if sizes follow the text, those of the
    smallest text."""
    overrides = sized(root, asked.overrides, asked.profile, asked.size, text_bytes=0)
    least = load_params(root / PARAMS_FILE, overrides, asked.profile).ingestion.part_chars
    own = params.ingestion.model_copy(update={"part_chars": least})
    return params.model_copy(update={"ingestion": own})


def survey(root: Path, params: Params) -> Contents:
    """The contents of the sources in the parameters.

    Raises:
        StepError: a source does not exist, or the survey failed.
    """
    with tempfile.TemporaryDirectory(prefix="phiforge-") as folder:
        given, output = Path(folder, "params.json"), Path(folder, "contents.json")
        given.write_text(json.dumps(params.model_dump(mode="json")), encoding="utf-8")
        arguments = ("--params", str(given), "--output", str(output))
        environment = os.environ | processes.CODE
        command = processes.guarded(SURVEY, *arguments, tree=True)
        status, output_text = processes.run(command, GRACE, cwd=root, env=environment)
        if status:
            last = processes.last_line(status, output_text)
            raise StepError(last.removeprefix(f"error: {SURVEY.removeprefix('components.')}: "))
        return AS_JSON.validate_json(output.read_bytes())


def found(contents: Contents) -> list[tuple[str, str]]:
    """The contents of the text as labelled lines; lines of one group have the label at the first."""
    about = "" if contents.is_exact else "about "
    total = contents.total
    whole = (
        f"{counted(total.files, 'file')}, {about}{size_of(total.text_bytes)} of text in {about}"
        f"{counted(total.documents, 'document')}"
    )
    rest = contents.types[TYPES:]
    shares = [("text", contents.languages), ("code", contents.code)]
    empty = f"{contents.empty:,} of {counted(contents.looked_at, 'file')} read have no text"
    groups = {
        "found": [whole] * bool(total.files)
        + [_type(one) for one in contents.types[:TYPES]]
        + [f"{counted(sum(one.files for one in rest), 'file')} of {len(rest):,} more types"] * bool(rest),
        "not inspected": contents.elsewhere,
        "languages": [f"{name}: {_shares(known)}" for name, known in shares if known],
        "not read": contents.not_read,
        "cannot be read": [empty] * bool(contents.empty) + contents.refused,
        "text in rows": [f"field {column}; text_column overrides it" for column in contents.columns],
        "titles": contents.titles,
    }
    return [(label if place == 0 else "", line) for label, lines in groups.items() for place, line in enumerate(lines)]


@dataclass(frozen=True)
class Plan:
    """The plan of a run as text; `time` is empty if it cannot be estimated."""

    sizes: str
    stages: list[str]
    time: str

    def lines(self) -> list[tuple[str, str]]:
        lines = [
            ("sizes", self.sizes),
            ("stages", f"{len(self.stages)}: {', '.join(self.stages)}"),
            ("time", self.time),
        ]
        return [(label, text) for label, text in lines if text]

    def sentence(self) -> str:
        return "; ".join(filter(None, [self.sizes, f"{len(self.stages)} stages", self.time]))


def planned(root: Path, params: Params, definition: Definition, text_bytes: float, with_time: bool = True) -> Plan:
    """The plan of a run with these parameters on this amount of text."""
    if definition.last:
        stages = [stage.name for stage in load_graph(root, definition.file, definition.last)]
    else:  # faster
        stages = list(yaml_text.parse((root / definition.file).read_text(encoding="utf-8"))["stages"])
    size = next((f"size {name}: " for name, width in WIDTHS.items() if width == params.small.model.hidden_size), "")
    models = [
        f"{name} model {one.model.hidden_size} wide with {one.model.num_hidden_layers} blocks on {one.tokens:,} tokens"
        for name, one in (("smaller", params.small), ("larger", params.large))
    ]
    is_known = with_time and definition == PIPELINE and not GPU.exists()  # the speed of a GPU is unknown
    minutes = max(1, round(whole_seconds(params, text_bytes, costs(root)) / 60)) if is_known else 0
    return Plan(
        sizes=f"{size}{', '.join(models)}, vocabulary {params.tokenization.vocab_size:,}",
        stages=stages,
        time=f"about {minutes:,} minutes on {cores()} cores, less if results are cached" if is_known else "",
    )


def show(console: Console, title: str, lines: list[tuple[str, str]]) -> None:
    """Print labelled lines, aligned and wrapped on a terminal, otherwise unwrapped."""
    console.print(Text(title, style="bold"))
    if not console.is_terminal:
        for label, text in lines:
            console.print(Text(f"  {label + ': ' if label else '  '}{printable(text)}"), soft_wrap=True)
        return
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for label, text in lines:
        table.add_row(Text(f"  {label}", style="dim"), Text(printable(text)))
    console.print(table)


def size_of(size: float) -> str:
    """Bytes in readable form.

    >>> size_of(950), size_of(20_300), size_of(3_140_000)
    ('950 bytes', '20 kB', '3.1 MB')
    """
    if size < 1e3:
        return f"{size:,.0f} bytes"
    if size < 1e6:
        return f"{size / 1e3:,.0f} kB"
    return f"{size / 1e6:,.1f} MB"


def _type(one: FileType) -> str:
    text = "" if abs(one.text_bytes - one.bytes) < 0.1 * one.bytes else f", {size_of(one.text_bytes)} of text in them"
    return f"{one.files:,} {one.name or 'without an ending'}, {size_of(one.bytes)}{text}"


def _shares(shares: list[tuple[str, float]]) -> str:
    return ", ".join(f"{name} {share:.0%}" for name, share in shares[:LANGUAGES] if share >= LEAST_SHARE)
