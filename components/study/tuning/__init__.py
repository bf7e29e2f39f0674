"""Before and after fine-tuning: the exam, its held-out wordings, held-out text, and a suite if its data are there."""
