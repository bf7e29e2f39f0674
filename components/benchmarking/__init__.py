"""Scores a checkpoint on a suite of benchmarks, with lm-eval's task definitions and a scorer of its own."""
