"""The gates: Great Expectations for documents and tokens. A failed gate stops the run with its reasons."""
