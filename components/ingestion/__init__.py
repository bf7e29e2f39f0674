"""Ingestion: from files and the Python library to documents."""
