"""Credentials left out of what people read: URLs as they were written, less what opens a door."""

import re

HIDDEN = "***"
# Greedy up to the last @: a secret may hold one, and a `/` too.
_USER = re.compile(r"(?<=://)[^\s'\"<>]*@")
_QUERY = re.compile(r"(?<=://)([^\s?'\"<>]*)\?[^\s'\"<>]*")


def redacted(text: str) -> str:
    """Return a text with the user, the password and the query of every URL in it replaced by `***`.

    A query may hold a signature (`?X-Amz-Signature=…`), and no URL that the engine takes has one.
    """
    return _QUERY.sub(rf"\1?{HIDDEN}", _USER.sub(f"{HIDDEN}@", text))
