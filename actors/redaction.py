"""Credentials left out of what people read: messages, traces, reasons in tables."""

import os
import re
from collections.abc import Iterable, Mapping

HIDDEN = "***"
SHORTEST_SECRET = 8
"""Characters. What is shorter would be found in words that are none of it."""
# Greedy up to the last @: a secret may hold one, and a `/` too.
_USER = re.compile(r"(?<=://)[^\s'\"<>]*@")
_USER_OF_HOST = re.compile(r"(?<=://)[^\s/?#'\"<>]*@")
_QUERY = re.compile(r"(?<=://)([^\s?'\"<>]*)\?[^\s'\"<>]*")
_SIGNED = re.compile(r"(?i)(X-Amz-(?:Signature|Credential|Security-Token)=)[^&\s'\"<>]+")
_SECRET_NAME = re.compile(r"ACCESS_KEY|SECRET|TOKEN|PASSWORD|CREDENTIAL")
_PLACE_NAME = re.compile(r"_(FILE|PATH|URI|URL|MODE|DIR)$")


def redacted(url: str) -> str:
    """Return a URL as it was written, with user, password and query replaced by `***`."""
    return _QUERY.sub(rf"\1?{HIDDEN}", _USER.sub(f"{HIDDEN}@", url))


def without_secrets(text: str, environment: Mapping[str, str] | None = None) -> str:
    """Return any text without what opens a door.

    Left out are users of URLs (an endpoint's among them), signatures, and the values of variables whose names say that
    they are secrets (`AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `RAY_AUTH_TOKEN`, …). It is a net below what each
    place does by itself: errors of libraries go into messages, and what they repeat is theirs to choose.

    Parameters
    ----------
    environment
        Variables; those of the process by default.
    """
    for secret in _secrets(os.environ if environment is None else environment):
        text = text.replace(secret, HIDDEN)
    return _SIGNED.sub(rf"\1{HIDDEN}", _USER_OF_HOST.sub(f"{HIDDEN}@", text))


def _secrets(environment: Mapping[str, str]) -> Iterable[str]:
    """Return values that are secret, the longest first: one may be the beginning of another."""
    found = {
        value
        for name, value in environment.items()
        if _SECRET_NAME.search(name) and not _PLACE_NAME.search(name) and len(value) >= SHORTEST_SECRET
    }
    return sorted(found, key=len, reverse=True)
