"""The model of the whole pipeline: Phi, its configuration, its checkpoints."""
