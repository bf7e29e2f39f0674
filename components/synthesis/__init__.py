"""Textbooks and verified exercises from a curriculum, and an exam that training never sees."""
