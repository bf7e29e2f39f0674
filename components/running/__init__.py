"""What runs a step: its command line, progress, locks, and results stored for later runs."""
