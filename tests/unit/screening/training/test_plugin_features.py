from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from campaigns.feature_spec import PluginSource
from lingshu_core.errors import PluginError
from lingshu_core.plugins import FEATURES
from screening.training.plugin_features import plugin_block


def test_vectors_become_a_block(install_plugin: Callable[..., Path]) -> None:
    source = "def give(kind, settings):\n    return {'A': [1, settings['second']], 'B': [kind == 'genetic', 4.0]}\n"
    install_plugin("my-package", {FEATURES: {"mine": "pl_features:give"}}, pl_features=source)
    blocks = [
        plugin_block(PluginSource(kind="plugin", plugin="mine", settings={"second": second}, licence="CC0"), "genetic")
        for second in (2, 3)
    ]
    np.testing.assert_array_equal(blocks[0].values, [[1, 2], [1, 4]])
    assert (blocks[0].names, blocks[0].licence) == (("A", "B"), "CC0")
    assert blocks[0].kind == "plugin mine (my-package 1.0)"
    assert blocks[0].sha256 != blocks[1].sha256


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("raise OSError('disk')", "the features failed with OSError: disk"),
        ("return {}", "the features are an empty mapping"),
        ("return [('A', [1])]", "the features are a list; they have to be a mapping of name → vector"),
        ("return {'A': [1, 2], 'B': [1]}", "the vector of 'B' is int64 of the shape (1,)"),
        ("return {'A': ['x']}", "the vector of 'A' is <U1"),
        ("return {1: [1.0]}", "under names that are text"),
        ("return {'A': [1.0], 'B': [float('nan')]}", "the vector of 'B' has values that are NaN or infinite"),
        ("return {'A': []}", "the vector of 'A' is float64 of the shape (0,)"),
    ],
)
def test_what_are_no_vectors_is_refused(install_plugin: Callable[..., Path], body: str, told: str) -> None:
    module = f"pl_features_{abs(hash(body))}"
    install_plugin(
        "my-package", {FEATURES: {"mine": f"{module}:give"}}, **{module: f"def give(kind, settings):\n    {body}\n"}
    )
    with pytest.raises(PluginError) as refusal:
        plugin_block(PluginSource(kind="plugin", plugin="mine"), "genetic")
    assert told in str(refusal.value)
    assert str(refusal.value).startswith(f"my-package 1.0, entry point lingshu.features: mine = {module}:give: ")
