"""Numbers of payment cards and of bank accounts, by their check digits."""

import re
from collections.abc import Iterator

from components.curation.privacy.spans import Span

_CARD = re.compile(
    r"(?<![\w.,+\-/])(?:(?<![0-9] )(?:[0-9]{4}([ -])[0-9]{4}\1[0-9]{4}\1[0-9]{4}(?:\1[0-9]{1,3})?"
    r"|[0-9]{4}([ -])[0-9]{6}\2[0-9]{4,5})(?! [0-9])|[0-9]{13,19})(?![\w/]|[.,-][0-9])"
)
SHORTEST_CARD = 13  # digits
# Visa, Mastercard, American Express, Discover, JCB, Diners Club, UnionPay: first digits and lengths (ISO/IEC 7812).
_ISSUER = re.compile(
    r"4(?:[0-9]{12}|[0-9]{15}|[0-9]{18})|(?:5[1-5]|2[2-7])[0-9]{14}|3[47][0-9]{13}|6(?:011|5[0-9]{2}|4[4-9][0-9])[0-9]{12}"
    r"|35[2-8][0-9]{13}|3(?:0[0-5]|[68][0-9])[0-9]{11}|62[0-9]{14,17}"
)
_CARD_CUE = re.compile(
    r"(?i)(?<![<\w])(?:cards?|credit|debit|visa|master ?card|amex|american express|discover|diners|jcb|unionpay|pan)\b[^0-9\n<>]{0,24}$"
)
_UNSURE = {13, 14, 19}  # lengths that barcodes and times also have
_IBAN_BEGINS = re.compile(r"(?<!\w)[A-Za-z]{2} ?[0-9]{2}")
_IBAN = re.compile(r"[A-Za-z]{2} ?[0-9]{2}(?:[ .\-]{0,2}[A-Za-z0-9]){11,30}")
SHORTEST_IBAN = 8  # minimum digits, with blanks; a sentence with fewer may pass the check
# Length by country (SWIFT's IBAN registry).
_REGISTRY = """
    AD:24 AE:23 AL:28 AT:20 AZ:28 BA:20 BE:16 BG:22 BH:22 BR:29 BY:28 CH:21 CR:22 CY:28 CZ:24 DE:22 DK:18 DO:28
    EE:20 EG:29 ES:24 FI:18 FO:18 FR:27 GB:22 GE:22 GI:23 GL:18 GR:27 GT:28 HR:21 HU:28 IE:22 IL:23 IS:26 IT:27
    JO:30 KW:30 KZ:20 LB:28 LI:21 LT:20 LU:20 LV:21 MC:27 MD:24 ME:22 MK:19 MR:27 MT:31 MU:30 NL:18 NO:15 PK:24
    PL:28 PS:29 PT:25 QA:29 RO:24 RS:22 SA:24 SE:24 SI:19 SK:24 SM:27 TN:24 TR:26 UA:29 VA:22 VG:24 XK:20
"""
_LENGTHS = dict(item.split(":") for item in _REGISTRY.split())


def cards(text: str, start: int, end: int) -> Iterator[Span]:
    """Card numbers within a run of digits: an issuer's first digits and length, and Luhn's check (ISO/IEC 7812-1)."""
    for match in _CARD.finditer(text, start, min(len(text), end + 2)):
        digits = re.sub("[ -]", "", match[0])
        if not _ISSUER.fullmatch(digits) or not luhn(digits):
            continue
        sure = match[0] != digits or len(digits) not in _UNSURE
        if sure or _CARD_CUE.search(text, max(0, match.start() - 40), match.start()):
            yield Span(match.start(), match.end(), "card")


def luhn(digits: str) -> bool:
    """Whether the last digit is Luhn's check digit of the others."""
    doubled = [int(digit) * 2 for digit in digits[-2::-2]]
    return (sum(map(int, digits[-1::-2])) + sum(value - 9 * (value > 9) for value in doubled)) % 10 == 0


def ibans(text: str, start: int, end: int) -> Iterator[Span]:
    """Account numbers around a run of digits, in any grouping: a country's length, and the check of ISO 7064 (ISO 13616)."""
    for begins in _IBAN_BEGINS.finditer(text, max(0, start - 14), start + 2):
        match = _IBAN.match(text, begins.start(), end + 64)
        if match is None:
            continue
        # The pattern also matches text that follows.
        number = re.sub(r"[ .\-]", "", match[0])
        number = number[: int(_LENGTHS.get(number[:2].upper(), 0))]
        if not number or not (number.isupper() or number.islower()) or sum(map(str.isdigit, number)) < SHORTEST_IBAN:
            continue
        stop = match.start() + _after(match[0], len(number))
        if _checks(number) and not text[stop : stop + 1].isalnum():
            yield Span(match.start(), stop, "iban")


def _after(written: str, length: int) -> int:
    """The position at which the first `length` letters and digits end."""
    seen = 0
    for at, character in enumerate(written):
        seen += character.isalnum()
        if seen == length:
            return at + 1
    return len(written)


def _checks(number: str) -> bool:
    return len(number) > 14 and int("".join(str(int(c, 36)) for c in number[4:] + number[:4])) % 97 == 1
