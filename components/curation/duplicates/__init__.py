"""Deduplication: which documents repeat a better one, exactly or nearly.

`sketch` turns texts into MinHash sketches, in workers; `find` decides over all sketches which documents are kept; the
index lets a later run drop duplicates of them.
"""
