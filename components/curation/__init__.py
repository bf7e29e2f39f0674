"""Curation: what teaches stays, the rest goes to the ledger."""
