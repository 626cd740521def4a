"""Text of anybody's as Graphviz and XML take it."""

from __future__ import annotations

import re

#: What neither XML 1.0 (section 2.2) nor Graphviz takes.
ILLEGAL = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def legal(text: str) -> str:
    """With U+FFFD for what is not."""
    return ILLEGAL.sub("\ufffd", text)


def short(text: str, limit: int) -> str:
    """Cut to so many characters. Graphviz takes no string above 16,384 bytes."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def dot_text(text: str) -> str:
    """A quoted escString, in which Graphviz reads backslashes and HTML's entities."""
    text = legal(text).replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;")
    return '"' + "\\n".join(text.splitlines()) + '"'
