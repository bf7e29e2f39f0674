"""Curation: keeps documents that teach and records the others in the ledger."""
