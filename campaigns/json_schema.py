"""JSON schemas of the campaign files: editors complete and check a file with them.

They come with the package, in ``campaigns/schemas``. After a change to a spec::

    python -c "from campaigns.json_schema import write_schemas; write_schemas()"
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from campaigns.source import KINDS

SHIPPED = Path(__file__).parent / "schemas"


def schema(kind: str) -> dict[str, Any]:
    """Make the JSON schema of a kind of campaign file.

    Parameters
    ----------
    kind : str
        ``train``, ``screen``, ``generate``, ``evaluate`` or ``chaos``.

    Returns
    -------
    dict
        JSON Schema, draft 2020-12.

    Raises
    ------
    KeyError
        There is no such kind.
    """
    made = KINDS[kind].model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}


def schema_text(kind: str) -> str:
    """Make the content of the schema's file."""
    return json.dumps(schema(kind), indent=2, ensure_ascii=False) + "\n"


def shipped_schema(kind: str) -> str:
    """Read the schema that comes with the package."""
    return (SHIPPED / f"{kind}.json").read_text(encoding="utf-8")


def write_schemas(folder: Path = SHIPPED) -> None:
    """Write the schemas of all kinds into a folder; by default where the package keeps them."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind in KINDS:
        (folder / f"{kind}.json").write_text(schema_text(kind), encoding="utf-8")
