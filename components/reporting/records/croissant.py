"""Metadata of the training data in Croissant 1.1: http://mlcommons.org/croissant/1.1

Written as JSON-LD by hand: mlcroissant needs packages that are only distributed as sources. Addresses of files are relative
to the folder of the run, beside whose `data` the file belongs when the data is published.
"""

from typing import Any

from components.documents import DOCUMENT
from components.reporting.records.corpus import DOCUMENTS, Corpus, File
from components.reporting.records.gather import UNKNOWN, Record
from components.reporting.records.licenses import license_url

CONFORMS = "http://mlcommons.org/croissant/1.1"
VOCABULARY = (
    "arrayShape citeAs column containedIn equivalentProperty extract field fileProperty fileObject fileSet format includes "
    "isArray isLiveDataset jsonPath key md5 parentField path recordSet references regex repeated replace samplingRate "
    "separator source subField transform"
)
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "description": {"@container": "@language"},
    "name": {"@container": "@language"},
} | {name: f"cr:{name}" for name in VOCABULARY.split()}
FORMATS = {".json": "application/json", ".bin": "application/octet-stream", ".parquet": "application/x-parquet"}
TYPES = {"string": "sc:Text", "float": "sc:Float"}


def metadata(record: Record, corpus: Corpus) -> dict[str, Any]:
    """The JSON-LD document. Of the required properties, those that only the publisher knows are `unknown` unless stated."""
    facts = record.facts
    stated = [facts.data_license] if facts.data_license else corpus.licenses
    missing = {"datePublished": facts.data_published, "url": facts.data_url, "creator": facts.provider}
    unknown = [name for name, value in missing.items() if not value]
    about = (
        f"Documents and tokens on which {record.name} (SHA-256 of the weights {record.weights}) was trained: "
        f"{corpus.tokens:,} tokens, fingerprint {corpus.manifest.fingerprint}."
    )
    if unknown:
        about += f" Unknown: {', '.join(unknown)}."
    documents = [file for file in corpus.files if file.path.startswith(DOCUMENTS)]
    content: dict[str, Any] = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS,
        "name": f"Training data of {record.name}",
        "description": about,
        "license": [license_url(license) or license for license in stated] or [UNKNOWN],
        "url": facts.data_url or UNKNOWN,
        "creator": {"@type": "sc:Organization", "name": facts.provider or UNKNOWN},
        "version": f"1.0.0+{corpus.manifest.fingerprint[:12]}",
        "distribution": [_file(file) for file in corpus.files],
        "recordSet": [_records(file) for file in documents],
    }
    if facts.data_published:  # a date or nothing: readers refuse other text
        content["datePublished"] = facts.data_published
    if languages := _languages(record):
        content["inLanguage"] = languages
    return content


def _languages(record: Record) -> list[str]:
    found = record.steps.get("curate", {}).get("languages")
    kept = found.get("kept") if isinstance(found, dict) else None
    return [code for code in kept if isinstance(code, str)] if isinstance(kept, list) else []


def _file(file: File) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": file.path,
        "name": file.path,
        "contentUrl": file.path,
        "contentSize": f"{file.size} B",
        "encodingFormat": FORMATS["." + file.path.rpartition(".")[2]],
        "sha256": file.sha256,
    }


def _records(file: File) -> dict[str, Any]:
    """The rows of a file of documents."""
    name = file.path.removesuffix(".parquet")
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "key": {"@id": f"{name}/id"},
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"{name}/{column.name}",
                "name": column.name,
                "dataType": TYPES[str(column.type)],
                "source": {"fileObject": {"@id": file.path}, "extract": {"column": column.name}},
            }
            for column in DOCUMENT
        ],
    }
