"""Prefect flows over the pipeline of dvc.yaml."""
