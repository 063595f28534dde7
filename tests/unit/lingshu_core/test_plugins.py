from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lingshu_core.errors import PluginError
from lingshu_core.plugin_model import find_model
from lingshu_core.plugins import FEATURES, MODELS, OBJECTIVES, installed_plugins, load_plugin


def test_a_plugin_knows_where_it_is_from(install_plugin: Callable[..., Path]) -> None:
    install_plugin("my-package", {OBJECTIVES: {"mine": "pl_fine:weigh"}}, pl_fine="def weigh(): ...")
    plugin = load_plugin(OBJECTIVES, "mine")
    assert (plugin.title, plugin.target) == ("mine (my-package 1.0)", "pl_fine:weigh")
    assert (OBJECTIVES, "mine", "my-package 1.0") in installed_plugins()


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("import no_such_module_anywhere", "can't be imported: ModuleNotFoundError: No module named 'no_such"),
        ("1 / 0", "can't be imported: ZeroDivisionError: division by zero"),
        ("def (", "can't be imported: SyntaxError"),
        ("other = 1", "can't be imported: AttributeError"),
        ("thing = 3", "is of type int; it has to be a class or a function"),
    ],
)
def test_a_plugin_that_can_not_be_imported_is_named(
    install_plugin: Callable[..., Path], source: str, told: str
) -> None:
    module = f"pl_wrong_{abs(hash(source))}"
    install_plugin("my-package", {FEATURES: {"mine": f"{module}:thing"}}, **{module: source})
    with pytest.raises(PluginError) as refusal:
        load_plugin(FEATURES, "mine")
    assert str(refusal.value).startswith(f"my-package 1.0, entry point lingshu.features: mine = {module}:thing: {told}")
    assert "\n" not in str(refusal.value)


def test_a_plugin_that_is_not_there_is_told_with_those_that_are(install_plugin: Callable[..., Path]) -> None:
    install_plugin("my-package", {MODELS: {"mine": "nowhere:Model"}})
    with pytest.raises(PluginError, match=r"no plugin 'other' is installed here .*there are: .*mine.*every node"):
        load_plugin(MODELS, "other")


def test_two_packages_with_one_name_are_both_named(install_plugin: Callable[..., Path]) -> None:
    for package in ("one-package", "other-package"):
        install_plugin(package, {MODELS: {"mine": "nowhere:Model"}})
    with pytest.raises(PluginError, match="one-package and other-package both have a plugin 'mine'"):
        load_plugin(MODELS, "mine")


def test_a_model_without_a_method_is_refused(install_plugin: Callable[..., Path]) -> None:
    source = "class Model:\n    def fit(self): ...\n    def from_arrays(self): ...\n    def effect(self): ...\n"
    install_plugin("my-package", {MODELS: {"mine": "pl_short:Model"}}, pl_short=source)
    with pytest.raises(PluginError, match=r"pl_short:Model: has no method 'to_arrays'; a model has fit, "):
        find_model("mine")
