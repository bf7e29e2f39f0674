"""Deduplication: which documents say what a better one says already, exactly or nearly.

`sketch` turns texts into MinHash sketches, in workers; `find` decides over all sketches which documents stay; the index
lets a later run drop what this one has kept.
"""
