"""Safe handling of input from outside: addresses, files, templates, tokenizers, YAML, text for a terminal."""
