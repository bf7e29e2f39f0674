"""The growth study: what carrying a small model's knowledge into a larger one buys, against every fair alternative."""
