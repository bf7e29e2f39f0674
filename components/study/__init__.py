"""Studies of several trainings: `growth` and `ablation`, and what they share."""
