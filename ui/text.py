"""Text and numbers for people. All text from outside passes through `html` or `plain`, and so is shown as text.

Streamlit treats messages, captions, labels and options as Markdown, which may load images from anywhere.
"""

import json
import re
from datetime import UTC, datetime
from html import escape
from typing import Any

from components.foreign.terminal import printable_text
from components.results.tables import escape_markdown

LONGEST = 4_000  # characters of one text on a page


def clean(text: object, most: int = LONGEST) -> str:
    """A text without control characters and changes of direction, which are shown as escapes; its middle is cut out if
    it is long.

    >>> clean("a\\x1b[31m")
    'a\\\\x1b[31m'
    """
    whole = str(text)
    if len(whole) > most:
        whole = f"{whole[: most * 2 // 3]} … {whole[-most // 3 :]}"
    return printable_text(whole)


def html(text: object, most: int = LONGEST) -> str:
    """The text as HTML."""
    return escape(clean(text, most))


def plain(text: object, most: int = LONGEST) -> str:
    """Markdown that shows the text unchanged, line by line."""
    lines = (escape_markdown(line.strip()) for line in clean(text, most).splitlines())
    return "  \n".join(re.sub(r"^(?=[#>+=-])", r"\\", line) for line in lines)


def duration(seconds: float) -> str:
    """`0.4 s`, `42 s`, `3 m 05 s`, `2 h 14 m`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} m {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} m"


def left(seconds: float) -> str:
    """A remaining time, as exactly as it can be known: `less than a minute`, `about 4 min`, `about 2 h 10 min`."""
    minutes = round(seconds / 60)
    if seconds < 45:
        return "less than a minute"
    if minutes < 60:
        return f"about {max(1, minutes)} min"
    return f"about {minutes // 60} h" + (f" {minutes % 60 // 10 * 10} min" if minutes % 60 >= 10 else "")


def ago(moment: datetime | None, now: datetime | None = None) -> str:
    """`just now`, `12 min ago`, `3 h ago`, then the date."""
    if moment is None:
        return "not started"
    seconds = ((now or datetime.now(UTC)) - moment).total_seconds()
    if seconds < 45:
        return "just now"
    if seconds < 3600:
        return f"{max(1, round(seconds / 60))} min ago"
    if seconds < 86_400:
        return f"{round(seconds / 3600)} h ago"
    return moment.astimezone().strftime("%d %b %Y, %H:%M")


def clock(moment: datetime | None) -> str:
    return moment.astimezone().strftime("%d %b %Y, %H:%M:%S") if moment else ""


def number(value: Any) -> str:
    """A number for people: whole ones with separated thousands, others with four significant digits."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value if isinstance(value, str) else compact(value)
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}" if abs(value) >= 10_000 else str(int(value))
    return f"{value:.4g}"


def compact(value: Any) -> str:
    """A parameter's value on one line."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def big(value: float) -> str:
    """`41.2k`, `1.5M`."""
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def size(count: float) -> str:
    """Bytes: `830 kB`, `1.2 GB`."""
    for unit_size, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= unit_size:
            return f"{count / unit_size:.3g} {unit}"
    return f"{count:.0f} B"
