from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from campaigns.conditions import Context
from campaigns.plugin_spec import PluginObjectiveSpec
from lingshu_core.errors import PluginError
from lingshu_core.plugins import OBJECTIVES
from screening.objective.plugin_objective import plugin_readouts

GENES = ("MT-A", "MT-B", "C")


@pytest.fixture
def context() -> Context:
    return Context((("cell_type", "T"),))


def test_each_context_has_its_own_readout(install_plugin: Callable[..., Path], context: Context) -> None:
    source = (
        "from screening.objective.objectives import Readout\n"
        "def weigh(genes, context, settings):\n"
        "    up = settings['gene'] if context == {'cell_type': 'T'} else 'C'\n"
        "    return Readout([1 if gene == up else 0 for gene in genes], 'mean', 'up ' + up)\n"
    )
    install_plugin("my-package", {OBJECTIVES: {"mine": "pl_objective:weigh"}}, pl_objective=source)
    spec = PluginObjectiveSpec(kind="plugin", plugin="mine", settings={"gene": "MT-B"})
    found = plugin_readouts(spec, GENES, [context, Context((("cell_type", "B"),))])
    assert [readout.weights.tolist() for readout in found.values()] == [[0, 1, 0], [0, 0, 1]]
    assert found[context].question == "up MT-B [plugin mine (my-package 1.0)]"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("return settings['gene']", "the objective in cell_type=T failed with KeyError: 'gene'"),
        ("return [1, 0, 0]", "it gave a list; it has to be a screening.objective.objectives.Readout"),
        (
            "return Readout(np.ones(2), 'mean', 'q')",
            "weights are float64 of the shape (2,); they have to be numbers, (3,)",
        ),
        ("return Readout(np.array(['a', 'b', 'c']), 'mean', 'q')", "weights are <U1 of the shape (3,)"),
        ("return Readout(np.array([1, np.inf, 0]), 'mean', 'q')", "weights have values that are NaN or infinite"),
        ("return Readout(np.zeros(3), 'mean', 'q')", "all weights are 0: none of its genes is among the model's 3"),
        ("return Readout(np.ones(3), 'sum', 'q')", "the normalisation is 'sum'; there are: mean, share"),
        ("return Readout(np.ones(3), 'mean', '')", "the question is empty; say in words"),
    ],
)
def test_what_no_condition_can_be_scored_by_is_refused(
    install_plugin: Callable[..., Path], context: Context, body: str, told: str
) -> None:
    module = f"pl_objective_{abs(hash(body))}"
    head = "import numpy as np\nfrom screening.objective.objectives import Readout\n"
    source = f"{head}def weigh(genes, context, settings):\n    {body}\n"
    install_plugin("my-package", {OBJECTIVES: {"mine": f"{module}:weigh"}}, **{module: source})
    with pytest.raises(PluginError) as refusal:
        plugin_readouts(PluginObjectiveSpec(kind="plugin", plugin="mine"), GENES, [context])
    assert told in str(refusal.value).replace(context.label, "cell_type=T")
    assert str(refusal.value).startswith(f"my-package 1.0, entry point lingshu.objectives: mine = {module}:weigh: ")
