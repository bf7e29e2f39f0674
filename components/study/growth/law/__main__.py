"""`python -m components.study.growth.law`: fit the growth law to the records of the grid, and judge it."""

from components.running.cli import Argument, Command, main

COMMAND = Command(
    step="study.growth.law",
    description="Fit the growth law to the finished runs of the grid, and judge it on the cells that were set apart.",
    run="components.study.growth.law.report:report",
    inputs=(
        Argument("grid", "plan of the grid (YAML)"),
        Argument("records", "directory of components.study.growth.law.measure"),
        Argument("predictions", "predictions of the predicted stages (CSV), to compare", required=False),
    ),
    outputs=(
        Argument("output", "directory for law.json, law.md, law.csv, the chart and the page", holds="law.json"),
        Argument("page", "Markdown page whose tables are replaced between two marks", required=False),
    ),
)

if __name__ == "__main__":
    main(COMMAND)
