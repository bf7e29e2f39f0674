"""Limits of what runs leave behind."""

from pydantic import Field

from components.params.section import Section


class Limit(Section):
    """An entry goes when it is older than `days` and not among the newest `keep`."""

    keep: int = Field(0, ge=0, description="Number of the newest entries of this kind that are kept at any age")
    days: float = Field(0, ge=0, description="Age in days up to which every entry of this kind is kept")


class HousekeepingParams(Section):
    """How much `make housekeeping` leaves; what a registered version, a commit, a kept experiment or an open run needs
    always stays."""

    workspaces: Limit = Field(
        Limit(keep=10, days=0),
        description="Workspaces (checkouts of runs with overrides or a profile), by their last run",
    )
    experiments: Limit = Field(Limit(keep=100, days=30), description="DVC experiments that runs saved (run-<key>)")
    runs: Limit = Field(
        Limit(keep=200, days=90),
        description="Ended runs in MLflow, with their metrics, files and models, and in Prefect, with their logs",
    )
    cache: Limit = Field(
        Limit(keep=0, days=14),
        description="Objects in DVC's cache and local remote, and sources of changed trees in git, that nothing needs",
    )
    states: Limit = Field(
        Limit(keep=0, days=14),
        description="States of interrupted training runs, and results of curation, by their last use",
    )
    journals: Limit = Field(Limit(keep=0, days=30), description="Journals of benchmark answers, by their last use")
