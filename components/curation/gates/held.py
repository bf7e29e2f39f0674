"""Every rule of curation on single texts, held against one text."""

from collections.abc import Iterator

from components.curation.gates import code, web
from components.curation.rules import Check, checks
from components.params import CurationParams


def held(text: str, kind: str, source: str, params: CurationParams) -> Iterator[Check]:
    """Every rule for a normalised text of the kind, with its figure, in the order in which they are held."""
    yield from checks(text, kind, params)
    if kind in params.code.kinds:
        yield from code.checks(text, source, params.code)
    if kind in params.web.kinds:
        yield from web.explain(text, params.web)
