"""Manual pages in the macros of man(7) and mdoc(7): running text, headings as Markdown, examples fenced.

The macros of both are few and fixed, so no formatter has to be installed. Other requests of roff are skipped.
"""

# ruff: noqa: RUF001 - the table of special characters has those that look alike
import re
import shlex
import unicodedata
from typing import Any

from components.ingestion.parsing import Refusal

FONTS = {"B", "I", "R", "SM", "SB", "UR", "MT", "UE", "ME", "OP", "SY", "BI", "BR", "IB", "IR", "RB", "RI"}
ALTERNATING = {"BI", "BR", "IB", "IR", "RB", "RI"}  # their arguments are joined without spaces
BREAKS = {"PP", "P", "LP", "Pp", "sp", "HP", "RS", "RE", "Lp", "El", "YS"}
HEADINGS = {"SH": "#", "Sh": "#", "SS": "##", "Ss": "##"}
VERBATIM, FILLED = {"nf", "EX", "Bd"}, {"fi", "EE", "Ed"}
# Requests whose lines are not text, and their end.
BLOCKS = {"de": "..", "am": "..", "ig": "..", "EQ": ".EN", "PS": ".PE"}
ENCLOSING = {
    "Op": ("[", "]"),
    "Bq": ("[", "]"),
    "Pq": ("(", ")"),
    "Aq": ("<", ">"),
    "Dq": ('"', '"'),
    "Qq": ('"', '"'),
    "Sq": ("'", "'"),
    "Ql": ("'", "'"),
    "Brq": ("{", "}"),
}
MDOC = {
    "Ad", "An", "Ar", "Cd", "Cm", "Dv", "Em", "Er", "Ev", "Fa", "Fd", "Fl", "Fn", "Ft", "Ic", "In", "Li", "Lk", "Mt", "Nd",
    "Nm", "No", "Ns", "Oc", "Oo", "Ot", "Pa", "Sx", "Sy", "Ta", "Tn", "Va", "Vt", "Xr",
}  # fmt: skip
SPECIAL = {
    "em": "—", "en": "–", "hy": "-", "bu": "•", "lq": "“", "rq": "”", "oq": "‘", "cq": "’", "aq": "'", "dq": '"', "co": "©",
    "rg": "®", "tm": "™", "ga": "`", "ha": "^", "ti": "~", "rs": "\\", "mu": "×", "->": "→", "<-": "←", ">=": "≥", "<=": "≤",
    "!=": "≠", "+-": "±", "de": "°", "lB": "[", "rB": "]", "lC": "{", "rC": "}", "at": "@", "sh": "#", "Do": "$", "Eu": "€",
    "ss": "ß", "AE": "Æ", "ae": "æ", "OE": "Œ", "oe": "œ", "/O": "Ø", "/o": "ø", "/L": "Ł", "/l": "ł", "oA": "Å", "oa": "å",
    "vS": "Š", "vs": "š", "vZ": "Ž", "vz": "ž", "-D": "Ð", "Sd": "ð", "TP": "Þ", "Tp": "þ", "Fo": "«", "Fc": "»", "r!": "¡",
    "r?": "¿", "L\"": "“", "R\"": "”", "C'": "'",
}  # fmt: skip
ACCENTS = {":": "\u0308", "'": "\u0301", "`": "\u0300", "^": "\u0302", "~": "\u0303", ",": "\u0327"}  # before a letter
SINGLE = {"-": "-", "e": "\\", "\\": "\\", "'": "'", "`": "`", " ": " ", "~": " ", "0": " ", ".": ".", "t": "\t"}
_ESCAPE = re.compile(
    r"""\\(?:f(?:\[[^\]\n]*\]|\(..|.)|s[-+]?\d{1,2}|[hvwDLlZbN]'[^'\n]*'|[nkgm](?:\[[^\]\n]*\]|\(..|.)"""
    r"""|\*?(?:\((?P<two>..)|\[(?P<name>[^\]\n]*)\])|\*(?P<string>.)|(?P<one>.)|$)"""
)
_COMMENT = re.compile(r'\\["#].*$')


def parse(text: str) -> dict[str, Any]:
    page = Page()
    lines = iter(text.splitlines())
    for line in lines:
        page.read(line, lines)
    if not page.is_manual:
        raise Refusal(
            f"only refers to {page.elsewhere} (.so)" if page.elsewhere else "is not a manual page: no .TH or .Dd"
        )
    return {"text": page.whole(), "title": page.title}


class Page:
    """A page while it is read: the blocks so far, and the present paragraph."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.title, self.elsewhere, self.name = "", "", ""
        self.is_manual = False
        self._words: list[str] = []
        self._is_verbatim = False
        self._after = ""  # role of the next line of text after a macro without arguments: a heading's mark, or a tag

    def whole(self) -> str:
        self._verbatim(False)
        return "\n\n".join(self.text)

    def read(self, line: str, following: Any) -> None:
        """Read one line, and for some requests the lines that follow."""
        if line[:1] not in (".", "'"):
            if self.is_manual:
                self._add(plain(line) if self._is_verbatim else plain(line).strip())
            return
        name, _, rest = line[1:].strip().partition(" ")
        rest = _COMMENT.sub("", rest).strip()
        if name == "so":
            self.elsewhere = rest
        elif name in BLOCKS:
            _skip(following, BLOCKS[name])
        elif name in ("if", "ie"):
            self._condition(rest, following)
        elif name == "el" or name.startswith("\\"):
            if rest.endswith("\\{") or rest.endswith("\\{\\"):
                _skip_braces(following)
        elif name == "TS":
            self._table(following)
        else:
            self._macro(name, rest)

    def _condition(self, rest: str, following: Any) -> None:
        condition, _, then = rest.partition(" ")
        is_met = condition == "n"  # text for terminals, not for typesetters
        if then.strip().startswith("\\{"):
            if not is_met:
                _skip_braces(following)
        elif is_met:
            self.read(then.strip(), following)

    def _macro(self, name: str, rest: str) -> None:
        arguments = [plain(word) for word in words(rest)]
        if name in ("TH", "Dd"):
            self.is_manual = True
            self.title = f"{arguments[0]}({arguments[1]})" if name == "TH" and len(arguments) > 1 else self.title
        elif name == "Dt":
            self.title = f"{arguments[0]}({arguments[1]})" if len(arguments) > 1 else "".join(arguments)
        elif not self.is_manual:
            return
        elif name in HEADINGS:
            self._break()
            self._after = HEADINGS[name] + " "
            if arguments:
                self._add(" ".join(arguments))
        elif name in BREAKS:
            self._break()
        elif name in VERBATIM or name in FILLED:
            self._verbatim(name in VERBATIM)
        elif name == "br":
            self._words.append("\n")
        elif name in ("TP", "TQ", "IP", "It"):
            self._break()
            self._after = "\n" if name in ("TP", "TQ") else ""
            if name == "IP" and arguments:
                self._add(arguments[0] + "\n")
            elif name == "It":
                self._add(self.inline(arguments) + "\n")
        elif name in FONTS:
            self._add(("" if name in ALTERNATING else " ").join(arguments))
        elif name in MDOC or name in ENCLOSING:
            if name == "Nm" and arguments and not self.name:
                self.name = arguments[0]
            self._add(("- " if name == "Nd" else "") + self.inline([name, *arguments]))

    def inline(self, arguments: list[str]) -> str:
        """Words of mdoc, some of which are macros themselves."""
        said: list[str] = []
        for place, word in enumerate(arguments):
            if word in ENCLOSING:
                opening, closing = ENCLOSING[word]
                said.append(opening + self.inline(arguments[place + 1 :]) + closing)
                break
            if word == "Xr" and len(arguments) > place + 2:
                said.append(f"{arguments[place + 1]}({arguments[place + 2]})")
                said.append(self.inline(arguments[place + 3 :]))
                break
            if word == "Nm" and len(arguments) == place + 1:
                said.append(self.name)
            elif word == "Fl":
                said.append("-\x00")
            elif word == "Ns":
                said.append("\x00")
            elif word not in MDOC:
                said.append(word)
        joined = re.sub(r" ?\x00 ?", "", " ".join(filter(None, said)))
        return re.sub(r" ([.,;:)\]]+)(?= |$)", r"\1", joined)

    def _add(self, text: str) -> None:
        if self._after == "\n":
            text, self._after = text + "\n", ""
        elif self._after and text:
            self.text.append(self._after + text)
            self._after = ""
            return
        if self._is_verbatim or text:
            self._words.append(text)
        else:
            self._break()

    def _break(self) -> None:
        """End the paragraph, or leave a blank line in an example."""
        if self._is_verbatim:
            self._words.append("")
            return
        said = re.sub(r" ?\n ?", "\n", " ".join(self._words)).strip()
        self._words = []
        if said:
            self.text.append(said)

    def _verbatim(self, begins: bool) -> None:
        if self._is_verbatim:
            self._is_verbatim = False
            example = "\n".join(self._words).strip("\n")
            self._words = []
            if example:
                self.text.append(f"```\n{example}\n```")
        self._break()
        self._is_verbatim = begins

    def _table(self, following: Any) -> None:
        self._break()
        rows: list[str] = []
        in_format = True
        for line in following:
            if line.startswith(".TE"):
                break
            if in_format:
                in_format = not line.rstrip().endswith(".")
            elif line[:1] != "." and line not in ("_", "=", "T}"):
                rows.append(plain(line.replace("T{", "").replace("T}", "")).replace("\t", " | ").strip())
        self.text.append("\n".join(filter(None, rows)))


def words(rest: str) -> list[str]:
    """The arguments of a macro, some of them within quotes."""
    try:
        return shlex.split(rest.replace("\\", "\\\\").replace("'", "\\'"), comments=False)
    except ValueError:  # an unclosed quote
        return rest.replace('"', "").split()


def plain(text: str) -> str:
    """Text without the escapes of roff."""
    return _ESCAPE.sub(_char, _COMMENT.sub("", text))


def _char(escape: re.Match[str]) -> str:
    name = escape["two"] or escape["name"]
    if name:
        code = name.removeprefix("u")
        is_code = name[0] == "u" and re.fullmatch("[0-9A-F]{4,5}", code)
        return chr(int(code, 16)) if is_code else SPECIAL.get(name) or _accented(name)
    return SINGLE.get(escape["one"] or "", "")


def _accented(name: str) -> str:
    """The letter that groff_char(7) writes as an accent and a letter, such as `:U`; or an empty string."""
    letter = unicodedata.normalize("NFC", name[1:] + ACCENTS.get(name[0], ""))
    return letter if name[0] in ACCENTS and len(name) == 2 and len(letter) == 1 else ""


def _skip(following: Any, end: str) -> None:
    for line in following:
        if line.strip() == end:
            return


def _skip_braces(following: Any) -> None:
    depth = 1
    for line in following:
        depth += line.count("\\{") - line.count("\\}")
        if depth <= 0:
            return
