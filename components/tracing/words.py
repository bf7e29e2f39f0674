"""Traces as lines for a terminal."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from components.running.contents import counted

SHOWN_STEPS = 8
SHOWN_GROUPS = 12
SHOWN_CHECKPOINTS = 12


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """The lines of a trace: backward, forward or of a text's spans."""
    if "spans" in found:
        yield from _spans(found)
    elif "tokens" in found:
        yield from _forward(found)
    else:
        yield from _backward(found)
    for reason in found.get("missing", []):
        yield f"missing      {reason}"


def _backward(found: Mapping[str, Any]) -> Iterator[str]:
    start = found["start"]
    where = f", {start['path']} of the {start['state']}" if start.get("state") else ""
    yield f"{start['kind']} {start['given']}{where}"
    if version := found.get("version"):
        names = ", ".join(version["aliases"]) or "no alias"
        yield f"version      {version['address']} ({names}), weights {version['weights_sha256'][:12]}"
        yield from (
            f"decision     {one.get('at', '')[:19]} {one.get('action')} by {one.get('by')}: {one.get('reason')}"
            for one in version["decisions"]
        )
    if question := found.get("question"):
        yield from _question(question)
    if lineage := found.get("lineage"):
        yield f"lineage      {_facts(lineage)}"
    yield from _origin(found)
    for one in found.get("checkpoints", []):
        yield from _checkpoint(one)
    if found.get("stages"):
        yield ""
        yield "stages, first to last"
        yield from (_stage(one) for one in found["stages"])
    if found.get("gates"):
        yield "gates        " + "; ".join(map(_gate, found["gates"]))
    if found.get("parameters"):
        yield f"parameters   {len(found['parameters'])} values (--json lists them)"
    yield from _groups(found.get("documents") or {})


def _question(question: Mapping[str, Any]) -> Iterator[str]:
    yield f"question     {question.get('task')} ({question.get('category')}): {question.get('question')}"
    choices = question.get("choices") or []
    if choices and isinstance(question.get("answer"), int):
        yield f"answer       {choices[question['answer']]} of {', '.join(map(str, choices))}"
    for one in question["answers"]:
        chosen = choices[one["predicted"]] if choices and isinstance(one.get("predicted"), int) else "?"
        verdict = "right" if one["correct"] else f"wrong: {chosen}"
        yield f"  {one['scores'].removeprefix('reports/scores/'):<12} {verdict:<28} {one['state']}"


def _origin(found: Mapping[str, Any]) -> Iterator[str]:
    if run := found.get("run"):
        by = run["started_by"] or "not recorded"
        yield f"run          {run['name']}, {run['started'] or 'unknown time'}, {run['status']}, started by: {by}"
        yield f"             MLflow {run['pipeline_run']}" + (f", stage {run['mlflow_run']}" if run["stage"] else "")
        if run["flow_run"]:
            yield f"             Prefect {run['flow_run_name']} {run['flow_run']}"
        if given := {key: value for key, value in run["parameters"].items() if value not in (None, {}, [])}:
            overrides = given.pop("overrides", {})
            words = [f"{name} {value}" for name, value in given.items()]
            words += [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in overrides.items()]
            yield f"             with {', '.join(words)}"
    if source := found.get("source"):
        how = source.get("changes") or source.get("how") or ""
        yield f"commit       {source.get('commit', 'unknown')} ({how})"
        if source.get("tree"):
            yield f"             tree {source['tree']}" + (f", kept as {source['ref']}" if source.get("ref") else "")


def _checkpoint(one: Mapping[str, Any]) -> Iterator[str]:
    names = [*one["versions"], *one["aliases"]]
    name = f" = {', '.join(names)}" if names else ""
    weights = f", weights {one['weights_sha256'][:12]}" if one["weights_sha256"] else ""
    yield f"checkpoint   {one['path']}{name}{weights}"
    if lineage := one.get("lineage"):
        yield f"             {_facts({key: lineage[key] for key in ('step', 'operator', 'seed', 'steps', 'training_tokens') if key in lineage})}"
    yield from _scores(one["scores"])


def _scores(scores: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for name, figures in scores.items():
        if "accuracy" in figures:
            yield (
                f"             {name}: accuracy {figures['accuracy']:.3f} \u00b1 {figures.get('stderr') or 0:.3f} "
                f"of {figures.get('examples', 0):,} (chance {figures.get('chance') or 0:.3f})"
            )


def _stage(one: Mapping[str, Any]) -> str:
    read = ", ".join(f"{path} {md5[:8]}" for path, md5 in one["inputs"].items()) or "the sources"
    wrote = ", ".join(f"{path} {md5[:8]}" for path, md5 in one["outputs"].items() if not path.startswith("reports/"))
    return f"  {one['stage']:<20} {read}" + (f" -> {wrote}" if wrote else "")


def _gate(one: Mapping[str, Any]) -> str:
    if "passed" not in one:
        return f"{one['stage']} unknown"
    bad = one.get("failed", 0) + one.get("error", 0)
    return f"{one['stage']} {one['passed']} passed" + (f", {bad} failed" if bad else "")


def _groups(documents: Mapping[str, Any]) -> Iterator[str]:
    if not documents.get("groups"):
        return
    yield ""
    links = "; ".join(
        f"{link['via']} {link['tokens']:,} tokens in {link['steps']:,} steps" for link in documents["links"]
    )
    yield f"documents    {documents['documents']:,} read by {documents['of']} ({links})"
    groups = documents["groups"]
    for one in groups[:SHOWN_GROUPS]:
        yield (
            f"  {one['documents']:>8,} {one['kind']:<9} {one['tokens_read']:>11,} tokens read  {one['source'] or '?'}, "
            f"licence {one['licence'] or '?'}, by {one['created_by'] or '?'}"
        )
    if rest := groups[SHOWN_GROUPS:]:
        yield f"  {sum(one['documents'] for one in rest):>8,} in {len(rest)} further groups (--json lists them)"
    if documents["shown"]:
        yield "most read"
    for one in documents["shown"]:
        yield from _document(one)


def _forward(found: Mapping[str, Any]) -> Iterator[str]:
    start, documents = found["start"], found["documents"]
    yield f"{start['kind']} {start['given']}: {counted(documents['count'], 'document')}"
    for one in documents["shown"]:
        yield from _document(one)
    for one in documents["dropped"]:
        yield f"  {one['id'][:12]} dropped in {one['stage']} by {one['rule']}: {one['detail']}"
    for one in found["tokens"]:
        role = "training" if one["split"] == "train" else "held-out"
        yield (
            f"{role} tokens {one['fingerprint'][:12]} ({one['state']}): {counted(one['documents'], 'document')} in "
            f"{counted(one['times'], 'place')}, {counted(one['tokens'], 'token')}"
        )
    if not found["checkpoints"]:
        yield "no checkpoint has read them"
    yield from _readers(found["checkpoints"], "" if documents["count"] == 1 else ", on average")


def _document(one: Mapping[str, Any]) -> Iterator[str]:
    yield f"  {one['id']} {one['kind']} from {one['source']}, licence {one['license']}, by {one['created_by']}"
    made = "".join(f"; {key} {one[key]}" for key in ("raw_id", "seed_document") if one.get(key))
    yield f"    {one['stage']}: {one['why']}{made}"
    if teacher := one.get("teacher"):
        yield f"    call: {_facts({key: teacher[key] for key in ('model', 'template', 'prompt_sha256', 'request_sha256') if key in teacher})}"


def _readers(checkpoints: list[Mapping[str, Any]], average: str) -> Iterator[str]:
    for one in checkpoints[:SHOWN_CHECKPOINTS]:
        names = [*one["versions"], *one["aliases"]]
        name = f" = {', '.join(names)}" if names else ""
        yield f"{one['path']}{name} of the {', '.join(one['states'][:3])}: read {_times(one['times'])}{average}"
        for link in one["read"]:
            yield (
                f"    {link['via']}: {link['tokens']:,} tokens, {_times(link['times'])}, at {_steps(link['steps'])} "
                f"of {link['of_steps']:,} steps"
            )
        yield from _scores(one["scores"])
    if rest := checkpoints[SHOWN_CHECKPOINTS:]:
        yield f"and {len(rest)} further checkpoints (--json lists them)"


def _times(count: float) -> str:
    return "once" if count == 1 else f"{count:,.12g} times"


def _steps(steps: list[int]) -> str:
    if len(steps) <= SHOWN_STEPS:
        return ", ".join(map(str, steps))
    return f"{len(steps):,} from {steps[0]:,} to {steps[-1]:,}"


def _facts(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items())


def _spans(found: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"{found['covered']:,} of {found['tokens']:,} tokens stand in spans of {found['least']} tokens or more of the "
        f"{found['corpus_tokens']:,} training tokens of {found['model']}, {found['state']}"
    )
    for one in found["spans"]:
        yield ""
        yield f"{one['length']} tokens, {_times(one['count'])}: {one['text']!r}"
        for document in one["documents"]:
            yield f"    {document['id']} {document['kind']} from {document['source']}, licence {document['license']}"
