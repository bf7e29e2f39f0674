"""What comes from outside, made safe: addresses, files, templates, tokenizers, YAML, text on a terminal."""
