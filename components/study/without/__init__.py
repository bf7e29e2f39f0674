"""Counterfactuals: the same model without some documents, beside the model that has read everything."""
