"""Exports of record: what they say is in the records, what no record holds is `unknown`, and they conform to their formats."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.documents import Document, DocumentWriter
from components.errors import StepError
from components.files import sha256_file
from components.params import Params
from components.reporting.records import export
from components.reporting.records.bom import problem
from components.reporting.records.content import SECTIONS, UNKNOWN
from components.reporting.records.facts import Facts
from components.tokens import DOCUMENTS, Manifest
from components.tracking import Tracker

REQUIRED = {  # by Croissant 1.1, "Dataset-level information: Required", besides datePublished, which only a publisher knows
    "@context", "@type", "conformsTo", "description", "license", "name", "url", "creator", "distribution",
}  # fmt: skip
HOSTILE = "<script>alert(1)</script>\u202e|\x1b[2J](javascript:x)"
CORPUS = [
    Document("def f(): pass", "code", "python:os.path", "PSF-2.0", "python-library/1"),
    Document("How to add.", "textbook", "curriculum/arithmetic/adding", "CC0-1.0", "procedural/1:chapter-faq"),
]
FOREIGN = [
    Document("A page.", "web", "https://user@News.example.org/a?b", "unknown", "warc/1", metadata={"date": "2024-05-01T10:00:00Z"}),
    Document("Another page.", "web", "https://blog.example.com/", "CC-BY-4.0", "warc/1", metadata={"date": "2023-11-30"}),
    Document("A note.", "prose", "notes/a.md", HOSTILE, "plain/1"),
    Document("A row.", "prose", "hf://owner/set/config:train:12", "mit", "rows/1"),
    Document("A chapter.", "textbook", "curriculum/sets/unions", "CC0-1.0", "api/some-model:chapter/2"),
]  # fmt: skip


def put_data(run: Path, documents: list[Document]) -> str:
    """Documents and tokens of a run, one token per document; returns their fingerprint."""
    with DocumentWriter(run / "data/curated") as writer:
        for document in documents:
            writer.write(document)
    splits = {}
    for split in ("train", "validation"):
        folder = run / "data/tokens" / split
        folder.mkdir(parents=True)
        np.zeros(len(documents), "<u2").tofile(folder / "shard-00000.bin")
        rows = [
            {"id": d.id, "kind": d.kind, "source": d.source, "start": i, "length": 1, "bytes": len(d.text)}
            for i, d in enumerate(documents)
        ]
        pq.write_table(pa.Table.from_pylist(rows, DOCUMENTS), folder / "documents.parquet")
        shard = {"file": "shard-00000.bin", "tokens": len(rows), "sha256": "0" * 64}
        splits[split] = {"tokens": len(rows), "documents": len(rows), "shards": [shard]}
    made = Manifest(1, "uint16", 100, 0, "t", splits)
    Manifest(1, "uint16", 100, 0, "t", splits, made.compute_fingerprint()).write(run / "data/tokens")
    return made.compute_fingerprint()


def with_data(run: Path, documents: list[Document], **lineage: Any) -> None:
    """Give the large model of the workspace training data."""
    (run / "models/large/lineage.json").write_text(
        json.dumps({"step": "training", "initial": None, "tokens_fingerprint": put_data(run, documents)} | lineage)
    )


def exported(
    run: Path, name: str = "large", facts: Path | None = None, runs: list[Path] | None = None
) -> dict[str, Any]:
    """Everything that an export of the large model writes: text by file, `summary` of the step, `fields` by name."""
    inputs = {"checkpoint": run / "models/large", "runs": [run] if runs is None else runs, "name": name, "facts": facts}
    summary = export.run(inputs, {"output": run / "out"}, Params(), Tracker())
    files = {path.name: path.read_text(encoding="utf-8") for path in (run / "out").iterdir()}
    fields = json.loads(files["training-content.json"])
    return files | {"summary": summary, "fields": {f"{f['section']} {f['name']}": f for f in fields}}


def values(made: dict[str, Any]) -> dict[str, str]:
    return {name: field["value"] for name, field in made["fields"].items()}


def test_every_export_conforms_and_holds_the_records(workspace: Path) -> None:
    with_data(workspace, CORPUS)
    made = exported(workspace)
    assert made["summary"]["written"] == [
        "croissant.json", "ml-bom.cdx.json", "model-card.md", "training-content.json", "training-content.md",
    ]  # fmt: skip
    bill = json.loads(made["ml-bom.cdx.json"])
    assert problem(made["ml-bom.cdx.json"]) == ""
    model = bill["metadata"]["component"]
    assert model["hashes"] == [{"alg": "SHA-256", "content": sha256_file(workspace / "models/large/model.safetensors")}]
    metrics = {(m["type"], m["slice"]): m for m in model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]}
    overall = metrics["accuracy", "exam"]
    bounds = {name: float(bound) for name, bound in overall["confidenceInterval"].items()}
    assert float(overall["value"]) == pytest.approx(0.55)
    assert bounds["lowerBound"] < 0.55 < bounds["upperBound"]
    assert float(metrics["smallest detectable difference from another model", "exam"]["value"]) > 0
    assert [c["licenses"] for c in bill["components"] if c["type"] == "data"] == [
        [{"license": {"id": "PSF-2.0"}}], [{"license": {"id": "CC0-1.0"}}],
    ]  # fmt: skip
    refs = [component["bom-ref"] for component in bill["components"]]
    assert len(refs) == len(set(refs))
    assert "| Python's standard library and language reference |" in made["model-card.md"]
    assert "smallest difference from another model that the exam detects" in made["model-card.md"]
    fields = values(made)
    assert fields["1.3 Training data size"].startswith("less than 1 billion tokens (2 tokens")
    assert fields["2.1 Publicly available datasets used"] == "Yes"
    assert fields["2.4 User data used, of the model or of other services"].startswith("No: ")
    assert fields["2.5 Synthetic AI-generated data created by the provider or on its behalf"].startswith("No: programs")
    assert {number for number in SECTIONS if f" {number}. {SECTIONS[number]}" in made["training-content.md"]} == {
        *SECTIONS
    }


def test_croissant_has_the_required_properties_and_the_hashes_of_the_files(workspace: Path) -> None:
    with_data(workspace, CORPUS)
    data = json.loads(exported(workspace)["croissant.json"])
    assert data.keys() >= REQUIRED
    assert data["conformsTo"] == "http://mlcommons.org/croissant/1.1"
    assert data["license"] == [f"https://spdx.org/licenses/{name}.html" for name in ("PSF-2.0", "CC0-1.0")]
    for file in data["distribution"]:
        path = workspace / file["contentUrl"]
        assert (file["sha256"], file["contentSize"]) == (sha256_file(path), f"{path.stat().st_size} B")
        assert file["encodingFormat"]
    described = {file["@id"] for file in data["distribution"]}
    fields = [field for records in data["recordSet"] for field in records["field"]]
    assert {field["source"]["fileObject"]["@id"] for field in fields} <= described
    assert {field["name"] for field in fields} == set(
        pq.read_schema(workspace / "data/curated/part-00000.parquet").names
    )


def test_equal_records_give_equal_bytes(workspace: Path) -> None:
    with_data(workspace, CORPUS)
    assert exported(workspace) == exported(workspace)


def test_foreign_text_is_described_by_its_rows_and_assumed_to_be_nothing(workspace: Path) -> None:
    with_data(workspace, FOREIGN)
    made = exported(workspace, HOSTILE)
    fields = values(made)
    assert fields["2.1 Publicly available datasets used"] == "Yes"
    assert "hf://owner/set: prose, licence mit" in fields["2.1 List of large publicly available datasets"]
    assert fields["2.1 Other publicly available datasets"] == UNKNOWN
    assert fields["2.2.1 Commercial licensing agreements concluded"] == UNKNOWN
    assert fields["2.3 Crawlers used by the provider or on its behalf"] == UNKNOWN
    assert fields["2.3 Period of data collection"] == "2023-11-30 to 2024-05-01"
    assert fields["2.3 Most relevant domain names"] == "1 of 2 by bytes of text: blog.example.com"
    assert fields["2.5 AI models that generated the data"] == "some-model"
    assert "files and rows: prose" in fields["2.6 Description"]
    assert fields["1.3 Latest date of data acquisition or collection"].startswith("2024-05-01 ")
    for name in ("model-card.md", "training-content.md"):
        assert "<script" not in made[name].rpartition("\n---\n")[2], "besides the front matter, which is YAML"
        assert not {"\x1b", "\u202e"} & {*made[name]}
    licenses = [
        c["licenses"][0]["license"] for c in json.loads(made["ml-bom.cdx.json"])["components"] if "licenses" in c
    ]
    assert {"id": "MIT"} in licenses, "SPDX's own spelling"
    assert any("script" in license.get("name", "") for license in licenses)


@pytest.mark.parametrize(
    "lineage",
    [
        None,
        {},
        {"initial": "x"},
        {"initial": {"lineage": [1]}, "step": 3, "seed": True},
        {"by_kind": {"code": {"documents": "many", "tokens": None}}, "tokens_read_by_kind": {"code": "x"}},
        {"by_kind": [1], "tokens_fingerprint": {"a": 1}, "teacher": {"b": "c" * 9999}},
        {"initial": {"weights_sha256": "not a hash", "lineage": {"tokens_fingerprint": "abc"}}},
        {"by_kind": {HOSTILE: {"documents": 1, "tokens": 2, "bytes": 3}}, "seed": HOSTILE},
    ],
)
def test_a_checkpoint_without_a_run_says_unknown(workspace: Path, lineage: dict[str, Any] | None) -> None:
    (workspace / "models/large/lineage.json").unlink()
    if lineage is not None:
        (workspace / "models/large/lineage.json").write_text(json.dumps(lineage))
    made = exported(workspace, runs=[])
    assert "croissant.json" not in made
    assert made["summary"]["run"] is None
    assert problem(made["ml-bom.cdx.json"]) == ""
    for name in (
        "2.1 Publicly available datasets used",
        "2.5 The data",
        "3.2 Measures to avoid or remove illegal content",
    ):
        assert made["fields"][name] | {"value": UNKNOWN, "origin": UNKNOWN} == made["fields"][name]
    assert "<script" not in made["model-card.md"]


def test_data_of_other_tokens_is_not_taken_for_the_models(workspace: Path) -> None:
    with_data(workspace, CORPUS, tokens_fingerprint="other")
    made = exported(workspace)
    assert made["summary"]["run"] == str(workspace), "its scores are known"
    assert not made["summary"]["with_data"]
    assert values(made)["2.1 Publicly available datasets used"] == UNKNOWN


def test_the_data_of_an_earlier_training_stays_unknown(workspace: Path) -> None:
    with_data(workspace, CORPUS, initial={"weights_sha256": "a" * 64, "lineage": {"tokens_fingerprint": "f" * 64}})
    made = exported(workspace)
    assert made["fields"]["1.3 Training data of earlier stages"]["origin"] == UNKNOWN
    assert values(made)["1.2 Model dependencies"] == UNKNOWN, "the lineage does not reach a beginning"
    bill = json.loads(made["ml-bom.cdx.json"])
    assert bill["metadata"]["component"]["pedigree"]["ancestors"][0]["hashes"][0]["content"] == "a" * 64


def test_facts_of_the_provider_are_marked_as_stated(workspace: Path, tmp_path: Path) -> None:
    with_data(workspace, FOREIGN)
    facts = tmp_path / "facts.yaml"
    facts.write_text(
        'provider: "Example <x@example.org>"\nlicense: mit\ndata_published: "2026-01-31"\ncrawlers: "no"\n'
    )
    made = exported(workspace, facts=facts)
    field = made["fields"]["1.1 Provider name and contact details"]
    assert (field["value"], field["origin"]) == ("Example <x@example.org>", "provider")
    assert made["fields"]["2.3 Crawlers used by the provider or on its behalf"]["value"] == "no"
    component = json.loads(made["ml-bom.cdx.json"])["metadata"]["component"]
    assert (component["licenses"], component["supplier"]) == ([{"license": {"id": "MIT"}}], {"name": field["value"]})
    assert json.loads(made["croissant.json"])["datePublished"] == "2026-01-31"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("providr: a", "'providr' is not a fact; expected provider"),
        ("- a", "holds a list; expected lines such as"),
        ("provider: 3", "provider: Input should be a valid string"),
        ("data_published: soon", "data_published: String should match pattern"),
        ("provider: [", "cannot be read as YAML"),
    ],
)
def test_a_wrong_fact_is_refused(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "facts.yaml").write_text(text)
    with pytest.raises(StepError, match=r"facts\.yaml") as refused:
        Facts.read(tmp_path / "facts.yaml")
    assert said in str(refused.value)


def test_a_folder_without_weights_is_refused(workspace: Path) -> None:
    (workspace / "models/large/model.safetensors").unlink()
    with pytest.raises(StepError, match=r"has no \*\.safetensors"):
        exported(workspace)
    assert not (workspace / "out").exists()
