"""Every rule of curation on single texts, held against documents."""

from collections.abc import Sequence

from components.curation.gates import code, web
from components.curation.rules import Check, checks
from components.documents import Document
from components.params import CurationParams


def held(documents: Sequence[Document], params: CurationParams) -> list[list[Check]]:
    """Of each document every rule for its kind, with its figure, in the order in which they are held."""
    of_web = [document for document in documents if document.kind in params.web.kinds]
    web_checks = iter(web.explain([document.text for document in of_web], params.web))
    found = []
    for document in documents:
        found.append(list(checks(document.text, document.kind, params)))
        if document.kind in params.code.kinds:
            found[-1] += code.checks(document.text, document.source, params.code, document.metadata)
        if document.kind in params.web.kinds:
            found[-1] += next(web_checks)
    return found
