"""`python -m components.reporting`: leaderboard, convergence chart, page, model card."""

from components.running.cli import Argument, Command, main

COMMAND = Command(
    step="reporting",
    description=(
        "Combine scores, losses and the measurements of knowledge transfer in a leaderboard, a chart, a page and a model card. A "
        "model is named after its scores directory, its train_NAME.json and its NAME.csv."
    ),
    run="components.reporting.report:run",
    inputs=(
        Argument("scores", "scores directories of components.benchmarking, one per model", many=True),
        Argument("set_back", "scores of the grown model with the entries that growth added set back", required=False),
        Argument("training", "summaries of components.training (train_NAME.json)", required=False, many=True),
        Argument("curves", "curves of components.training (NAME.csv)", required=False, many=True),
        Argument("transfer", "transfer.json of components.transfer", required=False),
        Argument("model", "checkpoint directory of the model to describe", required=False),
        Argument("interpretation", "figures of components.interpretation on that model", required=False),
        Argument("ingestion", "summary of components.ingestion: documents read", required=False),
        Argument("curation", "summary of components.curation: documents kept and dropped", required=False),
        Argument("tokenization", "summary of components.tokenization: training tokens by kind", required=False),
        Argument("tokens", "tokens directory with the held-out text to compare and continue", required=False),
        Argument("checkpoints", "checkpoint directories that continue held-out text", required=False, many=True),
    ),
    outputs=(Argument("output", "directory for leaderboard, chart, page and model card", holds="leaderboard.json"),),
    sections=("reporting",),
)

if __name__ == "__main__":
    main(COMMAND)
