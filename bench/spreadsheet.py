"""Text in CSV files, which people open with spreadsheets."""

# How a cell begins that spreadsheets run as a formula (OWASP, "CSV Injection"), the wide forms of the marks too.
_FORMULA = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


def as_text(text: str) -> str:
    """Put an apostrophe before a text that a spreadsheet would run as a formula; others stay as they are."""
    return f"'{text}" if text.startswith(_FORMULA) else text
