"""Reporting: combines and judges the results of the steps."""
