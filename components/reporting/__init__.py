"""Reporting: what the steps measured, brought together and judged."""
