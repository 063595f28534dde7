"""The page of safety names every field and column, with the words of the code."""

from pathlib import Path

import campaigns.safety_spec

PAGE = (Path(__file__).parents[3] / "docs" / "safety.md").read_text(encoding="utf-8")


def test_every_field_is_explained() -> None:
    blocks = [block for name, block in vars(campaigns.safety_spec).items() if name.endswith("Spec") and name != "Spec"]
    fields = {field for block in blocks for field in block.model_fields}
    assert len(fields) > 8
    assert not {name for name in fields if f"`{name}`" not in PAGE}
