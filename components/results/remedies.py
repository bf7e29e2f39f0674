"""Advice about documents that curation dropped: the rules that dropped most, and the parameter to set for each.

The rules of a ledger are named after parameters of section `curation`, or belong to one (REMEDIES).
"""

import re
from collections import Counter
from pathlib import Path

from components.documents import read_ledger
from components.params import known_keys

REMEDIES = {  # the parameter to set, by rule or by the beginning of its name
    "language_probability": "to keep them: --set curation.language.min_probability=0",
    "educational_value": "to keep them: --set curation.education.min_value={}",
    "near_duplicate": "to keep them: --set curation.duplicates.thresholds={}",
    "contained": "to keep them: --set curation.duplicates.containment=0",
    "repeated_passages": "to keep them: --set curation.passages.kinds=[]",
    "url_lists": "to keep them: --set curation.url_lists=''",
    "exact_duplicate": "the same text is kept once",
    "contaminated": "to keep them: --set curation.decontamination.action=report",
}
LANGUAGE = re.compile(r"^language (\w+)")  # beginning of the ledger's sentence on a language
NAMED = 3  # rules, most frequent first


def causes(ledger: Path) -> str:
    """One sentence with the rules that dropped most documents of a ledger and parameters to set; empty if none were dropped.

    Raises:
        StepError: the file is not a ledger.
    """
    rules: Counter[str] = Counter()
    languages: Counter[str] = Counter()
    for drop in read_ledger(ledger):
        rules[drop.rule] += 1
        if drop.rule == "language" and (found := LANGUAGE.match(drop.detail)):
            languages[found[1]] += 1
    parts = [f"{count:,} by {rule} ({_remedy(rule, languages)})" for rule, count in rules.most_common(NAMED)]
    if len(rules) > NAMED:
        parts.append(f"{sum(rules.values()) - sum(count for _, count in rules.most_common(NAMED)):,} by other rules")
    return f"documents dropped: {sum(rules.values()):,}, of them {', '.join(parts)}" if parts else ""


def _remedy(rule: str, languages: Counter[str]) -> str:
    """The parameter of a rule and, if there is one for all documents, a value that keeps them."""
    if rule == "language":
        names = [code for code, _ in languages.most_common(NAMED)]
        return (
            f"not in a language to keep; to keep {', '.join(names)}: --set curation.language.keep=[{', '.join(names)}]"
        )
    for name, remedy in REMEDIES.items():
        if rule.startswith(name):
            return remedy
    keys = [key for key in known_keys() if key.startswith("curation.") and key.endswith(f".{rule}")]
    return f"to loosen it: --set {min(keys, key=len)}=VALUE" if keys else f"see section curation, {rule}"
