"""The gates: Great Expectations over documents and tokens. A failed gate stops the run and says why."""
