"""Hook of mkdocs: a page for each notebook, text and code, with the pictures that `docs/make_notebook_images.py` drew.

Notebooks are stored without outputs, so that a change of one reads like a change of text; they are executed in a test.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

IMAGES = Path(__file__).parent / "images" / "notebooks"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add ``notebooks/NAME.md`` for every ``notebooks/NAME.ipynb``, which stays there to be downloaded."""
    for file in list(files):
        if file.src_uri.endswith(".ipynb") and file.abs_src_path:
            notebook = json.loads(Path(file.abs_src_path).read_text(encoding="utf-8"))
            name = Path(file.src_uri).stem
            page = File.generated(config, f"{file.src_uri.removesuffix('.ipynb')}.md", content=markdown(notebook, name))
            files.append(page)
    return files


def markdown(notebook: dict[str, Any], name: str) -> str:
    """Write a notebook as Markdown, with the picture of a cell after it, where there is one."""
    parts = []
    for place, cell in enumerate(notebook["cells"]):
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(text)
            continue
        parts.append(f"```python\n{text}\n```")
        picture = f"{name}-{place}.png"
        if (IMAGES / picture).exists():
            alt = text.strip().splitlines()[-1].removeprefix("screen.plot.").replace("[", "(").replace("]", ")")
            parts.append(f"![{alt}](../images/notebooks/{picture})")
    title, *rest = parts
    return "\n\n".join([title, f"[Download the notebook]({name}.ipynb)", *rest]) + "\n"
