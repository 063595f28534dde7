"""The package that docs/plugins.md writes step by step is built as it stands there, trained and screened with."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from campaigns.yaml_source import parse_yaml
from screening.run import run_campaign
from screening.training.ensemble_training import train_file

PAGE = (Path(__file__).parents[3] / "docs" / "plugins.md").read_text(encoding="utf-8")
BLOCK = re.compile(r'^```(\w+)(?: title="([\w/.]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def block(wanted: str) -> dict[str, Any]:
    """The YAML block of the page with this in it."""
    (found,) = (body for language, _, body in BLOCK.findall(PAGE) if language == "yaml" and wanted in body)
    return dict(parse_yaml(found.encode(), "plugins.md").data)


class Quiet:
    def stage(self, name: str, detail: str) -> None: ...

    def progress(self, progress: object) -> None: ...


def test_the_package_of_the_page_is_screened(
    install_plugin: Callable[..., Path],
    write_train: Callable[..., Path],
    write_screen: Callable[..., Path],
    tmp_path: Path,
) -> None:
    (project,) = (tomllib.loads(body)["project"] for language, _, body in BLOCK.findall(PAGE) if language == "toml")
    site = install_plugin(project["name"], project["entry-points"], project["version"])
    (site / "my_plugins").mkdir()
    (site / "my_plugins" / "__init__.py").touch()
    for _, name, body in BLOCK.findall(PAGE):
        if name:
            (site / name).write_text(body)
    features = block("name_letters")["features"]
    features["genetic"][0]["settings"] = {"names": "REG01 REG04 REG05 REG08 REG09 REG10", "letters": "REG456789"}
    objective = block("housekeeping")["objective"] | {"settings": {"genes": "REG04 REG05"}}
    train_file(write_train(model=block("half-effect")["model"], training={}, features=features))
    screen = write_screen(
        model=str(tmp_path / "model"), objective=objective, perturbations={"genetic": "all_described"}
    )
    assert run_campaign(screen, Quiet()).complete
    table = pl.read_parquet(tmp_path / "screen" / "hits.parquet")
    assert set(table["paths"]) == {"plugin half_effect"}
    assert "REG01" in set(table["perturbation"])
    assert table["score"].abs().max() > 0
