"""The educational value of documents, 0 to 5: labels by a written rubric for a sample, a fast classifier for the rest."""
