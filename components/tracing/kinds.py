"""The kinds of start of a trace. Without imports, so that the command's help is fast."""

BACKWARD = ("version", "checkpoint", "score", "question", "run", "report", "output")
FORWARD = ("document", "source", "licence", "teacher", "prompt")
KINDS = (*BACKWARD, *FORWARD)
