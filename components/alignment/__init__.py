"""Safety of a model: measured, and improved with pairs and rows for fine-tuning that cost nothing.

refusals.yaml, stereotypes.yaml  questions and sentences in our own words, to measure with
lessons.yaml   other questions, to learn from
items.py       reads and checks these files
asking.py      log-probabilities of continuations, and greedy answers
canaries.py    planted secrets: exposure and extraction
plant.py       a corpus with planted secrets
measure.py     the step: refusal, over-refusal, stereotypes, leakage, with intervals
rows.py        rows for components.tuning: preferences, rows to unlearn and to retain, documents without unsafe ones
compare.py     models before and after: safety, exam and loss, paired
"""
