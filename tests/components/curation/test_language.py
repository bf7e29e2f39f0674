"""Which texts are judged by their language, and which languages may be named."""

import pytest
from pydantic import ValidationError

from components.curation.language import check_languages, verdicts
from components.documents import KINDS
from components.errors import StepError
from components.params import LanguageParams
from components.text.languages import identify

FRENCH = "L'eau de la rivière est froide au printemps, car elle vient de la neige des montagnes, où elle fond."
GERMAN = "Das Wasser des Flusses ist im Frühling kalt, weil es vom Schnee der Berge kommt, wo er langsam schmilzt."


def test_code_is_never_judged_nor_what_is_short_or_of_another_kind() -> None:
    texts = [FRENCH] * len(KINDS)
    found = verdicts(texts, KINDS, LanguageParams(kinds=["web", "prose", "textbook"]))
    assert {kind: verdict and verdict[0] for kind, verdict in zip(KINDS, found, strict=True)} == {
        "web": "fr", "prose": "fr", "textbook": "fr", "code": None, "exercise": None,
    }  # fmt: skip
    assert verdicts(["kurz", GERMAN], ["web", "web"], LanguageParams()) == [None, identify([GERMAN])[0]]
    with pytest.raises(ValidationError, match="kinds"):
        LanguageParams(kinds=["code"])


def test_unknown_and_senseless_languages_are_refused() -> None:
    check_languages(LanguageParams(keep=["en", "de"]))
    with pytest.raises(StepError, match=r"curation\.language\.keep names xq, which py3langid does not know"):
        check_languages(LanguageParams(keep=["en", "xq"]))
    with pytest.raises(ValidationError, match="every text would be in it"):
        LanguageParams(among=["en"])
    with pytest.raises(ValidationError, match="among lacks en"):
        LanguageParams(keep=["en"], among=["de", "fr"])
