"""Personal data and secrets: what of them is redacted, and in which documents."""

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
        description="By kind of document, the data that placeholders such as <EMAIL> replace; other kinds stay",
    )
    allowed_domains: list[str] = Field(
        ["example.com", "example.org", "example.net", "example", "invalid", "localhost"],
        description="Domains whose e-mail addresses stay, with all below them: RFC 2606's, which are nobody's",
    )
    allowed_networks: list[str] = Field(
        ["8.8.8.8/32", "8.8.4.4/32", "1.1.1.1/32", "1.0.0.1/32", "9.9.9.9/32"],
        description="Networks whose addresses stay: public resolvers. Private and documentation networks always do",
    )

    @field_validator("allowed_networks")
    @classmethod
    def _networks(cls, networks: list[str]) -> list[str]:
        for network in networks:
            ip_network(network)
        return networks

    @field_validator("redact")
    @classmethod
    def _named_once(cls, redact: dict[Kind, list[PersonalData]]) -> dict[Kind, list[PersonalData]]:
        for kind, data in redact.items():
            if len(set(data)) < len(data):
                raise ValueError(f"redact.{kind} {data} names one of them twice")
        return redact
