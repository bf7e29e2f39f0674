"""Mails: the body, as plain text if there is one, else HTML, with the subject as title. Attachments are counted by type.

Names and addresses of senders and recipients are left out: only the text is learned from.
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
    """Whether a part is an attachment: not the body, another form of it, or a container of parts."""
    is_body = part is body or (part.get_content_maintype() == "text" and not part.is_attachment())
    return not is_body and not part.is_multipart()


def _content(part: MIMEPart) -> str:
    try:
        return part.get_content()
    except (LookupError, UnicodeError):  # an unknown or wrong encoding
        data = part.get_payload(decode=True)
        return data.decode("utf-8", "replace") if isinstance(data, bytes) else ""
