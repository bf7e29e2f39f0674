"""Scores of a checkpoint on multiple-choice tasks, through lm-eval's task definitions and our own scorer."""
