"""Objects of DVC: those that a commit, a branch, a tag, a checkout, an experiment or a kept source names stay."""

import hashlib
import json
import os
import shutil
import threading
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from components.params import Limit
from components.running.locks import is_free
from flows import workspace as workspaces
from flows.housekeeping import objects
from flows.housekeeping.plan import removable
from flows.settings import lock_file

ALL_GO = {kind: Limit(keep=0, days=0) for kind in ("workspaces", "experiments", "sources", "cache", "remote")}
KEY = "0123456789ab"


def store(home: Path, text: str, folder: str = ".dvc/cache") -> str:
    """An object in the cache or in the remote; returns its hash."""
    md5 = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() + (".dir" if text.startswith("[") else "")
    path = home / folder / "files" / "md5" / md5[:2] / md5[2:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return md5


def lock(*hashes: str) -> str:
    """A dvc.lock that names outputs."""
    outs = "".join(f"    - path: data/{number}\n      md5: {md5}\n" for number, md5 in enumerate(hashes))
    return f"schema: '2.0'\nstages:\n  make:\n    cmd: make\n    outs:\n{outs}"


def left(home: Path, folder: str = ".dvc/cache") -> set[str]:
    base = home / folder / "files" / "md5"
    return {path.parent.name + path.name for path in base.glob("*/*")}


def sweep(home: Path, limits: dict[str, Limit] = ALL_GO) -> None:
    for entry in removable(objects.entries(home), limits, time.time()):
        if entry.kind in ("cache", "remote", "sources", "experiments"):
            objects.remove(home, entry)


def commit(toy, home: Path, text: str) -> None:
    (home / "dvc.lock").write_text(text)
    toy.git(home, "add", "dvc.lock")
    toy.git(home, "commit", "--quiet", "--message", "results")


@pytest.fixture
def remote(project) -> Path:
    config = project / ".dvc" / "config"
    config.write_text(config.read_text() + "['remote \"local\"']\n    url = ../.phiforge/dvc-remote\n")
    return project / ".phiforge" / "dvc-remote"


def test_what_git_and_the_checkouts_name_stays(project, toy):
    member, wanted = store(project, "member"), {}
    for name in ("earlier", "branch", "tag", "committed", "staged", "file", "dvc file", "study", "stash", "worktree"):
        wanted[name] = store(project, name)
    wanted["folder"] = store(project, json.dumps([{"md5": member, "relpath": "a"}]))
    unnamed = store(project, "unnamed")
    commit(toy, project, lock(wanted["earlier"], wanted["folder"]))
    toy.git(project, "checkout", "--quiet", "-b", "other")
    commit(toy, project, lock(wanted["branch"]))
    commit(toy, project, lock())
    toy.git(project, "checkout", "--quiet", "--detach", "main")
    commit(toy, project, lock(wanted["tag"]))
    toy.git(project, "tag", "v1")
    toy.git(project, "checkout", "--quiet", "main")
    commit(toy, project, lock(wanted["committed"]))
    (project / "dvc.lock").write_text(lock(wanted["stash"]))
    toy.git(project, "stash", "--quiet")
    toy.git(project, "worktree", "add", "--quiet", "--detach", str(project.parent / "own"), "main")
    (project.parent / "own" / "dvc.lock").write_text(lock(wanted["worktree"]))
    (project / "dvc.lock").write_text(lock(wanted["staged"]))
    toy.git(project, "add", "dvc.lock")
    (project / "dvc.lock").write_text(lock(wanted["file"]))
    (project / "photos.dvc").write_text(f"outs:\n- md5: {wanted['dvc file']}\n  path: photos\n")
    (project / "studies" / "growth").mkdir(parents=True)
    (project / "studies" / "growth" / "dvc.lock").write_text(lock(wanted["study"]))
    sweep(project)
    assert left(project) == {*wanted.values(), member}
    assert unnamed not in left(project)


@pytest.mark.parametrize("state", ["untracked", "staged", "committed"])
def test_what_a_file_with_an_odd_name_names_stays(project, toy, state):
    """Git quotes some of these names in what it prints, and others break Python's lines."""
    names = ['letters "old".dvc', "a\\b.dvc", "c\td.dvc", "Bücher.dvc", " e\u2028f.dvc", "g\x85h.dvc", "i\udcff.dvc"]
    wanted = {name: store(project, ascii(name)) for name in names}
    for name, md5 in wanted.items():
        (project / name).write_bytes(f"\xff outs:\n- md5: {md5}\n  path: data\n".encode("latin-1"))
    spoilt = project / ".dvc" / "cache" / "files" / "md5" / "ab" / f"{'c' * 30}.dir"
    spoilt.parent.mkdir(exist_ok=True)
    spoilt.write_bytes(b"\xff")
    if state != "untracked":
        toy.git(project, "add", "--all", ":(glob)*.dvc")
    if state == "staged":  # only there
        for name in names:
            (project / name).unlink()
    if state == "committed":
        toy.git(project, "commit", "--quiet", "--message", "data")
    sweep(project)
    assert left(project) == set(wanted.values())


def test_an_experiment_keeps_its_results_and_loses_them_when_it_goes(project, toy):
    of_run, of_person = store(project, "of a run"), store(project, "of a person")
    head = toy.git(project, "rev-parse", "HEAD").strip()
    for name, md5 in ((f"run-{KEY}", of_run), ("by-hand", of_person)):
        commit(toy, project, lock(md5))
        toy.git(project, "update-ref", f"refs/exps/{head[:2]}/{head[2:]}/{name}", "HEAD")
        toy.git(project, "reset", "--quiet", "--hard", head)
    sweep(project, ALL_GO | {"experiments": Limit(keep=1, days=0)})
    assert left(project) == {of_run, of_person}
    sweep(project)
    assert left(project) == {of_person}
    assert "by-hand" in toy.git(project, "for-each-ref")
    assert KEY not in toy.git(project, "for-each-ref")


def test_a_workspace_keeps_its_results_and_its_experiment(project, toy):
    with workspaces.workspace(project, {"seed": 2}, None, str) as place:
        pass
    md5 = store(project, "of the workspace")
    (place.root / "dvc.lock").write_text(lock(md5))
    toy.git(project, "update-ref", f"refs/exps/aa/{'a' * 38}/{place.experiment}", "HEAD")
    from flows.housekeeping import files

    def going(keep: int) -> set[str]:
        entries = [*files.entries(project), *objects.entries(project)]
        return {e.kind for e in removable(entries, ALL_GO | {"workspaces": Limit(keep=keep, days=0)}, time.time())}

    assert going(keep=1) == set()
    assert going(keep=0) == {"workspaces", "experiments", "checkouts", "cache"}


def test_what_an_experiment_in_a_temporary_clone_names_stays(project, toy):
    """Of `dvc exp run --temp` and `dvc queue`."""
    place, wanted = project / ".dvc" / "tmp" / "exps" / "standalone" / "tmp1", store(project, "wanted")
    place.parent.mkdir(parents=True)
    toy.git(project, "clone", "--quiet", str(project), str(place))
    (place / "dvc.lock").write_text(lock(wanted))
    sweep(project)
    assert left(project) == {wanted}
    with objects.nothing_is_saved(project):
        assert not is_free(lock_file(project, "promotion"))  # no model is registered meanwhile


def test_a_reference_that_vanishes_while_it_is_read_does_not_matter(project, toy, monkeypatch):
    """As DVC's own, which it makes for a moment while it saves an experiment."""
    wanted, real = store(project, "wanted"), objects.git
    commit(toy, project, lock(wanted))
    toy.git(project, "update-ref", "refs/exps/stash", "HEAD")

    def git_and_then(home, *arguments, **variables):
        found = real(home, *arguments, **variables)
        if arguments[0] == "for-each-ref":
            real(home, "update-ref", "-d", "refs/exps/stash")
        return found

    monkeypatch.setattr(objects, "git", git_and_then)
    sweep(project)
    assert left(project) == {wanted}


def test_the_local_remote_is_kept_like_the_cache(project, remote, toy):
    wanted = store(project, "wanted", ".phiforge/dvc-remote")
    store(project, "unnamed", ".phiforge/dvc-remote")
    folder = store(project, json.dumps([{"md5": wanted}]), ".phiforge/dvc-remote")
    commit(toy, project, lock(folder))
    sweep(project)
    assert left(project, ".phiforge/dvc-remote") == {wanted, folder}


def test_a_cache_or_remote_that_others_may_share_is_left_alone(project, toy, tmp_path):
    config = project / ".dvc" / "config"
    config.write_text(
        f"{config.read_text()}[cache]\n    dir = {tmp_path / 'shared'}\n['remote \"nas\"']\n    url = {tmp_path / 'nas'}\n"
        "['remote \"cloud\"']\n    url = s3://bucket/path\n"
    )
    assert list(objects.stores(project)) == []


def test_young_objects_stay_with_what_they_list(project):
    member = store(project, "member")
    folder = store(project, json.dumps([{"md5": member}]))
    store(project, "old")
    for path in (project / ".dvc" / "cache" / "files" / "md5").glob("*/*"):
        if path.suffix != ".dir":
            os.utime(path, (0, 0))
    sweep(project, ALL_GO | {"cache": Limit(keep=0, days=14)})
    assert left(project) == {member, folder}


def test_results_of_stages_that_can_restore_nothing_are_known(project):
    here, gone, going = store(project, "here"), "f" * 32, store(project, "going")
    for number, md5 in enumerate((here, gone, going)):
        path = project / ".dvc" / "cache" / "runs" / "ab" / "abcd" / f"entry{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"cmd: make\ndeps:\n- path: step.py\n  md5: {'1' * 32}\nouts:\n- path: out\n  md5: {md5}\n")
    leaving = [entry for entry in objects.entries(project) if entry.key == f"object:{going}"]
    assert sorted(path.name for _, path in objects.stale_stage_runs(project, leaving)) == ["entry1", "entry2"]


def test_what_no_run_made_is_left_alone_and_named(project, toy):
    """References of people, of other tools, and of broken ones; folders where DVC puts files."""
    store(project, "unnamed")
    named = store(project, "named by a tree")
    commit(toy, project, lock(named))
    tree, blob = (
        toy.git(project, "rev-parse", "HEAD^{tree}").strip(),
        toy.git(project, "rev-parse", "HEAD:dvc.lock").strip(),
    )
    commit(toy, project, lock())
    branch = toy.git(project, "branch", "--show-current").strip()
    odd = {f"refs/phiforge/{tree}": tree, "refs/phiforge/b10b": blob, "refs/phiforge/notes": "HEAD"}
    odd[f"refs/exps/{'0' * 2}/{'0' * 38}/run-{KEY}"] = tree
    for name, target in odd.items():
        toy.git(project, "update-ref", name, target)
    toy.git(project, "symbolic-ref", "refs/phiforge/abc", f"refs/heads/{branch}")
    toy.git(project, "update-ref", "refs/heads/two\u2028lines", "HEAD")
    toy.git(project, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},library.dvc")
    cache = project / ".dvc" / "cache"
    folders = [cache / "runs" / "ab" / "abc" / "abcd", cache / "files" / "md5" / "00" / ("0" * 30 + ".dir")]
    for folder in folders:
        folder.mkdir(parents=True)
    listed = list(objects.entries(project))
    said = " ".join(entry.name for entry in listed if entry.kind == objects.ODD)
    assert all(str(name) in said for name in (*odd, "refs/phiforge/abc", *folders))
    sweep(project)
    assert objects.stale_stage_runs(project, []) == []
    assert all(folder.is_dir() for folder in folders)
    assert left(project) == {named, "0" * 32 + ".dir"}
    kept = toy.git(project, "for-each-ref", "--format=%(refname)").splitlines()
    assert {*odd, "refs/phiforge/abc", f"refs/heads/{branch}"} <= set(kept)


def test_a_save_waits_and_a_workspace_is_not_made_meanwhile(project):
    from flows.graph import repository

    order = []

    def save() -> None:
        with repository(project) as repo, repo.lock:
            order.append("saved")

    def enter() -> None:
        with workspaces.workspace(project, {"seed": 2}, None, str):
            order.append("made")

    inside, done = threading.Event(), threading.Event()

    def hold() -> None:
        # In a process of its own in earnest: DVC's Repo is for one thread at a time in this one.
        with objects.nothing_is_saved(project):
            inside.set()
            done.wait(10)
            order.append("swept")

    threads = [threading.Thread(target=hold)]
    threads[0].start()
    assert inside.wait(20)
    threads += [threading.Thread(target=work) for work in (save, enter)]
    for thread in threads[1:]:
        thread.start()
    time.sleep(0.5)
    assert order == []
    done.set()
    for thread in threads:
        thread.join(20)
    assert order[0] == "swept"
    assert sorted(order[1:]) == ["made", "saved"]


names = st.sampled_from([f"object {number}" for number in range(8)])
places = st.sampled_from(["main", "branch", "tag", "worktree", "run", "person", "source", "file", "nowhere"])


@examples(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(places, st.frozensets(names, max_size=3)), max_size=8), st.integers(0, 2))
def test_nothing_that_is_named_ever_goes(tmp_path_factory, toy, named, keep):
    """Random commits, branches, tags, experiments and sources, each with a dvc.lock that names some of eight objects."""
    home = toy.make_project(tmp_path_factory.mktemp("random") / "project")
    hashes = {name: store(home, name) for name in (f"object {number}" for number in range(8))}
    needed, head = set(), toy.git(home, "rev-parse", "HEAD").strip()
    for number, (place, members) in enumerate(named):
        text = lock(*sorted(hashes[name] for name in members))
        if place == "file":
            (home / "dvc.lock").write_text(text)
            continue
        toy.git(home, "checkout", "--quiet", "--force", "--detach" if place != "main" else "main")
        commit(toy, home, f"{text}# {number}\n")
        if place == "branch":
            toy.git(home, "branch", f"branch{number}")
        elif place == "tag":
            toy.git(home, "tag", f"tag{number}")
        elif place in ("run", "person"):
            name = f"run-{number:012x}" if place == "run" else f"by-hand-{number}"
            toy.git(home, "update-ref", f"refs/exps/{head[:2]}/{head[2:]}/{name}", "HEAD")
        elif place == "source":
            toy.git(home, "update-ref", f"refs/phiforge/{number:040x}", "HEAD")
        toy.git(home, "checkout", "--quiet", "--force", "main")
    limits = ALL_GO | {"experiments": Limit(keep=keep, days=0), "sources": Limit(keep=keep, days=0)}
    sweep(home, limits)
    for reference in toy.git(home, "for-each-ref", "--format=%(refname)").split():
        for revision in toy.git(home, "rev-list", reference).split():
            if reference.startswith(("refs/exps/", "refs/phiforge/")):
                revision = reference
            listed = toy.git(home, "ls-tree", "--name-only", revision).split()
            if "dvc.lock" in listed:
                needed |= {md5 for md5 in hashes.values() if md5 in toy.git(home, "show", f"{revision}:dvc.lock")}
    if (home / "dvc.lock").exists():
        needed |= {md5 for md5 in hashes.values() if md5 in (home / "dvc.lock").read_text()}
    assert left(home) == needed
    shutil.rmtree(home)
