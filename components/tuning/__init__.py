"""Fine-tuning of a Phi: all weights or adapters, on answers, preferences, or text to unlearn.

rows.py       reads and checks JSONL rows
examples.py   rows as tokens, through the chat template
packing.py    examples packed into sequences, and their batches
objectives.py SFT, DPO, NPO, gradient difference
adapters.py   LoRA by peft: added to a Phi, saved in peft's format, merged
loop.py       the objectives and the curve in the training loop of components.training
tune.py       the step
data.py       rows from the pipeline's verified exercises, or the user's files
merge.py      an adapter merged into its checkpoint
report.py     before and after, with intervals
"""
