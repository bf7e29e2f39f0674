"""The steps of the pipeline, one folder per step. Nothing here depends on an orchestrator or a user interface."""

import os

# Telemetry of all tools is off. This must be set before any of them is imported.
OPT_OUTS = {
    "DO_NOT_TRACK": "true",
    "DVC_NO_ANALYTICS": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",  # a stage's log is about the stage
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "RAY_USAGE_STATS_ENABLED": "0",
    "STREAMLIT_BROWSER_GATHER_USAGE_STATS": "false",
    "TOKENIZERS_PARALLELISM": "false",  # threads are set explicitly; a forked tokenizer would otherwise warn
}
# Idle threads sleep. They spin by default, which slows training on busy cores to a seventh of its speed.
MANNERS = {"OMP_WAIT_POLICY": "PASSIVE"}

for name, value in (OPT_OUTS | MANNERS).items():
    os.environ.setdefault(name, value)
