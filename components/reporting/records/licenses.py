"""Licences as SPDX knows them; its list of names comes with cyclonedx-python-lib."""


def spdx_id(license: str) -> str | None:
    """The SPDX identifier of a licence, in SPDX's spelling; None if SPDX has none of this name."""
    from cyclonedx.spdx import fixup_id

    return fixup_id(license)


def license_url(license: str) -> str | None:
    """The address of a licence's text: the licence itself if it is one, else SPDX's page."""
    if license.startswith(("https://", "http://")):
        return license
    found = spdx_id(license)
    return f"https://spdx.org/licenses/{found}.html" if found else None
