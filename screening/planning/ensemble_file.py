"""``ensemble.json``: which checkpoints of a folder are the members of an ensemble; read without torch.

::

    output/
    ├── member-0/, member-1/, …   checkpoints, each whole and usable by itself
    └── ensemble.json             format, digest, folder, seed and digest of every member; written last
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from campaigns.errors import EnsembleError, Where
from campaigns.plan import ensemble_digest
from screening.json_file import read_json_file

ENSEMBLE = "ensemble.json"
ENSEMBLE_FORMAT = 1
SAME_CELLS = "members of an ensemble are trained on the same cells, as `lingshu train --seeds` does"
ONE_OR_LIST = "give it alone as `model:`, or list the checkpoints in it"
_FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class EnsembleMember:
    """A member as ``ensemble.json`` lists it; ``folder`` is a name in the folder of the ensemble."""

    folder: str
    seed: int
    digest: str


def member_folder(number: int) -> str:
    """Return the name of a member's folder."""
    return f"member-{number}"


def write_ensemble(folder: str, members: Sequence[EnsembleMember]) -> str:
    """Write ``ensemble.json`` to a local folder or any fsspec URL, once all members are there.

    Returns
    -------
    The digest that names the ensemble.
    """
    import fsspec  # slow to import, and of no use to who only reads

    digest = ensemble_digest(member.digest for member in members)
    content = {"format": ENSEMBLE_FORMAT, "digest": digest, "members": [asdict(member) for member in members]}
    filesystem, root = fsspec.core.url_to_fs(folder)
    filesystem.pipe_file(f"{root}/{ENSEMBLE}.new", json.dumps(content, indent=1).encode())
    filesystem.mv(f"{root}/{ENSEMBLE}.new", f"{root}/{ENSEMBLE}")
    return digest


def read_ensemble(folder: str) -> tuple[EnsembleMember, ...] | None:
    """Read the members of an ensemble; None where the folder is none.

    Raises
    ------
    EnsembleError
        If the file is damaged, was changed, or is of another format.
    """
    name = f"{folder.rstrip('/')}/{ENSEMBLE}"
    try:
        content = read_json_file(name)
    except ValueError as error:
        raise _damaged(name, str(error)) from error
    except OSError as error:
        raise EnsembleError([Where(name).problem(str(error))]) from error
    return None if content is None else _members(content, name)


def _members(content: Any, name: str) -> tuple[EnsembleMember, ...]:
    if not isinstance(content, dict) or content.get("format") != ENSEMBLE_FORMAT:
        text = f"isn't an ensemble of format {ENSEMBLE_FORMAT}; use the version of lingshu-screen that wrote it"
        raise EnsembleError([Where(name).problem(text)])
    try:
        members = tuple(
            EnsembleMember(_matching(_FOLDER, entry["folder"]), int(entry["seed"]), _matching(_DIGEST, entry["digest"]))
            for entry in content["members"]
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(name, f"{type(error).__name__}: {error}") from error
    if not members or content.get("digest") != ensemble_digest(member.digest for member in members):
        raise _damaged(name, "its digest doesn't fit its members")
    return members


def _matching(pattern: re.Pattern[str], value: str) -> str:
    """Refuse a folder that leads elsewhere, or a digest that is none."""
    if not pattern.fullmatch(value):
        raise ValueError(f"{value[:60]!r} isn't allowed")
    return value


def _damaged(name: str, reason: str) -> EnsembleError:
    text = f"is damaged ({reason}); run `lingshu train` again, which trains no member that is there already"
    return EnsembleError([Where(name).problem(text)])
