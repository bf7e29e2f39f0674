"""LaTeX, by pylatexenc: text with headings as Markdown; formulas and listings are not changed."""

import re
from typing import Any

LEVELS = {"part": 1, "chapter": 1, "section": 2, "subsection": 3, "subsubsection": 4, "paragraph": 5, "subparagraph": 6}
VERBATIM = r"verbatim|Verbatim|lstlisting|minted|alltt"
DROPPED = (  # references to other places, and output that changes from day to day
    "maketitle", "today", "label", "ref", "eqref", "autoref", "cref", "Cref", "pageref", "cite", "citep", "citet",
    "bibliography", "bibliographystyle", "includegraphics", "tableofcontents", "input", "include",
)  # fmt: skip
_LISTING = re.compile(
    rf"\\begin\{{({VERBATIM})(\*?)\}}(?:\[[^\]\n]*\])?(?:\{{[^}}\n]*\}})?(.*?)\\end\{{\1\2\}}", re.DOTALL
)
_HELD = "\ue000{}\ue001"  # private characters, which replace a listing while the rest is parsed
_KEPT = re.compile("\ue000(\\d+)\ue001")
_TITLE = re.compile(r"\\title\s*(?:\[[^\]]*\])?\{([^{}]{0,1000}(?:\{[^{}]{0,300}\}[^{}]{0,300}){0,10})\}")
_BLANK = re.compile(r"\n[ \t]*\n\s*\n")


def parse(text: str) -> dict[str, Any]:
    listings: list[str] = []

    def hold(found: re.Match[str]) -> str:
        listings.append(found[3].strip("\n"))
        return _HELD.format(len(listings) - 1)

    text = _LISTING.sub(hold, text.replace("\ue000", "").replace("\ue001", ""))
    title = _TITLE.search(text)
    before, begin, after = text.partition(r"\begin{document}")
    body = (after if begin else before).partition(r"\end{document}")[0]
    converter = _converter()
    lines = [line.strip() for line in converter.latex_to_text(body).splitlines()]
    plain = _BLANK.sub("\n\n", "\n".join(lines)).strip()
    return {
        "text": _KEPT.sub(lambda held: f"\n```\n{listings[int(held[1])]}\n```\n", plain),
        "title": " ".join(converter.latex_to_text(title[1]).split()) if title else "",
    }


def _converter() -> Any:
    from pylatexenc.latex2text import LatexNodes2Text, MacroTextSpec, get_default_latex_context_db

    def heading(node: Any, l2tobj: Any) -> str:
        title = l2tobj.nodelist_to_text([node.nodeargs[-1]]) if node.nodeargs else ""
        return f"\n\n{'#' * LEVELS[node.macroname]} {' '.join(title.split())}\n\n"

    context = get_default_latex_context_db()
    macros = [MacroTextSpec(name, simplify_repl=heading) for name in LEVELS]
    macros += [MacroTextSpec(name, simplify_repl="") for name in DROPPED]
    context.add_context_category("ours", prepend=True, macros=macros)
    return LatexNodes2Text(latex_context=context, math_mode="verbatim", keep_comments=False)
