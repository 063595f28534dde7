"""Execute the notebooks and keep their pictures for the documentation: ``python docs/make_notebook_images.py``."""

from __future__ import annotations

import base64
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

DOCS = Path(__file__).parent
IMAGES = DOCS / "images" / "notebooks"
IN_ORDER = ("first-screen", "one-hit")
"""The second one opens what the first one left."""


def main() -> None:
    """Write ``docs/images/notebooks/NAME-CELL.png``; pictures of cells that have none any more go."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    for stale in IMAGES.glob("*.png"):
        stale.unlink()
    with tempfile.TemporaryDirectory() as folder:
        for name in IN_ORDER:
            notebook = nbformat.read(DOCS / "notebooks" / f"{name}.ipynb", as_version=4)
            NotebookClient(notebook, resources={"metadata": {"path": folder}}).execute()
            for place, cell in enumerate(notebook.cells):
                for output in cell.get("outputs", []):
                    if "image/png" in output.get("data", {}):
                        target = IMAGES / f"{name}-{place}.png"
                        target.write_bytes(base64.b64decode(output["data"]["image/png"]))
                        print(f"{target} ({target.stat().st_size / 1024:.0f} KB)")


if __name__ == "__main__":
    main()
