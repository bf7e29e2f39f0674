"""Exports of record of one model: its card, the summary of its training content, a bill of materials, and metadata of its
training data. Each field comes from the records of the run or from what its provider states, or says `unknown`."""
