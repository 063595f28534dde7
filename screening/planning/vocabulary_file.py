"""A checkpoint's vocabulary, read without torch."""

from __future__ import annotations

from campaigns.errors import VocabularyError, Where
from campaigns.vocabulary import Vocabulary
from screening.json_file import read_json_file


def read_plain_vocabulary(model: str) -> Vocabulary | None:
    """Read a checkpoint's vocabulary without torch; None when there is no checkpoint yet.

    Raises
    ------
    VocabularyError
        If the file is damaged or can't be reached.
    """
    name = f"{model.rstrip('/')}/vocabulary.json"
    try:
        content = read_json_file(name)
    except ValueError as error:
        raise VocabularyError([Where(name).problem(f"is damaged ({error}); fetch the checkpoint again")]) from error
    except OSError as error:
        raise VocabularyError([Where(name).problem(str(error))]) from error
    if content is None:
        return None
    return Vocabulary.from_json(content, name)
