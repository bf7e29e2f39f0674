"""Personal data and secrets: which kinds are redacted, in which documents."""

from ipaddress import ip_network
from typing import Literal

from pydantic import Field, field_validator

from components.params.data import Kind
from components.params.section import Section

PersonalData = Literal["email", "phone", "ip", "card", "iban", "key"]


class PrivacyParams(Section):
    redact: dict[Kind, list[PersonalData]] = Field(
        {
            "web": ["email", "phone", "ip", "card", "iban", "key"],
            "prose": ["email", "phone", "ip", "card", "iban", "key"],
            "code": ["email", "key"],
            "textbook": ["email", "phone", "ip", "card", "iban", "key"],
            "exercise": ["email", "phone", "ip", "card", "iban", "key"],
        },
        description=(
            "Personal data to replace by placeholders such as <EMAIL>, per kind of document; a kind that is not named"
            " is not redacted"
        ),
    )
    allowed_domains: list[str] = Field(
        ["example.com", "example.org", "example.net", "example", "invalid", "localhost"],
        description=(
            "Domains whose e-mail addresses are not redacted, with their subdomains (default: RFC 2606's example "
            "domains)"
        ),
    )
    allowed_networks: list[str] = Field(
        ["8.8.8.8/32", "8.8.4.4/32", "1.1.1.1/32", "1.0.0.1/32", "9.9.9.9/32"],
        description=(
            "Networks whose IP addresses are not redacted (default: public resolvers), besides private and "
            "documentation networks"
        ),
    )

    regions: list[str] = Field(
        [],
        description=(
            "ISO 3166 codes of countries, such as SE, whose national telephone numbers are redacted; empty = the countries "
            "where a document's language is spoken"
        ),
    )

    @field_validator("allowed_networks")
    @classmethod
    def _networks(cls, networks: list[str]) -> list[str]:
        for network in networks:
            ip_network(network)
        return networks

    @field_validator("regions")
    @classmethod
    def _countries(cls, regions: list[str]) -> list[str]:
        if regions:
            from phonenumbers import SUPPORTED_REGIONS

            if unknown := sorted(set(regions) - SUPPORTED_REGIONS):
                raise ValueError(
                    f"{unknown[0]!r} is not the code of a country with telephone numbers; expected codes such as SE"
                )
        return regions

    @field_validator("redact")
    @classmethod
    def _named_once(cls, redact: dict[Kind, list[PersonalData]]) -> dict[Kind, list[PersonalData]]:
        for kind, data in redact.items():
            if len(set(data)) < len(data):
                raise ValueError(f"redact.{kind} {data} names one of them twice")
        return redact
