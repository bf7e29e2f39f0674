"""The panel on `fakes.history()`, for a browser: `python tests/ui/fake_app.py PORT [RUNS VERSIONS CORPUS]`."""

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from streamlit.web import bootstrap  # noqa: E402

from flows.client import access  # noqa: E402
from flows.client import corpus as corpora  # noqa: E402
from flows.client.tuning import Checked  # noqa: E402
from tests.ui import fakes  # noqa: E402
from ui import acts, reads  # noqa: E402

if __name__ == "__main__":
    if real := sys.argv[-1] == "--real-models":  # those of the project's last run
        sys.argv.pop()
    more_runs, more_versions = map(int, sys.argv[2:4] or ("0", "0"))
    history = fakes.history(more_runs)
    ids = [run.id for run in history.all[:3]]
    reads.registry = lambda: fakes.Versions(*ids, more=more_versions)  # type: ignore[assignment,return-value]
    reads.schedules = fakes.schedules
    reads.runs = reads.records = lambda: history  # type: ignore[assignment,return-value]
    talker = fakes.Talker()
    if not real:
        reads.playground = lambda: talker  # type: ignore[assignment,return-value]
        reads.models = lambda: ["large", "small", "control", "grown"]  # type: ignore[assignment]
        reads.exam = fakes.questions  # type: ignore[assignment]
        reads.tuning_rows = lambda *_: Checked(2, [{"prompt": "Which is red?", "completion": "Mars"}])  # type: ignore[assignment]
        reads.tuned = list  # type: ignore[assignment]
    acts.user = lambda: access.OPERATOR
    acts.refusal = lambda: ""
    acts.record = lambda *_: None  # type: ignore[assignment]
    made = tempfile.TemporaryDirectory(prefix="phiforge-")
    corpus = Path(sys.argv[4]) if sys.argv[4:] else fakes.made_corpus(Path(made.name))
    reads.corpora = lambda: corpora.corpora(corpus)
    options = {"server_port": int(sys.argv[1]), "server_address": "127.0.0.1", "server_headless": True}
    bootstrap.load_config_options(options)
    bootstrap.run(str(ROOT / "ui" / "app.py"), False, [], options)
