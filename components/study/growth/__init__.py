"""The growth study: what growing a small model into a larger one gains over every fair alternative."""
