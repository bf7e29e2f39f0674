"""Parsers of formats whose files come from strangers: one module each, with a function `parse`.

`parse` takes a file's bytes or its decoded text, and returns `text`, which may be empty, and what goes into the document's
metadata, such as `title`. It runs in `process.py`, a process that a file may break. The modules therefore import nothing
heavy of the project, and a format's library is imported when the first file of that format is parsed.
"""


class Refusal(ValueError):
    """A file that a parser does not take; the message says why, after the file's name."""
