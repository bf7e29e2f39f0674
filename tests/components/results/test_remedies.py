"""Each rule that drops documents has a remedy, and the remedy is a parameter that exists."""

import re
from pathlib import Path

import pytest

from components.curation.filters.web import c4_rules, fineweb_rules, gopher_rules
from components.documents import Drop, write_ledger
from components.params import Params, known_keys
from components.results.remedies import causes

RULES = [rule.name for rules in (gopher_rules, c4_rules, fineweb_rules) for rule in rules(Params().curation.web)]
RULES += ["min_chars", "max_chars", "min_alpha_fraction", "max_line_chars", "max_duplicate_line_fraction"]
RULES += ["code.parses", "code.min_entropy", "language", "language_probability", "educational_value", "near_duplicate"]
RULES += ["contaminated_ngram"]


@pytest.mark.parametrize("rule", RULES)
def test_the_remedy_of_every_rule_names_a_key(rule: str, tmp_path: Path) -> None:
    write_ledger(tmp_path / "ledger", [Drop("0" * 32, "curation", rule, 1, 2, "language de (0.9)", "s")])
    (key,) = re.findall(r"--set (curation\.[\w.]+)=", causes(tmp_path / "ledger"))
    assert any(known == key or known.startswith(f"{key}.") for known in known_keys())


def test_an_empty_ledger_has_no_causes(tmp_path: Path) -> None:
    write_ledger(tmp_path / "ledger", [])
    assert causes(tmp_path / "ledger") == ""
