"""The model card: what was measured of a model, kept beside its checkpoint.

::

    model/
    ├── …                     the checkpoint; its manifest, and so its digest, knows nothing of the card
    ├── model_card.json       facts, gates, privacy, scores, limits; the digest of the model and its own sha256
    └── model_card.md         the same in words

A card says of which model it is. One of another model, or one that was changed by hand, is refused: nobody should trust
a screen because of what was measured elsewhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import fsspec

from lingshu_core.checkpoint import MODEL_CARD, MODEL_CARD_TEXT
from screening.errors import CardError
from screening.json_file import read_json_file

CARD_FORMAT = 1
PARTS = ("measured", "gates", "privacy", "scores")
"""Parts that are measured; None where they were not."""


@dataclass(frozen=True)
class ModelCard:
    """A card that belongs to the model it was asked for.

    ``content`` is all of ``model_card.json`` but its own digest; ``digest`` is the sha256 of it.
    """

    content: Mapping[str, Any]
    digest: str

    @property
    def model_digest(self) -> str:
        """The model that it is of."""
        return str(self.content["model_digest"])

    @property
    def gates(self) -> Sequence[Mapping[str, Any]]:
        """Gates by context and perturbation, as of :meth:`lingshu_core.context_gates.ContextGate.as_dict`."""
        return self.content["gates"] or ()


def read_card(folder: str, model_digest: str) -> ModelCard | None:
    """Read the card beside a checkpoint; None where there is none.

    Parameters
    ----------
    folder
        Folder or URL of the checkpoint.
    model_digest
        Digest of the checkpoint.

    Raises
    ------
    CardError
        If the card is damaged, was changed since it was written, or is of another model.
    """
    name = f"{folder.rstrip('/')}/{MODEL_CARD}"
    cure = f"write it anew with `lingshu card {folder}`, or remove it"
    try:
        content = read_json_file(name)
    except (ValueError, RecursionError) as error:
        raise CardError(f"{name}: is no JSON ({error}); {cure}") from error
    except OSError as error:
        raise CardError(f"{name}: {error}") from error
    if content is None:
        return None
    if not isinstance(content, dict) or content.get("format") != CARD_FORMAT:
        raise CardError(
            f"{name}: isn't a model card of format {CARD_FORMAT}; use the version of lingshu-screen that wrote it, or"
            f" {cure}"
        )
    stated = content.pop("sha256", None)
    if stated != card_digest(content) or not _is_whole(content):
        raise CardError(f"{name}: was changed since it was written, its sha256 is not that of its content; {cure}")
    if content["model_digest"] != model_digest:
        raise CardError(
            f"{name}: is the card of the model {content['model_digest'][:12]}, and the model here is"
            f" {model_digest[:12]}; {cure}"
        )
    return ModelCard(content, stated)


def _is_whole(content: Mapping[str, Any]) -> bool:
    return isinstance(content.get("model_digest"), str) and all(part in content for part in PARTS)


def write_card(folder: str, content: Mapping[str, Any], text: str) -> ModelCard:
    """Write a card beside its checkpoint.

    Parameters
    ----------
    folder
        Folder or URL of the checkpoint.
    content
        With ``model_digest`` and all of :data:`PARTS`.
    text
        The card in words.
    """
    whole = {"format": CARD_FORMAT, **content}
    card = ModelCard(json.loads(json.dumps(whole)), card_digest(whole))
    filesystem, root = fsspec.core.url_to_fs(folder)
    filesystem.pipe_file(f"{root}/{MODEL_CARD_TEXT}", f"{text}\n".encode())
    stored = {**card.content, "sha256": card.digest}
    filesystem.pipe_file(f"{root}/{MODEL_CARD}", json.dumps(stored, indent=1).encode())
    return card


def card_digest(content: Mapping[str, Any]) -> str:
    """Return the sha256 of a card's content, however its file is laid out."""
    plain = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(plain.encode()).hexdigest()
