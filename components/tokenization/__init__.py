"""Tokenization: documents to a tokenizer and to the streams of tokens that training reads."""
