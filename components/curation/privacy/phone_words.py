"""Words around a number that show whether it is a telephone number, may be one, or is something else.

Words are those of the languages with the most documents; a word counts within the number's own paragraph, back to the
digits before it.
"""

import functools
import re
from typing import NamedTuple

# Words for telephones and their numbers.
_NOUN = (
    r"(?:tele|telé|télé|tfno?|tlf[no]?|τηλ|тел|факс|моб).*|tele?|tél|fa(?:x|ks).{0,3}|phones?|ph|mob|(?:auto)?mobil(?:e|es|nr|nummer|tel.*|funk.*)?"
    "|mobiel.*|m[óo]vil|cel|cell?ular.*|gsm|handy.*|kom|komórk.*|natel|puh.*|whatsapp|wasap|zap|sms|hotline|helpline|infolini.*"
    "|switchboard|landline|durchwahl|växel.*|κιν|טל|טלפון|נייד|פקס|هاتف|جوال|فاكس|फ़ोन|फोन|मोबाइल"
)
# Words for calling, and for whom one calls.
_VERB = (
    "call.*|cell|care|rings?|ringa?|dial.*|text|reach.*|contact(?:ar|er|ez|eer|o)?|kontakt.*|message|joign.*|joindre|appel.*|anruf.*|ruf(?:en|t|nummer.*)?|erreich.*"
    "|llam.*|marc[aq].*|contat.*|chiam.*|lig(?:a|ue|ar)|bel(?:len|t)?|bereik.*|z?a?dzwo.*|nås|free(?:call|phone)|toll|clientes?|centralita|vert"
    "|verde|portable|standard|reserv.*|réserv.*|buchung.*|secretar.*|segreteria|sekretar.*|recep.*|rsvp|urgenc.*|emergency|notruf.*|звон.*"
)
_NUMBER = "n[uú]m[eé]ro|numm?er|number"  # the word before it shows of what
# Words that show that a number is something else.
_OTHER = (
    "aadhaar|accounts?|art(?:icle|ikel|icolo|ículo)?|artikelnummer|bankgiro|beställning.*|bestel.*|bic|boleto|bsn|btw|case|catalogue|cep|cnpj|code|commande"
    "|company|conta|cpf|cuenta|dni|docno|doi|ean|einwohner|encomenda|exam|fa[ck]tu?r.*|fattura|gstin|habitantes|hrb|iban|id|invoice|isbn|issn|item|konto(?:nummer)?|krs"
    "|kunde?n?nummer|kvk|licen[cs]e|lot|lott?o|lotería|medicare|model.*|mwst|nhs|nino|nip|orde(?:r|ine)|org(?:anisations)?nr|organisationsnummer|pages?|pan|part"
    "|passport|pedido|personnummer|pesel|pin|plusgiro|policy|postcode|prot|rechnung.*|ref(?:erenc.*|erenz)?|référence|regon|rg|roll|section|serial"
    "|siren|siret|sku|ssn|steuernummer|tax|ticket|tirage|tracking|tva|uid|ust|vat|version|volume|zamówieni.*|zip"
)
_SAYS = re.compile(f"(?P<noun>{_NOUN})|(?P<other>{_OTHER})|(?P<verb>{_VERB})|(?P<number>{_NUMBER})")
_SIGNS = re.compile("電話|携帯|ファ(?:ク|ッ)ス|ダイヤル|問い合わせ|連絡先|电话|手机|传真|热线|전화|휴대폰|팩스")
_LAST_DIGIT = re.compile(".*[0-9]", re.S)
_WORD_AFTER = re.compile(r" ?[(\[\-] ?([^\W\d_]+)")
_WORD = re.compile(r"[^\W\d_]+")
_CHAINED = 40  # maximum characters between two numbers
_NEAR, LINE = 24, 64  # characters before a number within which a word for a telephone counts, and any word
_CHAIN = re.compile(r"[\s,;/|&(]*(?:[^\W\d_]{1,12}[\s.:,(]*){0,3}")


class Look(NamedTuple):
    """Words around a number: words for telephones near it or in its line, or a word for something else."""

    near: bool
    line: bool
    other: bool


def look(text: str, start: int, end: int, ends: set[int]) -> Look:
    """The words around the characters from `start` to `end`.

    Args:
        ends: positions at which telephone numbers end.
    """
    last = next((at for at in range(start, start - _CHAINED, -1) if at in ends), None) if ends else None
    if last is not None and _CHAIN.fullmatch(text, last, start):
        return Look(True, True, False)
    line = text[max(0, start - LINE) : start]
    line = line[max(line.rfind("\n\n"), line.rfind(">")) + 1 :]
    digit = _LAST_DIGIT.match(line)
    near, in_line, other = _said(line[digit.end() :] if digit else line)
    if not near and (after := _WORD_AFTER.match(text, end, end + 24)):
        near = _says(after[1]) == "noun"
    if digit and not (near or in_line or other):
        other = _said(line).other
    return Look(near, near or in_line, other and not near)


def _said(before: str) -> Look:
    """The words before a number, of which the last relevant one decides."""
    if not before.isascii() and _SIGNS.search(before):
        return Look(True, True, False)
    line = False
    for word in reversed(list(_WORD.finditer(before))):
        says = _says(word[0])
        if says == "noun":
            return Look(word.end() >= len(before) - _NEAR, True, False)
        if says == "other":
            return Look(False, False, True)
        if says == "verb":
            return Look(False, True, False)
        line = line or says == "number"
    return Look(False, line, False)


@functools.lru_cache(maxsize=8_192)
def _says(word: str) -> str | None:
    match = _SAYS.fullmatch(word.casefold())
    return match and match.lastgroup
