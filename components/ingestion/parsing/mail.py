"""Mails: the body, of which plain text comes before HTML, with the subject as title. Attachments are counted by type.

Names and addresses of who wrote to whom are left out: the text is what is learned from.
"""

import email
import email.policy
from collections import Counter
from email.message import MIMEPart
from typing import Any

from components.ingestion.parsing import pages


def parse(data: bytes) -> dict[str, Any]:
    message = email.message_from_bytes(data, policy=email.policy.default)
    body = message.get_body(("plain", "html"))
    attachments = Counter(part.get_content_type() for part in message.walk() if _is_attached(part, body))
    text = _content(body) if body is not None else ""
    if body is not None and body.get_content_type() == "text/html":
        text = pages.parse(text, main_content=False)["text"]
    return {
        "text": text.replace("\r\n", "\n"),
        "title": str(message["subject"] or ""),
        "date": str(message["date"] or ""),
        "attachments": dict(sorted(attachments.items())),
    }


def _is_attached(part: MIMEPart, body: MIMEPart | None) -> bool:
    """Whether a part is neither the body nor the same in another form, nor what holds other parts."""
    is_body = part is body or (part.get_content_maintype() == "text" and not part.is_attachment())
    return not is_body and not part.is_multipart()


def _content(part: MIMEPart) -> str:
    try:
        return part.get_content()
    except (LookupError, UnicodeError):  # an encoding that is not known, or another than it says
        data = part.get_payload(decode=True)
        return data.decode("utf-8", "replace") if isinstance(data, bytes) else ""
