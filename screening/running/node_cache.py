"""Checkpoints in a bucket, fetched once a node: replicas that open at the same time share one copy on its disk.

The copy is named by the digest of the model, so it is never out of date and never another model's. It may be deleted
at any time while no replica is opening.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from filelock import FileLock

from lingshu_core.checkpoint import fetch_checkpoint

CACHE_VARIABLE = "LINGSHU_CACHE"


def cache_folder() -> Path:
    """Return the folder of the copies: ``$LINGSHU_CACHE``, or ``~/.cache/lingshu/models``."""
    named = os.environ.get(CACHE_VARIABLE)
    return Path(named) if named else Path.home() / ".cache" / "lingshu" / "models"


def on_this_node(model: str, digest: str) -> str:
    """Return where a replica reads a checkpoint: the folder itself, or the node's copy of what lies in a bucket.

    Parameters
    ----------
    model
        Folder or URL of the checkpoint.
    digest
        Digest that it should have.

    Raises
    ------
    CheckpointError
        If the checkpoint can't be read, or is damaged.
    """
    if "://" not in model:
        return model
    root = cache_folder()
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    copy = root / digest
    with FileLock(root / f"{digest}.lock"):
        if not copy.is_dir():
            with tempfile.TemporaryDirectory(dir=root) as partial:
                fetched = fetch_checkpoint(model, Path(partial) / "model")
                if fetched != digest:
                    return model  # another model by now, as whoever opens it will see and say
                (Path(partial) / "model").rename(copy)
    return str(copy)
