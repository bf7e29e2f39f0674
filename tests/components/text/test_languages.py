"""The language of a text: found without a download, with a probability."""

# ruff: noqa: RUF001 - the texts are of several scripts
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import StepError
from components.text import languages
from components.text.languages import UNKNOWN, WINDOW, identify, language_model

TEXTS = {
    "en": "The water of the river is cold in spring, since it comes from the snow of the mountains, where it melts.",
    "de": "Das Wasser des Flusses ist im Frühling kalt, weil es vom Schnee der Berge kommt, wo er langsam schmilzt.",
    "fr": "L'eau de la rivière est froide au printemps, car elle vient de la neige des montagnes, où elle fond.",
    "ru": "Вода в реке весной холодная, потому что она приходит из снега гор, где он медленно тает каждый год.",
    "ja": "川の水は春には冷たい。なぜなら、山の雪がゆっくりと溶けて流れてくるからである。",
}


def test_each_language_is_found() -> None:
    found = identify(list(TEXTS.values()))
    assert [language for language, _ in found] == list(TEXTS)
    assert all(probability > 0.9 for _, probability in found)


@given(st.lists(st.text(max_size=300), max_size=4))
def test_a_probability_is_one_and_depends_on_its_text_alone(texts: list[str]) -> None:
    found = identify(texts)
    assert all(0 <= probability <= 1 for _, probability in found)
    assert found == [identify([text])[0] for text in texts]


@pytest.mark.parametrize("text", ["", " \n\t", "a"])
def test_nothing_to_go_by_is_said_so(text: str) -> None:
    assert identify([text]) == [(UNKNOWN, 0.0)]


def test_a_long_text_is_looked_at_throughout() -> None:
    menu = "Home News Sport Weather Shop Help About us Contact Log in Search. "
    text = (menu * (2 * WINDOW // len(menu)))[: 2 * WINDOW] + TEXTS["fr"] * 200
    assert identify([text])[0][0] == "fr"


def test_a_choice_among_few() -> None:
    assert identify([TEXTS["de"]], ["en", "fr", "de"])[0][0] == "de"
    assert identify([TEXTS["de"]], ["en", "ja"])[0][0] == "en"
    assert identify([TEXTS["de"]])[0][0] == "de"  # the choice before has left no trace
    with pytest.raises(StepError, match=r"curation\.language\.among.*xx"):
        identify(["text"], ["en", "xx"])


def test_the_model_is_read_without_pickle(monkeypatch: pytest.MonkeyPatch) -> None:
    import pickle

    def refuse(*_: object, **__: object) -> None:
        pytest.fail("a pickle was read")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    language_model.cache_clear()
    assert identify([TEXTS["en"]])[0][0] == "en"


@given(st.lists(st.text(max_size=2_000), max_size=6), st.sampled_from([1, 8]))
def test_languages_and_probabilities_are_those_of_py3langid(texts: list[str], earlier: int) -> None:
    texts = [*texts, *TEXTS.values(), " ".join(TEXTS.values()) * 20, TEXTS["en"].upper(), "\ud800 lone"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(languages, "_EARLIER", earlier)  # one byte is too few, so all is read again
        for among in ((), ("de", "en", "sr")):
            model = language_model(among)
            wanted = [model.classify(languages.excerpt(text)) for text in texts]
            found = identify(texts, among)
            assert [
                (language, round(probability, languages.DIGITS)) if found[place][0] != UNKNOWN else (UNKNOWN, 0.0)
                for place, (language, probability) in enumerate(wanted)
            ] == found
