"""Every rule of curation, checked on single documents."""

from collections.abc import Sequence

from components.curation.filters import code, web
from components.curation.rules import Check, checks
from components.documents import Document
from components.params import CurationParams


def check_documents(documents: Sequence[Document], params: CurationParams) -> list[list[Check]]:
    """For each document every rule for its kind, with the measured value, in the order in which curation applies them."""
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
