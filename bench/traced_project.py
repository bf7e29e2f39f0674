"""A generated project with many runs, as `phiforge trace` finds it: dvc.lock files, DVC's cache, git, MLflow, Prefect.

The latest runs have workspaces, the others are saved experiments, and the last one is known to MLflow alone. All are grown
pairs over one of a few token sets. Every file that a trace reads is there; weights and, unless asked for, tokens are not.
"""

import hashlib
import json
import shutil
import sqlite3
import subprocess
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.documents import DOCUMENT, LEDGER
from components.params import read_yaml
from components.text import bpe
from components.tokens import DOCUMENTS, Manifest
from components.tokens import INDEX as TOKENS_INDEX

ROOT = Path(__file__).parent.parent
LENGTH, BATCH = 256, 2048  # tokens per sequence and per step
STEPS = {"small": 733, "large": 342}
LICENCES = ("CC0-1.0", "CC-BY-4.0", "MIT", "PSF-2.0", "unknown")
WORKSPACES = 10
SHARD = 20_000
VOCABULARY = 512
QUESTION = "a605a3be9508b3d5"
TABLES = """
CREATE TABLE runs (run_uuid TEXT, name TEXT, status TEXT, start_time INTEGER, lifecycle_stage TEXT);
CREATE TABLE tags (run_uuid TEXT, key TEXT, value TEXT);
CREATE TABLE model_versions (name TEXT, version INTEGER, run_id TEXT, storage_location TEXT, current_stage TEXT);
CREATE TABLE model_version_tags (name TEXT, version INTEGER, key TEXT, value TEXT);
CREATE TABLE registered_model_aliases (name TEXT, alias TEXT, version INTEGER);
"""
FLOW_RUNS = """
CREATE TABLE deployment (id TEXT, name TEXT);
CREATE TABLE flow_run (id TEXT, name TEXT, start_time TEXT, state_name TEXT, created_by TEXT, parameters TEXT, deployment_id TEXT);
INSERT INTO deployment VALUES ('d', 'nightly');
"""


@dataclass
class Made:
    """A generated project.

    Attributes:
        ids: of the documents, in the order of the first token set's stream.
        starts, lengths: of these documents in that stream, in tokens.
        keys: of the runs, the latest first.
        flow_runs: Prefect's id of each run.
        weights: of the large model of each run.
        texts: of the documents, if they have tokens.
    """

    root: Path
    ids: list[str] = field(default_factory=list)
    starts: np.ndarray = field(default_factory=lambda: np.empty(0))
    lengths: np.ndarray = field(default_factory=lambda: np.empty(0))
    keys: list[str] = field(default_factory=list)
    flow_runs: list[str] = field(default_factory=list)
    weights: list[str] = field(default_factory=list)
    fingerprints: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)


class Cache:
    """DVC's cache, to write into."""

    def __init__(self, root: Path) -> None:
        self.folder = root / ".dvc" / "cache" / "files" / "md5"

    def put(self, content: bytes) -> str:
        return self._at(hashlib.md5(content, usedforsecurity=False).hexdigest(), content)

    def put_file(self, path: Path) -> str:
        with open(path, "rb") as file:
            md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        place = self.folder / md5[:2] / md5[2:]
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(path, place)
        return md5

    def put_folder(self, files: dict[str, str]) -> str:
        """The md5 of a folder of objects by path."""
        entries = [{"md5": md5, "relpath": path} for path, md5 in sorted(files.items())]
        content = json.dumps(entries).encode()
        return self._at(hashlib.md5(content, usedforsecurity=False).hexdigest() + ".dir", content)

    def put_table(self, table: pa.Table) -> str:
        path = self.folder.parent / "table"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path, compression="zstd", row_group_size=2048)
        return self.put_file(path)

    def put_json(self, value: Any) -> str:
        return self.put(json.dumps(value).encode())

    def _at(self, md5: str, content: bytes) -> str:
        place = self.folder / md5[:2] / md5[2:]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        return md5


def make(root: Path, runs: int, documents: int, token_sets: int = 1, with_tokens: bool = False) -> Made:
    """Make the project in an empty folder.

    Args:
        documents: those that are curated; a tenth as many are written by a teacher.
        with_tokens: also write texts, tokens and a tokenizer.
    """
    rng, cache, made = np.random.default_rng(0), Cache(root), Made(root)
    (root / "params.yaml").write_text((ROOT / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    curated, textbooks, outs = _documents(cache, rng, documents, made, with_tokens)
    tokens = [_tokens(cache, rng, number, curated, textbooks, made, with_tokens) for number in range(token_sets)]
    locks = [_run(cache, made, number, outs, *tokens[number % token_sets]) for number in range(runs)]
    _record(root, made, locks)
    return made


def _documents(
    cache: Cache, rng: np.random.Generator, count: int, made: Made, with_tokens: bool
) -> tuple[pa.Table, pa.Table, dict[str, str]]:
    """Curated and written documents, and the outputs of the stages that made them."""
    curated = _table(rng, count, "web", with_tokens)
    textbooks = _table(rng, max(count // 10, 1), "textbook", with_tokens)
    outs = {}
    for path, table in (("data/raw", curated), ("data/curated", curated), ("data/textbooks", textbooks)):
        parts = [table.slice(start, SHARD) for start in range(0, table.num_rows, SHARD)]
        names = {f"part-{number:05d}.parquet": cache.put_table(part) for number, part in enumerate(parts)}
        outs[path] = cache.put_folder(names)
    dropped = {name: [""] for name in LEDGER.names} | {"value": [None], "threshold": [None]}
    dropped |= {"id": ["d" * 32], "rule": ["length"], "detail": ["3 words"], "source": ["https://site0.example/lost"]}
    outs["data/ledger/curation.parquet"] = cache.put_table(pa.table(dropped, schema=LEDGER))
    question = {"id": QUESTION, "task": "letters", "category": "language", "answer": 0, "choices": ["c", "a"]}
    outs["data/exam"] = cache.put_folder(
        {"letters.jsonl": cache.put(json.dumps(question | {"question": "Which?"}).encode())}
    )
    thresholds = {"education": {"thresholds": {"web": 1.5}}}
    outs["reports/curation"] = cache.put_folder({"curation.json": cache.put_json(thresholds)})
    return curated, textbooks, outs


def _table(rng: np.random.Generator, count: int, kind: str, with_text: bool) -> pa.Table:
    written = kind == "textbook"
    ids = [bytes(row).hex() for row in rng.integers(0, 256, (count, 16), dtype=np.uint8)]
    sites = max(count // 100, 1)
    sources = [f"curriculum/{i % 20}" if written else f"https://site{i % sites}.example/page{i}" for i in range(count)]
    words = rng.integers(0, 50, (count, 40)) if with_text else None
    texts = ["" if words is None else " ".join(f"word{word}" for word in words[i]) for i in range(count)]
    metadata = {"verification": {"method": "every answer recomputed", "passed": 8}} if written else {"cluster_size": 2}
    return pa.table(
        {
            "id": ids,
            "text": texts,
            "kind": [kind] * count,
            "source": sources,
            "license": [LICENCES[i % len(LICENCES)] for i in range(count)],
            "created_by": ["procedural/1:exercises" if written else "html/1"] * count,
            "educational_value": pa.array(rng.uniform(2, 5, count), pa.float32()),
            "quality": pa.nulls(count, pa.float32()),
            "metadata": [json.dumps(metadata)] * count,
        },
        schema=DOCUMENT,
    )


def _tokens(
    cache: Cache, rng: np.random.Generator, number: int, curated: pa.Table, textbooks: pa.Table, made: Made, real: bool
) -> tuple[str, str]:
    """A token set with all documents in another order; md5 and fingerprint."""
    columns = ["id", "kind", "source", "text"]
    rows = pa.concat_tables([curated.select(columns), textbooks.select(columns)])
    rows = rows.take(pa.array(rng.permutation(rows.num_rows)))
    texts, shards, files = rows["text"].to_pylist(), [], {}
    lengths = rng.integers(50, 800, rows.num_rows)
    if real:
        tokenizer = bpe.train(texts, VOCABULARY)
        end = tokenizer.token_to_id(bpe.END_OF_TEXT)
        ids = [[*encoded.ids, end] for encoded in tokenizer.encode_batch(texts, add_special_tokens=False)]
        lengths = np.array([len(one) for one in ids])
        files["tokenizer/tokenizer.json"] = cache.put(tokenizer.to_str().encode())
        shards = [{"file": "shard-00000.bin", "tokens": int(lengths.sum())}]
        files["train/shard-00000.bin"] = cache.put(np.concatenate(ids).astype("<u2").tobytes())
    starts = np.cumsum(lengths) - lengths
    index = rows.drop(["text"]).append_column("start", pa.array(starts)).append_column("length", pa.array(lengths))
    index = index.append_column("bytes", pa.array(lengths * 3)).cast(DOCUMENTS)
    counts = {"tokens": int(lengths.sum()), "documents": rows.num_rows, "shards": shards, "by_kind": {}}
    manifest = Manifest(1, "uint16", VOCABULARY, 0, f"tokenizer{number}", {"train": counts, "validation": counts})
    fingerprint = manifest.compute_fingerprint()
    folder = cache.folder.parent / "manifest"
    folder.mkdir(exist_ok=True)
    Manifest(**{**dict(manifest), "fingerprint": fingerprint}).write(folder)
    files["manifest.json"] = cache.put_file(folder / "manifest.json")
    files[f"train/{TOKENS_INDEX}"] = cache.put_table(index)
    files[f"validation/{TOKENS_INDEX}"] = cache.put_table(index.slice(0, 0))
    made.fingerprints.append(fingerprint)
    if number == 0:
        made.ids, made.starts, made.lengths, made.texts = rows["id"].to_pylist(), starts, lengths, texts
    return cache.put_folder(files), fingerprint


def _lineage(fingerprint: str, model: str, seed: int, initial: Any) -> dict[str, Any]:
    settings = {"context_length": LENGTH, "batch_tokens": BATCH}
    return {
        "step": "training",
        "model": model,
        "seed": seed,
        "steps": STEPS[model],
        "training_tokens": STEPS[model] * BATCH,
        "tokens_fingerprint": fingerprint,
        "params": {"training": settings},
        "initial": initial,
        "teacher": None,
    }


def _run(cache: Cache, made: Made, number: int, outs: dict[str, str], tokens: str, fingerprint: str) -> dict[str, Any]:
    """The stages of a run, as in dvc.lock."""
    seed = number + 1
    small = _lineage(fingerprint, "small", seed, None)
    grown = {
        "step": "transfer",
        "operator": "exact",
        "seed": seed,
        "tokens_fingerprint": fingerprint,
        "training_tokens": 0,
    }
    grown["initial"] = {"lineage": small}
    large = _lineage(fingerprint, "large", seed, {"lineage": grown})
    made.keys.append(hashlib.sha256(f"run {number}".encode()).hexdigest()[:12])
    made.flow_runs.append(str(uuid.UUID(int=number)))
    made.weights.append(hashlib.sha256(f"weights {number}".encode()).hexdigest())
    lineages = {"models/small": small, "models/grown": grown, "models/large": large}
    files = {name: cache.put_folder({"lineage.json": cache.put_json(of)}) for name, of in lineages.items()}
    answers = pa.table({"id": [QUESTION], "predicted": [number % 2], "answer": [0], "acc": [float(number % 2 == 0)]})
    exam = {"exam": {"accuracy": 0.6 + number / 10_000, "stderr": 0.01, "examples": 2480, "chance": 0.34}}
    gate = cache.put_json({"expectations": {"passed": 17, "failed": 0, "error": 0}})
    files |= outs | {"data/tokens": tokens, "reports/validate_raw.json": gate}
    files["reports/train_small.json"] = cache.put_json({"checkpoint_sha256": f"small{number}"})
    files["reports/train_large.json"] = cache.put_json({"checkpoint_sha256": made.weights[-1]})
    files["reports/benchmark_large.json"] = cache.put_json(exam)
    files["reports/scores/large"] = cache.put_folder({"examples.parquet": cache.put_table(answers)})
    files["reports/final"] = cache.put_folder({"index.html": cache.put(f"report {number}".encode())})
    params = (
        {"params.yaml": read_yaml(ROOT / "params.yaml") | {"seed": seed}}
        if number < 1
        else {"params.yaml": {"seed": seed}}
    )
    stages = {
        "ingest": ([], ["data/raw"]),
        "validate_raw": (["data/raw"], ["reports/validate_raw.json"]),
        "curate": (["data/raw", "reports/validate_raw.json"], ["data/curated", "data/ledger/curation.parquet", "reports/curation"]),
        "synthesize": (["data/curated"], ["data/textbooks", "data/exam"]),
        "tokenize": (["data/curated", "data/textbooks"], ["data/tokens"]),
        "train_small": (["data/tokens"], ["models/small", "reports/train_small.json"]),
        "grow": (["models/small"], ["models/grown"]),
        "train_large": (["data/tokens", "models/grown"], ["models/large", "reports/train_large.json"]),
        "benchmark@large": (["data/exam", "models/large"], ["reports/benchmark_large.json", "reports/scores/large"]),
        "report": (["models/large", "reports/scores/large"], ["reports/final"]),
    }  # fmt: skip
    return {
        name: {
            "cmd": f"python -m components.{name}" + (" --checkpoint models/large" if "bench" in name else ""),
            "deps": [
                {"path": "components/" + name, "md5": "0" * 32},
                *({"path": one, "md5": files[one]} for one in deps),
            ],
            "params": params,
            "outs": [{"path": one, "md5": files[one]} for one in written],
        }
        for name, (deps, written) in stages.items()
    }


def _record(root: Path, made: Made, locks: list[dict[str, Any]]) -> None:
    """Spread the runs over main folder, workspaces, experiments, MLflow and Prefect."""
    (root / ".phiforge" / "prefect").mkdir(parents=True)
    texts = [json.dumps({"schema": "2.0", "stages": lock}) for lock in locks]  # JSON is YAML
    (root / "dvc.lock").write_text(texts[0], encoding="utf-8")
    for key, text in list(zip(made.keys, texts, strict=True))[1 : min(WORKSPACES, max(1, len(locks) // 4)) + 1]:
        (root / "workspaces" / key).mkdir(parents=True)
        (root / "workspaces" / key / "dvc.lock").write_text(text, encoding="utf-8")
    stream = []
    for number, (key, text) in list(enumerate(zip(made.keys, texts, strict=True)))[1:-1]:
        base, content = f"{number:040x}", text.encode()
        head = f"commit refs/exps/{base[:2]}/{base[2:]}/run-{key}\ncommitter x <x@example.org> 0 +0000\ndata 0\n"
        stream += [head.encode(), b"M 100644 inline dvc.lock\ndata %d\n" % len(content), content, b"\n"]
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    subprocess.run(["git", "fast-import", "--quiet"], cwd=root, input=b"".join(stream), check=True)
    with sqlite3.connect(root / "mlflow.db") as mlflow:
        mlflow.executescript(TABLES)
        for number, lock in enumerate(locks):
            _mlflow(mlflow, made, number, lock)
    with sqlite3.connect(root / ".phiforge" / "prefect" / "prefect.db") as prefect:
        prefect.executescript(FLOW_RUNS)
        rows = [(one, f"run-{one[-4:]}", "2026-01-01", "Completed", None, "{}", "d") for one in made.flow_runs]
        prefect.executemany("INSERT INTO flow_run VALUES (?, ?, ?, ?, ?, ?, ?)", rows)


def _mlflow(database: sqlite3.Connection, made: Made, number: int, lock: dict[str, Any]) -> None:
    def hashes(entries: list[dict[str, str]]) -> str:
        return json.dumps({one["path"]: one["md5"] for one in entries if not one["path"].startswith("components")})

    def add(run: str, name: str, tags: dict[str, str]) -> None:
        database.execute(
            "INSERT INTO runs VALUES (?, ?, 'FINISHED', ?, 'active')", (run, name, 10**12 - number * 10**6)
        )
        database.executemany("INSERT INTO tags VALUES (?, ?, ?)", [(run, key, value) for key, value in tags.items()])

    parent = f"{number:031x}p".replace("p", "0")
    common = {"git.commit": f"{number:040x}", "git.tree": "7" * 40, "git.source": "HEAD", "mlflow.user": "ada",
              "prefect.flow_run_id": made.flow_runs[number], "workspace": made.keys[number]}  # fmt: skip
    outs = {f"dvc.{name.replace('@', '/')}": hashes(stage["outs"]) for name, stage in lock.items()}
    add(parent, f"run-{number}", common | outs)
    for place, (name, stage) in enumerate(lock.items()):
        run = f"{number:016x}{place:015x}1"
        more = {
            "stage": name,
            "mlflow.parentRunId": parent,
            "dvc.deps": hashes(stage["deps"]),
            "dvc.outs": hashes(stage["outs"]),
        }
        add(run, name, common | more)
    database.execute("INSERT INTO model_versions VALUES ('phiforge', ?, ?, NULL, 'None')", (number + 1, parent))
    database.execute(
        "INSERT INTO model_version_tags VALUES ('phiforge', ?, 'weights_sha256', ?)", (number + 1, made.weights[number])
    )
    if number == 0:
        database.execute("INSERT INTO registered_model_aliases VALUES ('phiforge', 'champion', 1)")
