"""Where a model or a score comes from, and where a document went: `phiforge trace`.

- `states.py`: every state of the pipeline's results that this folder knows: a dvc.lock, and where its files are
- `checkpoints.py`: the checkpoints of these states, and what each has read, by the order of training
- `documents.py`: documents by id, source, licence, teacher or prompt, with why they were kept or dropped
- `kinds.py`, `starts.py`: what a given word may name, and what it names
- `backward.py`, `forward.py`: the two directions; both return plain values for JSON
- `spans.py`: the longest spans of a text that stand verbatim in the training tokens
- `words.py`: these values as lines for a terminal

Nothing here imports DVC, MLflow or Prefect: it reads dvc.lock and the cache's files by their hashes. Records of runs are
given by the caller (`Run`).
"""
