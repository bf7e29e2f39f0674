"""Data sets in the hub's layout, from a folder: split, text column, licence of the card, and no network."""

import json
import socket
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.errors import StepError
from components.ingestion import ingest
from components.ingestion.files import SourceFile
from components.ingestion.inventory import take
from components.ingestion.readers import Limits, hub
from components.params import EngineParams, IngestionParams, Params, Source
from components.tracking import Tracker
from tests.documents import read_documents


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    root = tmp_path / "a data set"
    (root / "data").mkdir(parents=True)
    (root / "README.md").write_text("---\nlicense: cc-by-sa-4.0\nlanguage:\n- en\n---\n# A card, no document\n")
    schema = pa.schema(
        {"content": pa.string(), "n": pa.int64()} | dict.fromkeys(("url", "license", "kind"), pa.string())
    )
    rows = [{"content": f"train {i}", "n": i} for i in range(2_500)]
    pq.write_table(pa.Table.from_pylist(rows[:1_500], schema), root / "data" / "train-00000-of-00002.parquet")
    pq.write_table(pa.Table.from_pylist(rows[1_500:], schema), root / "data" / "train-00001-of-00002.parquet")
    row = {"content": "test 0", "n": 0, "url": "https://example.org", "license": "MIT", "kind": "web"}
    pq.write_table(pa.Table.from_pylist([row, row | {"content": ""}]), root / "data" / "test-00000-of-00001.parquet")
    return root


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object, **__: object) -> None:
        pytest.fail("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_all_rows_of_a_split_in_order_with_the_cards_licence(dataset: Path, read_path: Callable) -> None:
    documents, quarantined = read_path(f"hf://{dataset}")
    assert [document.text for document in documents] == [f"train {i}" for i in range(2_500)]
    assert not quarantined
    last = documents[-1]
    assert (last.license, last.created_by, last.kind) == ("CC-BY-SA-4.0", "hub-reader/1", "prose")
    assert last.source == f"hf://{dataset}:2500"
    about = {"dataset": f"hf://{dataset}", "split": "train", "taken_for_text": "content"}
    assert last.metadata == {"n": 2_499, "row": 2_500} | about


def test_a_row_comes_before_the_card_and_the_card_after_what_is_said(dataset: Path, read_path: Callable) -> None:
    (document,), (quarantined,) = read_path(f"hf://{dataset}:test")
    assert (document.license, document.source, document.kind) == ("MIT", "https://example.org", "web")
    assert document.metadata["row"] == 1
    assert (quarantined.line, quarantined.reason) == (2, "has no 'content', or an empty one")
    assert read_path(f"hf://{dataset}", license="ODbL-1.0")[0][0].license == "ODbL-1.0"


def test_the_split_and_the_column_can_be_named_apart(dataset: Path, read_path: Callable) -> None:
    assert read_path(f"hf://{dataset}", split="test", text_column="license")[0][0].text == "MIT"


@pytest.mark.parametrize(
    ("suffix", "fields", "message"),
    [
        (":nope", {}, r"has no split 'nope'; it has (train, test|test, train)"),
        (
            "",
            {"text_column": "body"},
            r"no strings in 'body', .*: content \(string\), n \(integer\), .*set text_column: content",
        ),
        ("", {"text_column": "n"}, "has no strings in 'n', which text_column names"),
    ],
)
def test_what_is_not_there_is_named(
    dataset: Path, read_path: Callable, suffix: str, fields: dict, message: str
) -> None:
    with pytest.raises(StepError, match=message):
        read_path(f"hf://{dataset}{suffix}", **fields)


@pytest.mark.parametrize("path", ["hf://", "hf://name-alone", "hf://owner/name/config/more", "hf://./nowhere"])
def test_a_path_that_names_no_data_set_is_refused(read_path: Callable, path: str) -> None:
    with pytest.raises(StepError, match=r"names no data set|is not a folder"):
        read_path(path)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("hf://o/n", ("o/n", None, "train", None)),
        ("hf://o/n:validation", ("o/n", None, "validation", None)),
        (
            "hf://HuggingFaceFW/fineweb-edu/sample-10BT:train",
            ("HuggingFaceFW/fineweb-edu", "sample-10BT", "train", None),
        ),
        ("hf://o/n.x/c_1:s@refs/pr/1", ("o/n.x", "c_1", "s", "refs/pr/1")),
    ],
)
def test_names_of_the_hub(path: str, expected: tuple) -> None:
    found = hub.parse(Source(path=path))
    assert (found.path, found.config, found.split, found.revision) == expected
    assert not found.is_local


def test_a_revision_is_read_as_it_was_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    class Api:
        def dataset_info(self, path: str, revision: str | None) -> object:
            return type("Info", (), {"sha": "0123abc"})()

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    assert hub.resolve(Source(path="hf://o/n/c", split="test")) == ("hf://o/n/c:test@0123abc", "0123abc")
    given = Params(ingestion=IngestionParams(sources=[Source(path="hf://o/n/c", split="test")]))
    assert take(given)["sources"][0]["listing"] == [["hf://o/n/c:test", "0123abc"]]


def test_csv_and_text_are_read_too(tmp_path: Path, read_path: Callable) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "train.csv").write_text('text,n\nhello,1\n"two\nlines",2\n,3\n')
    documents, (quarantined,) = read_path(f"hf://{tmp_path / 'c'}")
    assert [(document.text, document.metadata["n"]) for document in documents] == [("hello", "1"), ("two\nlines", "2")]
    assert (quarantined.line, quarantined.reason) == (3, "has no 'text', or an empty one")
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "train.txt").write_text("one\ntwo\n")
    assert [document.text for document in read_path(f"hf://{tmp_path / 't'}")[0]] == ["one", "two"]


@pytest.mark.parametrize(
    ("name", "data", "texts", "reasons"),
    [
        (
            "train.jsonl",
            '{"text": "one", "id": 1}\n{broken\n{"text": "two", "id": "b"}\n{"text": ["three"]}\n',
            ["one", "two"],
            ["train.jsonl:2: is not JSON", "its 'text' holds a value of type list"],
        ),
        (
            "train.csv",
            'text,n\nNA,1\nnull,2\n12,3\na, b, c,4\n"two\nlines",5\n',
            ["NA", "null", "12", "two\nlines"],
            ["train.csv:5: has 4 cells"],
        ),
        ("train.json", '[{"text": "one"}, {"text": "two"}]', ["one", "two"], []),
    ],
)
def test_a_row_that_cannot_be_read_costs_no_other(
    tmp_path: Path, read_path: Callable, name: str, data: str, texts: list[str], reasons: list[str]
) -> None:
    (tmp_path / name).write_text(data)
    documents, quarantined = read_path(f"hf://{tmp_path}")
    assert [document.text for document in documents] == texts
    assert len(quarantined) == len(reasons)
    assert all(said in entry.reason for entry, said in zip(quarantined, reasons, strict=True))


def test_a_card_that_says_how_to_read_its_files_counts(tmp_path: Path, read_path: Callable) -> None:
    (tmp_path / "README.md").write_text('---\nconfigs:\n- config_name: a\n  data_files: "*.csv"\n  sep: "@"\n---\n')
    (tmp_path / "train.csv").write_text("n@text\n1@one, two\n")
    (document,), _ = read_path(f"hf://{tmp_path}")
    assert (document.text, document.metadata["n"]) == ("one, two", 1)


def other_schema(path: Path) -> None:
    pq.write_table(pa.table({"body": ["x"]}), path)


def no_rows(path: Path) -> None:
    pq.write_table(pq.read_table(path).slice(0, 0), path)


@pytest.mark.parametrize(
    ("number", "breaks", "said"),
    [
        (0, lambda path: path.write_bytes(b""), "file size is 0 bytes"),
        (1, lambda path: path.write_bytes(path.read_bytes()[:-20]), "Parquet magic bytes not found"),
        (1, other_schema, "CastError"),
        (0, no_rows, "after 0 rows"),
        (1, no_rows, "after 0 rows"),
    ],
)
def test_a_file_that_breaks_is_named_and_the_others_are_read(
    dataset: Path, read_path: Callable, number: int, breaks: Callable, said: str
) -> None:
    name = f"data/train-0000{number}-of-00002.parquet"
    breaks(dataset / name)
    documents, (quarantined,) = read_path(f"hf://{dataset}")
    assert len(documents) == (1_000, 1_500)[number]
    assert quarantined.reason.startswith(f"its file {name} cannot be read to its end, after 0 rows (")
    assert said in quarantined.reason


def test_a_file_that_is_not_there_is_named(dataset: Path, read_path: Callable) -> None:
    (dataset / "data" / "train-00000-of-00002.parquet").unlink()
    documents, (quarantined,) = read_path(f"hf://{dataset}")
    assert (len(documents), documents[0].text) == (1_000, "train 1500")
    assert quarantined.reason == "lacks files of its split: train-00000-of-00002; the others are read"


def test_many_files_that_are_not_there_are_counted() -> None:
    reason = hub._missing([str(Path(__file__).parent / "train-00000-of-90000.parquet")])
    assert reason.endswith("train-00003-of-90000, train-00004-of-90000 and 89,995 more; the others are read")


@pytest.fixture
def configured(dataset: Path) -> Path:
    card = "---\nconfigs:\n" + "".join(
        f"- config_name: {name}\n  data_files: data/train-0000{number}*.parquet\n" for number, name in enumerate("ab")
    )
    (dataset / "README.md").write_text(f"{card}---\n")
    return dataset


@pytest.mark.parametrize("suffix", ["#b", "#b:train"])
def test_a_configuration_of_a_folder(configured: Path, read_path: Callable, suffix: str) -> None:
    documents, quarantined = read_path(f"hf://{configured}{suffix}")
    assert (len(documents), documents[0].text, documents[0].metadata["config"]) == (1_000, "train 1500", "b")
    assert not quarantined  # the other configuration's file isn't missing


@pytest.mark.parametrize("suffix", ["", "#c"])
def test_the_configurations_that_there_are_and_how_to_name_one(
    configured: Path, read_path: Callable, suffix: str
) -> None:
    with pytest.raises(StepError, match=r"\['a', 'b'\].*name it as in hf:///folder#config"):
        read_path(f"hf://{configured}{suffix}")


@pytest.mark.parametrize("name", ["with:colon", "with#mark", "both#marks:in"])
def test_a_folder_may_have_the_marks_in_its_name(dataset: Path, read_path: Callable, name: str) -> None:
    folder = dataset.rename(dataset.with_name(name))
    assert len(read_path(f"hf://{folder}")[0]) == 2_500
    assert len(read_path(f"hf://{folder}:test")[0]) == 1


def test_a_lost_hub_fails_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def lose() -> object:
        yield {"text": "one"}
        raise ConnectionError("the hub is gone")

    found = hub.parse(Source(path="hf://o/n"))
    with pytest.raises(StepError, match=r"hf://o/n stopped responding \(ConnectionError: the hub is gone\); run again"):
        list(hub.watched(lose(), found, "hf://o/n"))


def test_a_file_of_the_hub_that_breaks_is_named(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = dataset / "data" / "train-00001-of-00002.parquet"
    part.write_bytes(b"")
    remote = hub.Dataset("o/n", None, "train", "0123abc", False)
    builder = hub._builder(hub.parse(Source(path=f"hf://{dataset}")), "")
    monkeypatch.setattr(hub, "parse", lambda source: remote)
    monkeypatch.setattr(hub, "_builder", lambda found, path: builder)
    source = Source(path="hf://o/n", license="MIT", follow_links=True)  # its files lie here
    rows = hub.read_hub(SourceFile("hf://o/n@0123abc", "hf://o/n", source, 0), Limits(1_000))
    with pytest.raises(StepError, match=rf"hf://o/n@0123abc: .*{part.name} stopped responding \(ArrowInvalid"):
        assert len([next(rows) for _ in range(1_501)]) == 1_501


def test_the_step_reads_it_and_the_inventory_sees_changes(dataset: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PHIFORGE_HOME", str(tmp_path))
    given = Params(
        ingestion=IngestionParams(sources=[Source(path=f"hf://{dataset}")]), engine=EngineParams(kind="serial")
    )
    before = take(given)
    assert before["sources"][0]["listing"][0][0] == "README.md"
    summary = ingest.run({}, {"output": tmp_path / "raw"}, given, Tracker())
    assert (summary["documents"], summary["quarantined"]) == (2_500, 0)
    assert json.dumps(next(iter(read_documents(tmp_path / "raw"))).metadata)
    (dataset / "README.md").write_text("---\nlicense: mit\n---\n")
    assert take(given) != before


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret" / "train.jsonl"
    path.parent.mkdir()
    path.write_text('{"content": "secret"}\n')
    return path


def card(dataset: Path, files: str | list[str]) -> None:
    configuration = {"configs": [{"config_name": "default", "data_files": files}]}
    (dataset / "README.md").write_text(f"---\n{json.dumps(configuration)}\n---\n")


@pytest.mark.parametrize(
    "named", ["{secret}", "../secret/train.jsonl", "data/../../secret/*.jsonl", "link.jsonl", "away/train.jsonl"]
)
def test_a_card_names_no_file_outside_of_the_folder(
    dataset: Path, secret: Path, read_path: Callable, named: str
) -> None:
    (dataset / "link.jsonl").symlink_to(secret)
    (dataset / "away").symlink_to(secret.parent)
    (dataset / "own.jsonl").write_text('{"content": "ours"}\n')
    named = named.format(secret=secret)
    card(dataset, ["own.jsonl", named])
    documents, (quarantined,) = read_path(f"hf://{dataset}")
    assert [document.text for document in documents] == ["ours"]
    assert quarantined.reason.startswith("names the file /")
    assert "follow_links: true" in quarantined.reason
    documents, quarantine = read_path(f"hf://{dataset}", follow_links=True)
    assert [document.text for document in documents] == ["ours", "secret"]
    assert not quarantine


@pytest.mark.parametrize("name", ["README.md", "dataset_infos.json", ".huggingface.yaml"])
def test_a_card_is_not_a_link_that_leads_elsewhere(dataset: Path, secret: Path, read_path: Callable, name: str) -> None:
    (dataset / name).unlink(missing_ok=True)
    (dataset / name).symlink_to(secret)
    with pytest.raises(StepError, match="is a link that leads out of its folder"):
        read_path(f"hf://{dataset}")


def test_a_data_set_of_the_hub_names_no_file_of_this_machine(
    dataset: Path, secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its card may hold absolute paths, which the library takes for files of this machine."""
    builder = hub._builder(hub.parse(Source(path=f"hf://{dataset}")), "x")
    builder.config.data_files = {"train": [str(secret)]}
    monkeypatch.setattr(hub, "_builder", lambda *_: builder)
    monkeypatch.setattr(hub, "_license", lambda _: "unknown")
    file = SourceFile("hf://owner/name:train@0123", "hf://owner/name:train", Source(path="hf://owner/name"), 0, "0123")
    assert [item.reason.partition(",")[0] for item in hub.read_hub(file, Limits(1_000))] == [f"names the file {secret}"]


def test_a_format_whose_files_name_others_is_refused(dataset: Path, read_path: Callable) -> None:
    """HDF5 may say that a column's bytes lie in any file."""
    card(dataset, "rows.h5")
    (dataset / "rows.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(StepError, match="is stored as hdf5, whose files may take their content from elsewhere"):
        read_path(f"hf://{dataset}")
