"""Ingestion: reads files and the Python library as documents."""
