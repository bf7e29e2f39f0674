"""The growth law: a grid of small trainings, a formula fitted to their losses, and advice from it."""
