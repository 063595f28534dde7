"""Keys of stored objects, and which of them no store is asked to hold."""

import re

from actors.errors import UnsafeKey

# obstore stages local files under NAME#1 and refuses such names; `\` and control characters differ by platform.
UNSAFE_SEGMENT = re.compile(r"^\.{0,2}$|[\\#\x00-\x1f\x7f]")


def is_key(key: str) -> bool:
    """Tell whether a key stays below the root and every store can hold it."""
    return not any(UNSAFE_SEGMENT.search(segment) for segment in key.split("/"))


def check_key(key: str) -> None:
    """Refuse keys that leave the root or that some store cannot hold.

    Raises
    ------
    UnsafeKey
        Absolute keys, empty segments, `.`, `..`, `#`, backslashes and control characters.
    """
    if not is_key(key):
        raise UnsafeKey(
            f"{key!r} is no key: write folder/name without a leading or trailing '/', '.', '..', '#' or '\\'"
        )
