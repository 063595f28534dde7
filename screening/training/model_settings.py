"""Settings of a configuration that a training changes: values of the right kind, before anything is built of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from lingshu_core.denoiser import CONFIGURATIONS
from lingshu_core.errors import ConfigurationError

MAY_BE_ZERO = ("pooled_width",)
"""Whole numbers that switch something off; all others count what has to be there."""


def check_overrides(name: str, overrides: Mapping[str, bool | int | float]) -> None:
    """Refuse values that no model can be built of; names that a configuration doesn't have are told elsewhere.

    Parameters
    ----------
    name
        Of a configuration.
    overrides
        Setting → value.

    Raises
    ------
    ConfigurationError
        If a value is not of the kind of the default's, or out of range.
    """
    config = CONFIGURATIONS[name]
    defaults = asdict(config) | (asdict(config.backbone) if config.backbone else {})
    for setting, value in overrides.items():
        wanted = _wanted(setting, defaults.get(setting), value)
        if wanted:
            shown = str(value).lower() if isinstance(value, bool) else value
            raise ConfigurationError(f"model.overrides.{setting}: must be {wanted}, not {shown}")


def _wanted(setting: str, default: object, value: bool | int | float) -> str:
    """Say what a setting takes where the value isn't that; empty where it is, or where there is no such setting."""
    if isinstance(default, bool):
        return "" if isinstance(value, bool) else "true or false"
    if isinstance(default, int):
        least = 0 if setting in MAY_BE_ZERO else 1
        fits = type(value) is int and value >= least
        return "" if fits else f"a whole number of at least {least}"
    if isinstance(default, float):
        return "" if not isinstance(value, bool) and 0 <= value < 1 else "a number of at least 0 and less than 1"
    return ""
