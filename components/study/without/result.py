"""`python -m components.study.without.result`: what leaving documents out changes."""

from components.running.cli import Argument, Command, main

COMMAND = Command(
    step="study.without.result",
    description="Compare the models without some documents with the one that has read everything.",
    run="components.study.without.report:report",
    inputs=(Argument("runs", "directory of the records"), Argument("tokens", "directory of the summaries of tokens")),
    outputs=(
        Argument(
            "output",
            "directory for without.json, without.md, without.csv, the chart and the page",
            holds="without.json",
        ),
    ),
    sections=("without",),
)

if __name__ == "__main__":
    main(COMMAND)
