"""Text as words, tokens and languages: hashes of word runs, near-duplicates, BPE, language detection."""
