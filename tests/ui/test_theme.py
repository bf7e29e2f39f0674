"""Contrast of the panel's texts (WCAG 2.2 AA), from its own style sheet and theme."""

import re
import tomllib
from pathlib import Path

import pytest

from ui import theme

Colour = tuple[float, float, float]
STYLE = (theme.ASSETS / "style.css").read_text(encoding="utf-8")
TONES = dict(re.findall(r"--pf-(good|live|bad|warn|cached|quiet|accent): (#[0-9a-f]{6})", STYLE))
STRONG = 0.62  # of a tone in its text; the rest is the text's colour
MUTE = 0.74  # of the text's colour in muted text


def rgb(text: str) -> Colour:
    return tuple(int(text[i : i + 2], 16) / 255 for i in (1, 3, 5))  # type: ignore[return-value]


def mix(one: Colour, other: Colour, share: float) -> Colour:
    return tuple(share * a + (1 - share) * b for a, b in zip(one, other, strict=True))  # type: ignore[return-value]


def light(colour: Colour) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: Colour, other: Colour) -> float:
    bright, dark = sorted((light(one), light(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


@pytest.fixture(params=["light", "dark"])
def colours(request: pytest.FixtureRequest, root: Path) -> dict[str, Colour]:
    found = tomllib.loads((root / ".streamlit" / "config.toml").read_text())["theme"][request.param]
    return {name: rgb(value) for name, value in found.items() if str(value).startswith("#")}


def test_white_on_black_is_the_most() -> None:
    assert contrast(rgb("#ffffff"), rgb("#000000")) == pytest.approx(21)


def test_every_text_can_be_read(colours: dict[str, Colour]) -> None:
    text, ground = colours["textColor"], colours["backgroundColor"]
    assert len(TONES) == 7
    assert STYLE.count(f"var(--tone) {STRONG:.0%}") == 2
    assert f"--pf-mute: color-mix(in srgb, currentColor {MUTE:.0%}, transparent)" in STYLE
    assert contrast(text, ground) >= 4.5
    assert contrast(mix(text, ground, MUTE), ground) >= 4.5
    assert contrast(colours["linkColor"], ground) >= 4.5
    assert contrast(rgb("#ffffff"), colours["primaryColor"]) >= 4.5, "the text of a button"
    for tone in map(rgb, TONES.values()):
        assert contrast(mix(tone, text, STRONG), mix(tone, ground, 0.12)) >= 4.5, "the text of a badge"
        assert contrast(tone, ground) >= 3, "a mark"


def test_every_line_of_a_chart_can_be_seen(colours: dict[str, Colour]) -> None:
    for colour in theme.PALETTE:
        assert contrast(rgb(colour), colours["backgroundColor"]) >= 3
