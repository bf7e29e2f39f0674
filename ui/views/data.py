"""Data: from raw documents to tokens by source and rule, the documents themselves, and why one was dropped."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from flows.client.corpus import CURATED, DROPPED, TEXTBOOKS, Corpus, Found
from ui import banner, parts, reads
from ui.text import big, clean, html, plain

FUNNEL, THRESHOLD, BROWSE, CHECKS = "Funnel", "Threshold", "Documents", "Contamination and licences"
STEPS = ("language", "rules", "duplicates", "decontamination", "educational value")
SETS = {CURATED: "Curated", TEXTBOOKS: "Textbooks and exercises", DROPPED: "Dropped"}
BINS = 2  # of the histogram in a row of its table
ORIGINS = 20  # rows of the table by source
LONGEST = 20_000  # characters of a document to show
VALUES = (0.0, 5.0)  # range of the educational value


def choose(known: Sequence[Corpus]) -> Corpus:
    """The corpus of the address; at first the latest."""
    by_key = {one.key or "main": one for one in known}
    chosen = st.selectbox(
        "Corpus", list(by_key), format_func=lambda key: "Main folder" if key == "main" else f"Workspace {clean(key, 20)}",
        key="of", width=260, bind="query-params",
    )  # fmt: skip
    return by_key[chosen]


def share(part: float, whole: float) -> str:
    return f"{part / whole:.1%}" if whole else "-"


def flow_table(flows: Mapping[str, Mapping[str, Any]], name: str) -> None:
    """Documents that came, that each step dropped, and that stayed; tokens that stayed. Steps that dropped none are left out."""
    steps = [step for step in STEPS if any(flow["dropped"].get(step, [0])[0] for flow in flows.values())]
    rows = []
    for title, flow in flows.items():
        came, kept = flow["in"], flow["kept"]
        dropped = [f"-{count:,}" if (count := flow["dropped"].get(step, [0])[0]) else "-" for step in steps]
        figures = [f"<b>{kept[0]:,}</b>", share(kept[0], came[0]), html(big(kept[2]))]
        rows.append([html(title, 80), f"{came[0]:,}", *dropped, *figures])
    parts.table([name, "read", *steps, "kept", "share", "tokens"], rows, "pf-numbers")


def wide(part: float, label: str) -> str:
    """A bar of a table."""
    return f'<div style="min-width:min(16rem,22vw)">{parts.bar(part, label)}</div>'


def funnel(report: Mapping[str, Any]) -> None:
    """From raw to kept by kind, rule and source."""
    parts.label("By kind")
    flow_table(report["flow"], "Kind")
    dropped = report["documents"]["dropped"]
    if dropped:
        parts.label("By rule")
        most = max(dropped.values())
        rows = [
            [html(rule, 60), f"{count:,}", wide(count / most, f"dropped by {rule}")]
            for rule, count in sorted(dropped.items(), key=lambda item: -item[1])
        ]
        parts.table(["Rule", "dropped", ""], rows, "pf-numbers")
    parts.label(f"By source · the largest {min(ORIGINS, len(report['origins']))} of {report['origins_in_all']:,}")
    flow_table(dict(list(report["origins"].items())[:ORIGINS]), "Source")
    st.caption("Documents; tokens are estimated from a sample.")


def threshold(report: Mapping[str, Any]) -> None:
    """What another least educational value would keep, from the histogram of the values."""
    values = {kind: found for kind, found in (report.get("values") or {}).items() if sum(found["counts"])}
    if not values:
        parts.empty(
            "No values", "This run has not scored documents: curation.education.enabled is off, or nothing came so far."
        )
        return
    kind = st.segmented_control(
        "Kind", list(values), default=next(iter(values)), key="kind", required=True, bind="query-params"
    )
    found = values[kind if kind in values else next(iter(values))]
    counts, now = found["counts"], float(found["threshold"] or 0.0)
    width = (VALUES[1] - VALUES[0]) / len(counts)
    least = st.slider(
        "Least educational value", *VALUES, now, width / 5, key=f"least-{kind}",
        help="The parameter curation.education.min_value. Moving it here changes nothing; the figures are interpolated.",
    )  # fmt: skip
    total, kept, before = sum(counts), above(counts, width, least), above(counts, width, now)
    parts.facts(
        [
            ("Scored", f"{total:,}"),
            (f"Kept at {least:.2f}", f"{kept:,.0f} ({share(kept, total)})"),
            (f"Kept now, at {now:.2f}", f"{before:,.0f} ({share(before, total)})"),
            ("Change", f"{kept - before:+,.0f}"),
        ]
    )
    rows = [sum(counts[place : place + BINS]) for place in range(0, len(counts), BINS)]
    parts.table(
        ["Value", "documents", ""],
        [
            [
                f"{place * BINS * width:.2f} to {(place + 1) * BINS * width:.2f}",
                parts.bold(f"{count:,}", (place + 1) * BINS * width > least),
                wide(count / max(rows), f"documents of value {place * BINS * width:.2f}"),
            ]
            for place, count in enumerate(rows)
        ],
        "pf-numbers",
    )
    beside(report, kind)


def above(counts: Sequence[int], width: float, least: float) -> float:
    """Documents of at least a value, when those of a bin are spread evenly over it."""
    return sum(count * min(max(((place + 1) * width - least) / width, 0.0), 1.0) for place, count in enumerate(counts))


def beside(report: Mapping[str, Any], kind: str) -> None:
    """Documents that the present threshold has dropped, as curation sampled them."""
    samples = (report.get("samples") or {}).get("educational_value") or {}
    shown = [one for side in samples.values() for one in side if one.get("kind", kind) == kind][:10]
    if shown:
        parts.label("Documents beside the threshold")
    for one in shown:
        value = one.get("value")
        with st.expander(plain(f"{value:.2f} · {one['source']}" if isinstance(value, float) else one["source"], 100)):
            st.code(clean(one.get("text", ""), LONGEST), language=None, wrap_lines=True)


def browse(corpus: Corpus, report: Mapping[str, Any]) -> None:
    """Find documents, and see one with the reason why it is here or is not."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        which = st.selectbox("Set", list(SETS), format_func=SETS.__getitem__, key="set", width=240, bind="query-params")
        rules = ["any rule", *sorted(report["documents"]["dropped"])]
        rule = st.selectbox("Rule", rules, key="rule", width=240, bind="query-params") if which == DROPPED else ""
        text = st.text_input(
            "Find", key="find", type="search", placeholder="Words of the text or its source", bind="query-params"
        )
    found = reads.documents(corpus, which, text, "" if rule == "any rule" else rule, corpus.changed)
    listing(found, which)
    if found.rows:
        detail(corpus, which, [str(row["id"]) for row in found.rows], {str(row["id"]): row for row in found.rows})


def listing(found: Found, which: str) -> None:
    if not found.rows:
        seen = "" if found.whole else f" in the first {found.looked_at:,} of {found.of:,}"
        parts.empty("Nothing found", f"No document has these words{seen}. Use fewer or other words.")
        return
    if which == DROPPED:
        rows = [
            [parts.mono(str(row["id"])), html(row["source"], 80), html(row["rule"], 40), html(row["detail"], 160)]
            for row in found.rows
        ]
        parts.table(["Document", "Source", "Rule", "Found"], rows)
    else:
        rows = [
            [parts.mono(str(row["id"])), html(row["source"], 80), html(row["kind"], 20), value_of(row), html(row["license"] or "-", 40), html(row["text"][:160], 160)]
            for row in found.rows
        ]  # fmt: skip
        parts.table(["Document", "Source", "Kind", "Value", "Licence", "Begins"], rows)
    if found.whole:
        st.caption(f"{len(found.rows):,} of {found.of:,} documents.")
    else:
        st.caption(f"The first {len(found.rows):,}; {found.looked_at:,} of {found.of:,} documents were looked at.")


def value_of(row: Mapping[str, Any]) -> str:
    value = row.get("educational_value")
    return "-" if value is None else f"{value:.2f}"


def detail(corpus: Corpus, which: str, ids: Sequence[str], rows: Mapping[str, Mapping[str, Any]]) -> None:
    """One document: its text, why, and where it went."""
    chosen = st.selectbox(
        "Show", ids, format_func=lambda one: clean(f"{one[:12]} · {rows[one]['source']}", 100), key="document", bind="query-params"
    )  # fmt: skip
    row = rows[chosen]
    if which == DROPPED:
        st.write(
            plain(f"Dropped by {row['rule']}: {row['detail']} (found {row['value']:g}, limit {row['threshold']:g}).")
        )
    whole = reads.text_of(corpus, which, chosen, corpus.changed)
    if whole is None:
        st.caption("Its raw text is not on this machine; `phiforge pull data/raw` gets it.")
    else:
        facts = [("Kind", html(whole["kind"], 20)), ("Licence", html(whole["license"] or "unknown", 60))]
        facts += [
            ("Made by", html(whole["created_by"], 60)),
            ("Value", value_of(whole)),
            ("Characters", f"{len(whole['text']):,}"),
        ]
        parts.facts(facts)
        parts.long_text(whole["text"], LONGEST)
    if st.button("Trace it", icon=":material/account_tree:", key=f"trace-{chosen}"):
        st.session_state["traced"] = chosen
    if st.session_state.get("traced") == chosen:
        st.code(reads.printed("flows.trace", chosen), language=None, wrap_lines=True)


def checks(corpus: Corpus, report: Mapping[str, Any]) -> None:
    """Overlap with benchmarks, calls of the teacher, redacted personal data, and licences."""
    found = report["decontamination"]
    parts.label("Contamination")
    if reason := found.get("reason"):
        st.write(plain(f"{reason[:1].upper()}{reason[1:]}."))
    else:
        st.write(f"{found['documents_hit']:,} of {found['documents']:,} documents held an item of a benchmark.")
    rows = [
        [html(name, 40), *(html(value, 20) for value in row.values() if isinstance(value, int | float))]
        for name, row in found.get("benchmarks", {}).items()
    ]
    if rows:
        first = next(iter(found["benchmarks"].values()))
        parts.table(
            [
                "Benchmark",
                *(html(key.replace("_", " "), 40) for key, value in first.items() if isinstance(value, int | float)),
            ],
            rows,
            "pf-numbers",
        )
    if missing := found.get("missing"):
        st.caption(plain(f"Not looked for, without their data: {', '.join(sorted(missing))}."))
    teacher(corpus)
    if redacted := report.get("redacted"):
        parts.label("Personal data replaced")
        parts.facts([(name, f"{count:,}") for name, count in redacted.items()])
    parts.label("Licences")
    parts.table(
        ["Licence", "documents read", "kept", "kept, MB"],
        [
            [html(name or "unknown", 60), f"{row[0]:,}", f"{row[2]:,}", f"{row[3] / 1e6:,.1f}"]
            for name, row in sorted(report["licenses"].items(), key=lambda item: -item[1][2])
        ],
        "pf-numbers",
    )


def teacher(corpus: Corpus) -> None:
    """What the teacher of the textbooks was asked, and what that cost."""
    parts.label("Teacher")
    found = corpus.teacher
    calls = [(name.replace("_", " "), f"{value:,}") for name, value in found.items() if isinstance(value, int | float)]
    parts.facts([("Teacher", html(found.get("kind", "none"), 40)), *calls])


def page() -> None:
    parts.heading("Data", "What was read, what was dropped and why, and what the models learned from.")
    with banner.shielded("The data"):
        known = reads.corpora()
        if not known:
            parts.empty("No data yet", "A run writes it when it curates. Start one on New run.")
            return
        corpus = choose(known)
        report = reads.curation(corpus, corpus.changed)
        documents = report["documents"]
        parts.facts(
            [
                ("Read", f"{documents['documents_in']:,}"),
                ("Kept", f"{documents['documents_kept']:,} ({documents['keep_fraction']:.1%})"),
                ("Text kept", f"{documents['kept_megabytes']:,.1f} MB"),
                ("Languages", html(", ".join(report["languages"]["kept"]), 60)),
            ]
        )
        shown = st.segmented_control(
            "View", [FUNNEL, THRESHOLD, BROWSE, CHECKS], default=FUNNEL, key="show", label_visibility="collapsed",
            required=True, bind="query-params",
        )  # fmt: skip
        if shown == THRESHOLD:
            threshold(report)
        elif shown == BROWSE:
            browse(corpus, report)
        elif shown == CHECKS:
            checks(corpus, report)
        else:
            funnel(report)


page()
