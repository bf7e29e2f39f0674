"""What `make checks` adds to the usual tools: the links of the pages, and the English of pages, docstrings, help and messages."""
