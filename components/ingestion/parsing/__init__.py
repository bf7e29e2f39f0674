"""Parsers of untrusted files: one module per format, with a function `parse`.

`parse` takes a file's bytes or its decoded text, and returns `text`, which may be empty, and fields of the document's
metadata, such as `title`. It runs in `process.py`, a process that a file may break. So the modules import nothing heavy
from the project, and a format's library is imported when the first file of that format is parsed.
"""


class Refusal(ValueError):
    """A file that a parser refuses; the message is the reason, to follow the file's name."""
