"""A checkpoint's vocabulary, read without torch."""

from __future__ import annotations

import json

from campaigns.vocabulary import Vocabulary


def read_plain_vocabulary(model: str) -> Vocabulary | None:
    """Read a checkpoint's vocabulary without torch; None when there is no checkpoint yet.

    Raises
    ------
    VocabularyError
        If the file is damaged.
    """
    name = f"{model.rstrip('/')}/vocabulary.json"
    try:
        if "://" in name:
            import fsspec  # slow to import, and only needed for remote models

            with fsspec.open(name, "rt") as handle:
                content = json.load(handle)
        else:
            with open(name, encoding="utf-8") as handle:
                content = json.load(handle)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        content = {"damaged": str(error)}
    return Vocabulary.from_json(content, name)
