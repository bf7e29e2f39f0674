"""The page about the textbooks: all its parts, nothing from elsewhere, nothing that a text could break."""

import re
from pathlib import Path

import pytest

from components.documents import Document
from components.params import SynthesisParams, TeacherParams
from components.synthesis.curriculum import load_curriculum
from components.synthesis.page import Contents, write_page
from components.synthesis.synthesize import Outputs, synthesize

PARAMS = SynthesisParams(tasks="all", chapters=120, exercises=1200, exam_examples=10, max_gzip_ratio=8.0)


def run(seeds: Path, root: Path, params: SynthesisParams = PARAMS) -> str:
    page = root / "page.html"
    synthesize(seeds, Outputs(root / "t", root / "l.parquet", root / "e", page=page, state=root / "state"), params, 1)
    return page.read_text()


@pytest.fixture(scope="module")
def html(seeds, tmp_path_factory) -> str:
    return run(seeds, tmp_path_factory.mktemp("page"))


def test_the_page_has_all_its_parts(html):
    for name in ("contents", "samples", "verification", "tasks", "diversity", "cost"):
        assert f'<section id="{name}">' in html
        assert f'href="#{name}"' in html
    for subject in ("Arithmetic", "The physical world", "Other minds", "Python&#39;s library"):
        assert subject in html
    assert "No model was called; nothing was paid." in html
    assert "duplicate_question" in html
    assert re.search(r"Compression</td><td>[\d.]+ times</td><td>at most 8<", html)


def test_the_page_needs_nothing_else(html):
    assert not re.search(r"(?:src|href)\s*=\s*[\"'](?!#)", html)
    assert "<script" not in html
    assert "@import" not in html


def test_the_page_is_the_same_each_time(html, seeds, tmp_path):
    assert run(seeds, tmp_path) == html


def test_a_text_cannot_break_the_page(tmp_path):
    contents = Contents(load_curriculum())
    for number in range(3):
        text = f"# <script>alert({number})</script>\n\n{{{{ 7 * 7 }}}} & more"
        about = {"format": "faq", "job": "x"}
        contents.add(Document(text, "textbook", "curriculum/arithmetic/adding", "MIT", "api/<b>:x", metadata=about))
    summary = {
        "plan": {"jobs": 3, "rejected": 0, "sha256": "0" * 64},
        "documents": {"textbook": 3, "exercise": 0},
        "megabytes": {"textbook": 0.1, "exercise": 0.0},
        "questions": {"drawn": 1, "exercises": 0, "exam": 0, "ledger": 0},
        "ledger": {},
        "tasks": 1,
        "topics": 1,
        "diversity": {
            "gzip_ratio": 1.0,
            "near_duplicates": {"own": 0, "curated": 0, "share": 0.0},
            "templates": {"distinct": 1, "largest_share": 0.1, "largest": "<i>"},
            "textbook": {"distinct_2": 1.0, "distinct_3": 1.0},
            "exercise": {"distinct_2": 0.0, "distinct_3": 0.0},
        },
        "teacher": {"kind": "procedural"},
    }
    write_page(tmp_path / "p.html", summary, contents, [], [], PARAMS)
    html = (tmp_path / "p.html").read_text()
    assert "<script" not in html
    assert "&lt;script&gt;alert(" in html
    assert "{{ 7 * 7 }} &amp; more" in html


def test_the_cost_of_a_model_is_shown(seeds, tmp_path, serve):
    teacher = {"kind": "openai", "base_url": serve().url, "model": "some/model"}
    loose = {"chapters": 30, "max_gzip_ratio": 20.0}
    params = PARAMS.model_copy(update=loose | {"teacher": TeacherParams(**teacher)})
    html = run(seeds, tmp_path, params)
    assert "Chapters written by" in html
    assert "in money is unknown" in html
    assert "Models that answered: some/model-2026." in html
    prices = {"price_input": 1.0, "price_output": 2.0, "price_source": "EUR of 2026-11"}
    html = run(seeds, tmp_path, params.model_copy(update={"teacher": TeacherParams(**teacher | prices)}))
    assert "(EUR of 2026-11)" in html
