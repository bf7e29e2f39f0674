"""The certificate of a forgotten document: what was removed, and the hashes that prove it; made by `phiforge forget`.

The proof has two halves. The raw documents of the new run are, byte for byte, those of the earlier run with the rows
deleted. And every later stage has read nothing but outputs of recorded stages, code and parameters, so its results are those
of data that never had the documents; tests train both ways and compare the weights. `verify` checks all of it again.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from components.documents import DOCUMENT, DocumentWriter, document_of, increments, read_rows, shard_batches
from components.errors import StepError
from components.exclusions import IN_DATA, Exclusion, excluded, parse
from components.files import read_json, sha256_file, write_json
from components.params import PARAMS_FILE, load_params
from components.running.contents import counted
from components.tracking import weights_sha256
from flows.cache import cache_folder
from flows.graph import load_graph, locked_stages

FORMAT = 1
RAW, CURATED, TEXTBOOKS, TOKENS = "data/raw", "data/curated", "data/textbooks", "data/tokens"
INVENTORY, INGEST = "data/inventory.json", "ingest"
MODELS = ("models/small", "models/grown", "models/large", "models/control")
Row = dict[str, Any]


class Check(NamedTuple):
    """One finding of `verify`: whether it holds, None if it can no longer be told."""

    name: str
    holds: bool | None
    detail: str


def certificate(
    root: Path,
    rules: Sequence[Exclusion],
    before: Mapping[str, Any],
    outcomes: Mapping[str, str],
    code: Mapping[str, str],
) -> dict[str, Any]:
    """The certificate of a run that has just left some documents out, in the main folder.

    Args:
        before: `state(root)` before the run.
        outcomes: what each stage did: ran, cached or restored.
        code: the revision of the run.

    Raises:
        StepError: the earlier raw documents are no longer in DVC's cache.
    """
    after = state(root)
    earlier = cached_folder(root, before["outs"][RAW])
    if earlier is None:
        raise StepError(
            f"DVC's cache has no raw documents of before ({before['outs'][RAW]}); expected them until the certificate is made"
        )
    sources = {source.path for source in load_params(root / PARAMS_FILE).ingestion.sources}
    kept = {row["id"] for row in read_rows(root / RAW, ["id"])}
    removed = [row for row in read_rows(earlier.folder, NAMES) if is_removed(row, rules, sources, kept)]
    gone = {row["id"] for row in removed}
    curated = earlier_curated(root, before)
    then = {row["id"] for row in curated}
    now = {row["id"]: row["source"] for row in read_rows(root / CURATED, ["id", "source"])}
    content: dict[str, Any] = {
        "format": FORMAT,
        "removed": {
            "rules": [str(rule) for rule in rules],
            "documents": [{name: row[name] for name in ("id", "source", "license")} for row in removed],
            "curated": sorted(row["id"] for row in curated if gone & {row["id"], metadata(row).get("raw_id")}),
        },
        "newly_kept": [{"id": name, "source": now[name]} for name in now if name not in then] if then else [],
        "code": dict(code),
        "before": {"outs": before["outs"], "weights": before["weights"]},
        "stages": [stage | {"outcome": outcomes.get(stage["name"], "cached")} for stage in after["stages"]],
        "weights": {name: {"before": before["weights"].get(name), "after": after["weights"].get(name)} for name in after["weights"]},
        "raw": {
            "before": digest(earlier.folder),
            "before_without": rebuilt(earlier.folder, lambda row: not is_removed(row, rules, sources, kept)),
            "after": digest(root / RAW),
        },
    }  # fmt: skip
    earlier.close()
    if not gone:
        raise StepError(
            f"{', '.join(map(str, rules))}: the earlier raw documents have no such document; nothing was forgotten"
        )
    return content | {"sha256": sha256_of(content)}


NAMES = ["id", "source", "license", "kind", "metadata"]


def state(root: Path) -> dict[str, Any]:
    """The stages of the main folder's dvc.lock with the hashes of all they read and wrote, and of the models' weights.

    Raises:
        StepError: the pipeline has not run.
    """
    present = {stage.name for stage in load_graph(root)}
    stages = [
        {
            "name": name,
            "cmd": stage["cmd"],
            "deps": {entry["path"]: entry.get("md5", "") for entry in stage.get("deps", [])},
            "outs": {entry["path"]: entry.get("md5", "") for entry in stage.get("outs", [])},
            "params": sha256_of(stage.get("params", {})),
        }
        for name, stage in locked_stages(root).items()
        if name in present  # dvc.lock may have stages that the pipeline has no longer
    ]
    outs = {path: md5 for stage in stages for path, md5 in stage["outs"].items()}
    if RAW not in outs or not (root / RAW).is_dir():
        raise StepError(f"{root / RAW} does not exist; expected the results of a run: run `phiforge run` first")
    weights = {name: weights_sha256(root / name) for name in MODELS if name in outs and (root / name).is_dir()}
    return {"stages": stages, "outs": outs, "weights": weights}


def is_removed(row: Row, rules: Iterable[Exclusion], sources: set[str], kept: set[str]) -> bool:
    """Whether the rules name a raw document. A source of ingestion.sources is told by what is no longer there."""
    whole = any(rule.field == "source" and rule.value in sources for rule in rules)
    return excluded(rules, row) or (whole and row["id"] not in kept)


def verify(root: Path, path: Path) -> list[Check]:
    """Check a certificate by itself, and against what lies in the main folder now.

    Raises:
        StepError: it is not a certificate.
    """
    found = read_json(path, "expected a certificate, as `phiforge forget` writes it")
    try:
        rules = [parse(rule, IN_DATA) for rule in found["removed"]["rules"]]
        return list(_checks(root, found, rules))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StepError(
            f"{path} is not a certificate ({type(error).__name__}: {error}); expected what `phiforge forget` writes"
        ) from error


def _checks(root: Path, found: Mapping[str, Any], rules: list[Exclusion]) -> Iterator[Check]:
    content = {key: value for key, value in found.items() if key != "sha256"}
    yield Check(
        "unchanged", sha256_of(content) == found["sha256"], "the certificate has the content that it was made with"
    )
    yield _deletion(found)
    yield _chain(found["stages"])
    yield _again(root, found, rules)
    yield _present(root, found)
    yield _absent(root, found, rules)
    listed = load_params(root / PARAMS_FILE).ingestion.exclude
    missing = [str(rule) for rule in rules if str(rule) not in listed]
    yield Check(
        "stays out",
        not missing,
        f"ingestion.exclude lacks {', '.join(missing)}" if missing else "ingestion.exclude names the documents",
    )
    earlier = {
        path: md5 for path, md5 in found["before"]["outs"].items() if md5 and md5 not in _outs(found["stages"]).values()
    }
    left = sorted(path for path, md5 in earlier.items() if _object(root, md5).is_file())
    words = (
        f"DVC's cache still has the earlier {', '.join(left)}"
        if left
        else "DVC's cache has none of the earlier results"
    )
    yield Check("earlier results", None if left else True, words)


def _deletion(found: Mapping[str, Any]) -> Check:
    raw = found["raw"]
    equal = raw["after"] == raw["before_without"] != raw["before"]
    words = "equal" if equal else "do not equal"
    return Check(
        "deletion",
        equal,
        f"the raw documents {words} the earlier ones with {counted(len(found['removed']['documents']), 'row')} deleted",
    )


def _chain(stages: Sequence[Mapping[str, Any]]) -> Check:
    """Each stage has read what a recorded stage has written, and only ingestion has looked at the sources."""
    outs = _outs(stages)
    wrong = [
        f"{stage['name']} has read another {path}"
        for stage in stages
        for path, md5 in stage["deps"].items()
        if path in outs and outs[path] != md5
    ]
    wrong += [f"{s['name']} has read {INVENTORY}" for s in stages if INVENTORY in s["deps"] and s["name"] != INGEST]
    return Check(
        "chain",
        not wrong,
        "; ".join(wrong) or f"{len(stages)} stages have read only each other's outputs, code and parameters",
    )


def _again(root: Path, found: Mapping[str, Any], rules: list[Exclusion]) -> Check:
    """The deletion once more, if the earlier raw documents are still there."""
    earlier = cached_folder(root, found["before"]["outs"][RAW])
    if earlier is None:
        return Check("deletion again", None, "the earlier raw documents are gone, so it cannot be repeated")
    removed = {entry["id"] for entry in found["removed"]["documents"]}
    same = rebuilt(earlier.folder, lambda row: row["id"] not in removed) == found["raw"]["before_without"]
    earlier.close()
    return Check(
        "deletion again",
        same,
        f"deleting the rows from the earlier raw documents gives {'the same' if same else 'another'} hash",
    )


def _present(root: Path, found: Mapping[str, Any]) -> Check:
    """The files in the folder are those of the certificate, unless another run has replaced them."""
    recorded = {name: weights["after"] for name, weights in found["weights"].items()}
    if not (root / RAW).is_dir():
        return Check("present files", None, "this folder has no results")
    outs = {path: md5 for stage in locked_stages(root).values() for path, md5 in _locked_outs(stage)}
    later = [path for path, md5 in _outs(found["stages"]).items() if path in (RAW, *MODELS) and outs.get(path) != md5]
    if later:
        return Check("present files", None, f"a later run has made other {', '.join(later)}")
    wrong = [
        name for name, weights in recorded.items() if (root / name).is_dir() and weights_sha256(root / name) != weights
    ]
    wrong += [] if digest(root / RAW) == found["raw"]["after"] else [RAW]
    return Check(
        "present files",
        not wrong,
        f"{', '.join(wrong)} differ from the certificate" if wrong else "raw documents and models have its hashes",
    )


def _absent(root: Path, found: Mapping[str, Any], rules: list[Exclusion]) -> Check:
    """None of the documents is in the present data, nor a text that was written from one."""
    removed, where = {entry["id"] for entry in found["removed"]["documents"]} | {*found["removed"]["curated"]}, []
    for folder in (RAW, CURATED, TEXTBOOKS):
        named = rules if folder != TEXTBOOKS else []  # texts of our own may have the same licence
        for row in read_rows(root / folder, NAMES) if (root / folder).is_dir() else ():
            own = metadata(row)
            if excluded(named, row) or removed & {row["id"], own.get("raw_id"), own.get("seed_document")}:
                where.append(f"{folder}: {row['id']}")
    for split in ("train", "validation"):
        index = root / TOKENS / split / "documents.parquet"
        if index.is_file():
            import pyarrow.parquet as pq

            where += [
                f"{TOKENS}: {name}"
                for name in removed.intersection(pq.read_table(index, columns=["id"])["id"].to_pylist())
            ]
    return Check(
        "absent",
        not where,
        f"still there: {', '.join(where[:3])}" if where else "data and tokens here have none of the documents",
    )


def _outs(stages: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    return {path: md5 for stage in stages for path, md5 in stage["outs"].items()}


def _locked_outs(stage: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield from ((entry["path"], entry.get("md5", "")) for entry in stage.get("outs", []))


class CachedFolder:
    """A copy of a folder of DVC's cache; links would lead out of it."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._place = tempfile.TemporaryDirectory()
        self.folder = Path(self._place.name)
        for name, path in files.items():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, self.folder / name)

    def close(self) -> None:
        self._place.cleanup()


def cached_folder(root: Path, md5: str) -> CachedFolder | None:
    """The folder with this hash from DVC's cache; None if it is not wholly there."""
    listing = _object(root, md5)
    if not listing.is_file():
        return None
    files = {entry["relpath"]: _object(root, entry["md5"]) for entry in json.loads(listing.read_text(encoding="utf-8"))}
    return CachedFolder(files) if all(path.is_file() for path in files.values()) else None


def earlier_curated(root: Path, before: Mapping[str, Any]) -> list[Row]:
    """Id and metadata of the curated documents of before; empty if they are gone."""
    folder = cached_folder(root, before["outs"].get(CURATED, "-"))
    if folder is None:
        return []
    rows = list(read_rows(folder.folder, ["id", "metadata"]))
    folder.close()
    return rows


def _object(root: Path, md5: str) -> Path:
    return cache_folder(root) / "files" / "md5" / md5[:2] / md5[2:]


def metadata(row: Row) -> dict[str, Any]:
    return json.loads(row["metadata"])


def rebuilt(source: Path, keep: Callable[[Row], bool]) -> str:
    """The digest of a document set after the deletion of rows, written anew."""
    with tempfile.TemporaryDirectory() as folder:
        for number, paths in increments(source).items():
            with DocumentWriter(place := Path(folder, str(number))) as writer:
                for path in paths:
                    for batch in shard_batches(path, DOCUMENT.names):
                        for row in batch.to_pylist():
                            if keep(row):
                                writer.write(document_of(row))
            if number and not writer.rows:
                for path in place.iterdir():
                    path.unlink()
        return _digest(path for number in increments(source) for path in sorted(Path(folder, str(number)).iterdir()))


def digest(folder: Path) -> str:
    """Hash of a document set: of its shards in order."""
    return _digest(path for paths in increments(folder).values() for path in paths)


def _digest(paths: Iterable[Path]) -> str:
    return sha256_of([sha256_file(path) for path in paths])


def sha256_of(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def write(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, content)
