from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lingshu_core.baseline_statistics import Population
from lingshu_core.cells import Cells, CellSource, read_cells
from lingshu_core.errors import PluginError
from lingshu_core.plugin_baseline import fit_plugin_baseline
from lingshu_core.plugin_model import PluginTraining, scaled_change
from lingshu_core.plugins import MODELS
from lingshu_core.preparation import build_vocabulary

FINE = {
    "fit": "return cls()",
    "from_arrays": "return cls()",
    "to_arrays": "return {'one': np.ones(1)}",
    "effect": "return np.zeros(40)",
}
SIGNATURES = {
    "fit": "@classmethod\n    def fit(cls, training)",
    "from_arrays": "@classmethod\n    def from_arrays(cls, arrays, vocabulary, settings)",
    "to_arrays": "def to_arrays(self)",
    "effect": "def effect(self, context, parts)",
}


@pytest.fixture(scope="module")
def cells(tiny: Path) -> Cells:
    columns = ("perturbation", "perturbation_type", "dose", "cell_type", "donor")
    return read_cells(CellSource(str(tiny / "cells.h5ad"), {name: name for name in columns}))


@pytest.mark.parametrize(
    ("method", "body", "told"),
    [
        ("fit", "raise RuntimeError('no\\nluck')", "fit failed with RuntimeError: no luck"),
        ("fit", "return None", "fit failed with AttributeError: 'NoneType' object has no attribute 'to_arrays'"),
        ("from_arrays", "return cls(arrays['two'])", "from_arrays failed with KeyError: 'two'"),
        ("to_arrays", "return [1]", "to_arrays gave a list; it has to be a mapping"),
        ("to_arrays", "return {'names': ['a']}", "to_arrays gave 'names' as <U1; a checkpoint keeps numbers only"),
        ("effect", "return np.zeros(3)", r"effect gave the shape (3,); the model has (40,) genes"),
        ("effect", "return np.zeros((4, 40))", r"effect gave the shape (4, 40); the model has (40,) genes"),
        ("effect", "return np.full(40, np.nan)", "effect gave 40 values that are NaN or infinite"),
        ("effect", "return 'much'", "failed with ValueError: could not convert string"),
    ],
)
def test_what_a_model_does_wrong_is_told_when_it_is_fitted(
    install_plugin: Callable[..., Path], cells: Cells, method: str, body: str, told: str
) -> None:
    methods = [f"    {SIGNATURES[name]}:\n        {line}\n" for name, line in (FINE | {method: body}).items()]
    source = "import numpy as np\n\nclass Model:\n" + "\n".join(methods)
    module = f"pl_model_{abs(hash((method, body)))}"
    install_plugin("my-package", {MODELS: {"mine": f"{module}:Model"}}, **{module: source})
    with pytest.raises(PluginError) as refusal:
        fit_plugin_baseline("mine", PluginTraining(cells, build_vocabulary(cells), None, {}))
    assert str(refusal.value).startswith(f"my-package 1.0, entry point lingshu.models: mine = {module}:Model: ")
    assert told in str(refusal.value)
    assert "\n" not in str(refusal.value)


@st.composite
def populations(draw: st.DrawFn) -> Population:
    counts = draw(arrays.arrays(np.int64, (6, 3), elements=st.integers(0, 40)))
    depth = np.full(6, draw(st.floats(50, 5000)))
    log1p = np.log1p(1e4 * counts / depth[:, None])
    moments = [log1p.mean(0), np.square(log1p).mean(0), counts.mean(0), np.square(counts).mean(0)]
    return Population(np.stack(moments), float(depth[0]), 6)


@given(populations(), arrays.arrays(np.float64, 3, elements=st.floats(-3, 3, width=32)))
def test_the_mean_moves_by_the_effect_and_moments_stay_possible(controls: Population, effect: np.ndarray) -> None:  # type: ignore[type-arg]
    found = controls.changed(scaled_change(controls, effect)).astype(float)
    np.testing.assert_allclose(found[0], np.maximum(controls.moments[0] + effect, 0), atol=1e-4)
    assert (found >= 0).all()
    assert (found[1] >= np.square(found[0]) * (1 - 1e-4) - 1e-5).all()
    still = effect == 0
    np.testing.assert_allclose(found[:, still], controls.moments[:, still], rtol=1e-6)
    more = (effect > 0) & (controls.moments[0] > 0)
    assert (found[2, more] >= controls.moments[2, more] * (1 - 1e-5)).all()


def test_a_rare_gene_scales_and_an_abundant_one_is_shifted() -> None:
    depth = 10_000.0
    rare, many = 1e-3, 400.0
    moments = np.array(
        [
            [rare * np.log(2), np.log1p(many)],
            [rare * np.log(2) ** 2, np.log1p(many) ** 2 + 0.2],
            [rare, many],
            [rare, many**2 * 1.2],
        ]
    )
    controls = Population(moments, depth, 100)
    found = controls.changed(scaled_change(controls, np.array([rare * np.log(2), 0.5]))).astype(float)
    assert found[2, 0] == pytest.approx(2 * rare, rel=1e-3)
    assert found[1, 0] == pytest.approx(2 * moments[1, 0], rel=1e-2)
    assert found[2, 1] == pytest.approx(many * np.exp(0.5), rel=5e-3)
    assert found[1, 1] - found[0, 1] ** 2 == pytest.approx(0.2, rel=0.02)
