"""The plan: deterministic, stable ids, seeds and words by job, a hash that notices every change."""

from pathlib import Path

import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from components.documents import Document, DocumentWriter
from components.synthesis.chapters import questions_needed
from components.synthesis.curriculum import load_curriculum
from components.synthesis.plan import (
    EXCERPT_CHARS,
    plan_chapters,
    plan_sha256,
    plan_table,
    read_excerpts,
    seeded,
    write_plan,
)

CURRICULUM = load_curriculum()


def test_the_plan_is_a_table_of_distinct_jobs():
    jobs = plan_chapters(CURRICULUM, 200)
    assert len(jobs) == len({job.id for job in jobs}) == 200
    assert [job.id for job in plan_chapters(CURRICULUM, 50)] == [job.id for job in jobs[:50]]
    assert {job.format for job in jobs} == set(CURRICULUM.formats)
    assert sum(questions_needed(jobs, CURRICULUM).values()) >= 3 * 200


@given(st.integers(1, 400), st.integers(0, 50))
def test_a_longer_plan_only_adds(chapters, more):
    longer = plan_chapters(CURRICULUM, chapters + more)
    assert longer[:chapters] == plan_chapters(CURRICULUM, chapters)


def corpus(directory: Path, order: int) -> Path:
    rows = [
        Document(f"Line one of {n}.\nLine two.\n" * (1 + 60 * (n % 3)), kind, f"s{n}", "MIT", "test")
        for n in range(20)
        for kind in ("code", "prose")[n % 2 : n % 2 + 1]
    ]
    with DocumentWriter(directory) as writer:
        for row in rows[::order]:
            writer.write(row)
    return directory


def test_seeds_and_words_follow_from_the_job_and_not_from_the_order_of_the_corpus(tmp_path, lexicon):
    jobs = plan_chapters(CURRICULUM, 80)
    plans = [seeded(jobs, read_excerpts(corpus(tmp_path / str(order), order)), lexicon, seed=1) for order in (1, -1)]
    assert plans[0] == plans[1]
    excerpts = read_excerpts(tmp_path / "1")
    for job in plans[0]:
        assert excerpts[job.seed_document].kind == ("code" if job.category == "code" else "prose")
        assert len(job.words) == 3
    assert len({job.seed_document for job in plans[0]}) > 10
    assert seeded(jobs, excerpts, lexicon, seed=2) != plans[0]


def test_excerpts_are_whole_lines_and_bounded(tmp_path):
    excerpts = read_excerpts(corpus(tmp_path, 1), most=5)
    assert len(excerpts) == 5
    assert max(len(excerpt.text) for excerpt in excerpts.values()) <= EXCERPT_CHARS
    assert all(excerpt.text.endswith(".") for excerpt in excerpts.values())
    everything = read_excerpts(tmp_path)
    assert sorted(excerpts) == sorted(everything)[:5]


def test_jobs_without_a_corpus_have_no_seed(tmp_path, lexicon):
    with DocumentWriter(tmp_path):
        pass
    jobs = seeded(plan_chapters(CURRICULUM, 10), read_excerpts(tmp_path), lexicon, seed=1)
    assert {job.seed_document for job in jobs} == {""}


def test_the_hash_notices_every_change(tmp_path):
    jobs = plan_chapters(CURRICULUM, 30)
    table = plan_table(jobs, {})
    assert plan_sha256(table) == plan_sha256(plan_table(jobs, {}))
    assert plan_sha256(table) != plan_sha256(plan_table(jobs[:-1], {}))
    assert plan_sha256(table) != plan_sha256(plan_table(jobs, {jobs[3].id: ("faq@1", "ab")}))
    write_plan(tmp_path / "plan.parquet", table)
    assert plan_sha256(pq.read_table(tmp_path / "plan.parquet")) == plan_sha256(table)
