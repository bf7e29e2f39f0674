"""Train a Phi on token shards, from a random start or from a checkpoint."""
