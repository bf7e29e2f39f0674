"""Limits on the files and records that runs leave behind."""

from pydantic import Field

from components.params.section import Section


class Limit(Section):
    """An entry is removed if it is older than `days` and not among the newest `keep`."""

    keep: int = Field(0, ge=0, description="Number of newest entries that are kept at any age; 0 = none")
    days: float = Field(
        0, ge=0, description="Age in days up to which every entry is kept; 0 = entries of any age may be removed"
    )


class HousekeepingParams(Section):
    """What `make housekeeping` keeps. Anything that a registered version, a commit, a kept experiment or an open run needs is
    always kept."""

    workspaces: Limit = Field(
        Limit(keep=10, days=0),
        description="Workspaces (checkouts of runs with overrides or a profile) to keep, by their last run",
    )
    experiments: Limit = Field(
        Limit(keep=100, days=30), description="DVC experiments saved by runs (run-<key>) to keep"
    )
    runs: Limit = Field(
        Limit(keep=200, days=90),
        description="Ended runs to keep in MLflow, with metrics, files and models, and in Prefect, with logs; also uploaded texts and sweeps that no kept run names",
    )
    cache: Limit = Field(
        Limit(keep=0, days=14),
        description="Unused objects to keep in DVC's cache and local remote, and unused sources of changed trees in git",
    )
    states: Limit = Field(
        Limit(keep=0, days=14),
        description="States of interrupted training runs, results of ingestion and curation, and indexes of traces, to keep, by their last use",
    )
    journals: Limit = Field(
        Limit(keep=0, days=30), description="Journals of benchmark answers to keep, by their last use"
    )
