"""What runs a step: its command line, its progress, its locks, and what it keeps for later runs."""
