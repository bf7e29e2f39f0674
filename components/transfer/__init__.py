"""Transfer a trained Phi's knowledge into a larger shape."""
