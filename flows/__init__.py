"""Orchestration: Prefect tasks from dvc.yaml, isolated workspaces, MLflow lineage, the services of `make up`."""
