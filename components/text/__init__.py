"""Text as words, tokens and languages: hashes of n-grams, near-duplicates, BPE, language detection."""
