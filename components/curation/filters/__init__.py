"""Filters: the papers' rules, applied to all texts of a batch at once."""
