"""Filters: the rules of the papers, over all texts of a batch at once."""
