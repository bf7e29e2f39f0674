"""Section `curation`: which documents stay."""

from pydantic import Field

from components.params.section import Fraction, Section


class CurationParams(Section):
    min_chars: int = Field(80, ge=0, description="A shorter document teaches nothing")
    max_chars: int = Field(20_000, ge=100, description="A longer document is a table or a dump")
    min_alpha_fraction: Fraction = Field(0.5, description="Letters among non-blank characters, at least (prose)")
    min_alpha_fraction_code: Fraction = Field(0.4, description="Letters among non-blank characters, at least (code)")
    max_line_chars: int = Field(400, ge=80, description="A longer line is data, not text")
    max_duplicate_line_fraction: Fraction = Field(
        0.3, description="Gopher: share of lines that repeat earlier ones, at most"
    )
