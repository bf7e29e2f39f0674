"""Superscripts, subscripts and formulas: `10<sup>23</sup>` becomes 10^23 instead of 1023, and MathML becomes its TeX."""

import re

from components.ingestion.parsing.marks import Element, Marks, character_after, set_text, text_before

LONGEST_SCRIPT = 30  # maximum characters of a superscript or subscript; a longer one is a style
# Suffixes of ordinals, titles and trade marks, which are raised only for style.
_SUFFIX = re.compile(r"st|nd|rd|th|e|er|ers|re|res|ère|eme|ème|ième|o|os|a|as|tm|sm|mc|me|mme|lle|gr|[^\w\s+-]+", re.I)
_SIMPLE = re.compile(r"[+\-\u2212\u2013]?\d+|\w")
_CHEMICAL = re.compile(r"(?:^|[^a-z])[A-Z][a-z]?[)\]]?$|[)\]]$")
_SOLIDUS = ("/", "\u2044", "\u2215")
_TEX = re.compile(r"application/x-tex|TeX|latex", re.IGNORECASE)
_TEX_IMAGE = re.compile(r"\b(?:latex|tex|math|mwe-math-fallback-image-\w+)\b")
_RENDERED = re.compile(r"katex-html|MathJax\w*|MJX\w*|mjx-(?:math|chtml|svg)")  # a formula's second form
FORMULA_CLASSES = ("katex", "MathJax", "MJX")


def keep_tex(tree: Element) -> None:
    """Turn the scripts with MathJax's formulas into text, before all scripts are dropped."""
    for element in tree.iter("script"):
        kind = element.get("type") or ""
        if kind.startswith("math/tex"):
            set_text(element, _in_dollars(element.text or "", "mode=display" in kind))


def _grouped(text: str, after: str) -> str:
    return text if _SIMPLE.fullmatch(text) and not after.isalnum() else f"{{{text}}}"


def superscript(element: Element, _marks: Marks) -> None:
    text, base = element.text_content().strip(), text_before(element)
    if not text or len(text) > LONGEST_SCRIPT:
        element.drop_tag()
    elif element.find(".//a[@href]") is not None:  # a reference
        set_text(element, text if not text[0].isalnum() else f"[{text}]")
    elif _SUFFIX.fullmatch(text) and (base[-1:].isalnum() or not text.isalnum()):
        # e is a suffix of French numbers, and an exponent of letters.
        is_exponent = len(text) == 1 and text.isalpha() and not (base[-1:].isdigit() or base[-1:].isupper())
        set_text(element, f"^{_grouped(text, character_after(element))}" if is_exponent else text)
    elif not base.strip()[-1:].isalnum() and character_after(element) in _SOLIDUS:
        set_text(element, text)
    else:
        set_text(element, f"^{_grouped(text, character_after(element))}")


def subscript(element: Element, _marks: Marks) -> None:
    text, base, after = element.text_content().strip(), text_before(element), character_after(element)
    raised = element.getprevious()
    if not text or len(text) > LONGEST_SCRIPT:
        element.drop_tag()
    elif raised is not None and raised.tag == "sup" and (raised.tail or "").strip() in _SOLIDUS:
        whole = " " if text_before(raised)[-1:].isdigit() else ""
        fraction = f"{whole}{raised.text_content().strip()}/{text}"
        raised.tail = None
        set_text(raised, "")
        set_text(element, fraction)
    elif text.isdigit() and _CHEMICAL.search(base) and not after.isdigit():
        set_text(element, text)
    else:
        set_text(element, f"_{_grouped(text, after)}")


def formula(element: Element, marks: Marks) -> None:
    """Replace MathML with the TeX of its annotation or its alternative text."""
    tex = next((a.text_content() for a in element.iter("annotation") if _TEX.search(a.get("encoding") or "")), "")
    tex = tex or element.get("alttext") or ""
    marks.omitted += not tex.strip()
    set_text(element, _in_dollars(tex, element.get("display") == "block"))


def _in_dollars(tex: str, is_display: bool = False) -> str:
    tex = " ".join(tex.split())
    if tex.startswith("{\\displaystyle ") and tex.endswith("}"):
        tex = tex[len("{\\displaystyle ") : -1].strip()
    if not tex or tex.startswith("$"):
        return tex
    return f" $${tex}$$ " if is_display else f"${tex}$"


def image(element: Element, _marks: Marks) -> None:
    alternative = element.get("alt") or ""
    if alternative and _TEX_IMAGE.search(element.get("class") or ""):
        before = text_before(element)
        tex = _in_dollars(alternative)
        set_text(
            element, "" if before.endswith("$") and tex.strip() in before + tex and _follows_math(element) else tex
        )


def _follows_math(element: Element) -> bool:
    """Whether an image is the second form of a formula next to it."""
    parent = element.getparent()
    return "mwe-math-element" in (parent.get("class") or "")


def drop_rendered(element: Element) -> None:
    """Drop formulas in the form that readers see, since their TeX is next to them."""
    classes = element.get("class") or ""
    if not _RENDERED.search(classes):
        return
    if element.tag == "mjx-container" or element.find(".//math") is not None:
        return
    set_text(element, "")
