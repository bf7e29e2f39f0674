"""The data ablation: the same model on the same number of tokens, and only the documents vary."""
