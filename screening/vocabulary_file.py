"""A checkpoint's vocabulary, read without torch."""

from __future__ import annotations

import json

from campaigns.errors import VocabularyError, Where
from campaigns.vocabulary import Vocabulary
from screening.errors import is_storage_error


def read_plain_vocabulary(model: str) -> Vocabulary | None:
    """Read a checkpoint's vocabulary without torch; None when there is no checkpoint yet.

    Raises
    ------
    VocabularyError
        If the file is damaged or can't be reached.
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
    except Exception as error:
        if not isinstance(error, OSError) and not is_storage_error(error):
            raise
        text = f"can't be read ({error}); check the path, and the credentials in the environment"
        raise VocabularyError([Where(name).problem(text)]) from error
    return Vocabulary.from_json(content, name)
