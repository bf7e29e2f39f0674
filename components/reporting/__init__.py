"""Reporting: combines and judges what the steps measured."""
