"""The educational value of a document, 0 to 5: labels by a written rubric on a sample, a fast classifier for the rest."""
