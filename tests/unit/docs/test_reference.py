"""Pages that are made of the code or speak of it: the reference, the limits, what is written by hand."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import screening

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
FIGURE = re.compile(r"(?<![\d.\w])[−]?\.\d{2,3}\b")


@pytest.fixture(scope="module")
def extension() -> ModuleType:
    pytest.importorskip("griffe", reason="mkdocstrings of the extra `docs` is not installed")
    spec = importlib.util.spec_from_file_location("reference_extension", DOCS / "reference_extension.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def loaded(extension: ModuleType, name: str) -> Any:
    """What griffe reads of a module's source, with the extension."""
    import griffe

    extensions = griffe.load_extensions(extension.ReadableDocstrings)
    return griffe.load(name, search_paths=[ROOT], extensions=extensions, allow_inspection=False)


def test_fields_of_campaigns_say_what_the_schema_says(extension: ModuleType) -> None:
    from campaigns.screen_spec import BudgetSpec, DosedSpec, EstimatorSpec

    module = loaded(extension, "campaigns.screen_spec")
    for spec in (BudgetSpec, DosedSpec, EstimatorSpec):
        told = {name: module[spec.__name__][name].docstring.value for name in spec.model_fields}
        assert told == {name: field.description for name, field in spec.model_fields.items()}
    assert str(module["DosedSpec"]["doses"].value) == "'all_seen'"


def test_arguments_that_share_a_text_keep_their_own_types(extension: ModuleType) -> None:
    sections = loaded(extension, "screening.notebook.api")["screen"].docstring.parse("numpy")
    (arguments,) = (section.value for section in sections if section.kind.value == "parameters")
    assert {each.name: str(each.annotation) for each in arguments}["replicas"] == "int | None"
    assert len({each.description for each in arguments if each.name in ("output", "replicas", "backend")}) == 1


def test_every_public_name_of_the_package_is_in_the_reference() -> None:
    page = (DOCS / "reference" / "python.md").read_text(encoding="utf-8")
    assert not {name for name in screening.__all__ if not re.search(rf"\b{name}\b", page.partition("\n::: ")[2])}


def test_every_figure_of_the_limits_stands_where_it_is_explained() -> None:
    page = (DOCS / "limits.md").read_text(encoding="utf-8")
    linked = set(re.findall(r"\]\(([\w-]+\.md)", page))
    assert {"benchmarks.md", "evaluation-table.md"} <= linked
    measured = set().union(
        *(FIGURE.findall(re.sub(r"\b0\.", ".", (DOCS / name).read_text(encoding="utf-8"))) for name in linked)
    )
    figures = set(FIGURE.findall(page))
    assert len(figures) > 20
    assert not figures - measured


def test_what_is_written_by_hand_exists_and_has_a_reason() -> None:
    page = (DOCS / "by-hand.md").read_text(encoding="utf-8")
    rows = [line.strip("|").split(" | ") for line in page.splitlines() if line.startswith("| ") and "`" in line]
    assert len(rows) > 30
    assert all(len(row) == 3 and len(row[2]) > 15 for row in rows)
    modules = {
        path.stem
        for package in ("screening", "lingshu_core", "actors", "campaigns")
        for path in (ROOT / package).rglob("*.py")
    }
    named = {name for row in rows for name in re.findall(r"`(?:lingshu_core\.)?([a-z_]+)`", row[0])}
    assert not named - modules
