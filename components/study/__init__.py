"""Studies of several training runs: `growth` and `ablation`, and their shared parts."""
