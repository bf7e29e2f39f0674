"""Trials: sequential tests over seeds, the false-discovery budget, the ledger of tries, and folded comparisons."""
