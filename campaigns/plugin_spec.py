"""What other packages bring: ``kind: plugin`` of a model, an objective or a source of features.

A file names a plugin and gives it settings. Whether a package has one of that name is looked up among the entry points
(`campaigns.plugin_names`), which imports none of them; what the settings mean is the plugin's own business.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator, StringConstraints

from campaigns.spec import Spec, refuse

LARGEST_TEXT = 1000

PluginName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
"""The name of an entry point."""


def _value(value: Any) -> bool | int | float | str:
    if not isinstance(value, (bool, int, float, str)) or (isinstance(value, str) and len(value) > LARGEST_TEXT):
        refuse(((), f"must be a number, true, false or a text of at most {LARGEST_TEXT:,} characters"))
    return value


PluginSettings = Annotated[
    dict[str, Annotated[bool | int | float | str, PlainValidator(_value, json_schema_input_type=bool | float | str)]],
    Field(max_length=1000),
]
"""Plain values under names; the plugin knows which it takes."""

SETTINGS: Any = Field(default_factory=dict, description="What is handed to the plugin: numbers, texts, true or false.")


class PluginObjectiveSpec(Spec):
    """An objective that another package brings, under the entry points ``lingshu.objectives``."""

    kind: Literal["plugin"]
    plugin: PluginName = Field(description="Name of the plugin; `lingshu plugins` lists those that are installed.")
    settings: PluginSettings = SETTINGS
    exclude_own_targets: bool = Field(
        default=True, description="Leave the genes that a genetic perturbation targets out of its own score."
    )
