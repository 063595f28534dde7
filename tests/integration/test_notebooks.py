"""The notebooks of the documentation, and every call of docs/python.md, run from beginning to end."""

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
NOTEBOOKS = ROOT / "docs" / "notebooks"
IN_ORDER = ("first-screen", "one-hit")
"""The second one opens what the first one left."""


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder that all notebooks ran in, and the notebooks with their outputs."""
    folder = tmp_path_factory.mktemp("notebooks")
    done = {}
    for name in IN_ORDER:
        notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
        where = {"metadata": {"path": folder}}
        client = NotebookClient(notebook, timeout=240, kernel_name="python3", resources=where)
        done[name] = client.execute()
    return folder, done


def outputs(notebook: Any, kind: str) -> list[str]:
    return [
        "".join(output["data"][kind])
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if kind in output.get("data", {})
    ]


def test_every_notebook_is_run_and_stored_without_outputs() -> None:
    assert {path.stem for path in NOTEBOOKS.glob("*.ipynb")} == set(IN_ORDER)
    for name in IN_ORDER:
        stored = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
        code = [cell for cell in stored.cells if cell.cell_type == "code"]
        assert not any(cell.outputs or cell.execution_count for cell in code)


def test_the_notebooks_show_hits_and_plots(executed: tuple[Path, dict[str, Any]]) -> None:
    _, notebooks = executed
    assert len(outputs(notebooks["first-screen"], "image/png")) == 3
    assert len(outputs(notebooks["one-hit"], "image/png")) == 3
    assert "hit" in outputs(notebooks["first-screen"], "text/html")[1]
    said = [out for notebook in notebooks.values() for cell in notebook.cells for out in cell.get("outputs", ())]
    assert [out["text"] for out in said if out.output_type == "stream"] == []  # quiet, and no warnings


def test_the_first_screen_finds_what_was_planted(executed: tuple[Path, dict[str, Any]]) -> None:
    import polars as pl

    import screening

    folder, _ = executed
    truth = pl.read_parquet(folder / "results" / "first" / "truth.parquet").filter("true_hit")
    hits = screening.open_results(folder / "results" / "first" / "screen").hits(decision="hit")
    names = hits["perturbation"].str.split("@").list.first()
    assert set(zip(names, hits["cell_type"], strict=True)) <= set(truth.select("perturbation", "cell_type").iter_rows())
    assert hits.height > 0


def test_every_call_of_the_page_about_python_works(
    executed: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Blocks of docs/python.md follow on the first screen, one after the other in one namespace."""
    monkeypatch.chdir(executed[0])
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    namespace: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), namespace)
    assert len(blocks) > 5
    assert "blocks" in capsys.readouterr().out  # what ProgressLines said
