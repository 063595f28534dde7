"""Errors of the model room.

::

    LingshuCoreError                 root: everything that lingshu_core raises on purpose
    ├── DataError                    the file of cells can't be used as it is
    │   ├── UnreadableCells          not there, not an .h5ad, or not complete
    │   ├── NotCounts                values that are no UMI counts (log-normalised, scaled, negative, NaN)
    │   ├── MissingColumn            a column, layer or label that the YAML names is not in the file
    │   ├── UnusableCells            counts, but not a usable experiment (no controls, duplicate genes, …)
    │   ├── PanelError               cells that share too few genes with the model
    │   └── PredictionRefused        predicted cells or effects that can't be scored as they are
    ├── FeatureError                 features of perturbations that can't be read or used
    ├── PluginError                  a plugin that isn't installed, can't be imported or doesn't do what it should
    ├── SplitError                   a split that the cells can't carry, or that isn't of these cells
    ├── ConditionError               a condition that the model has no tokens for
    ├── ConfigurationError           hyper-parameters that don't fit together
    ├── TrainingError                training could not go on
    │   ├── NoSuchDevice             the device that was asked for isn't here
    │   └── OutOfMemory              a batch doesn't fit into the memory of its device; names the setting to lower
    ├── DiskFull                     no space is left for what is to be written; says what is safe
    ├── CheckpointError              a checkpoint that is missing, damaged, tampered with or too new
    ├── CalibrationError             predictions from which no interval can be made
    └── SimulationError              a simulation that can't be built as configured
"""

from __future__ import annotations


class LingshuCoreError(Exception):
    """Root of the errors that ``lingshu_core`` raises on purpose."""


class DataError(LingshuCoreError):
    """The file of cells can't be used as it is."""


class UnreadableCells(DataError):
    """The file is not there, is no ``.h5ad`` or is incomplete."""


class NotCounts(DataError):
    """The matrix holds something else than raw UMI counts."""


class MissingColumn(DataError):
    """A column, layer or label that was asked for is not in the file."""


class UnusableCells(DataError):
    """The counts are fine, but they are not a usable perturbation experiment."""


class FeatureError(LingshuCoreError):
    """Features of perturbations can't be read or used."""


class PluginError(LingshuCoreError):
    """A plugin isn't installed, can't be imported or doesn't do what it should; names the package and entry point."""


class SplitError(LingshuCoreError):
    """A split that the cells can't carry, or a stored one that isn't of these cells."""


class PanelError(DataError):
    """The cells share too few genes with the model."""


class PredictionRefused(DataError):
    """Predicted cells or effects are not what they have to be, and are not scored."""


class ConditionError(LingshuCoreError):
    """A condition that the model has no tokens for."""

    after_failure = "set aside"  # another attempt would say the same


class ConfigurationError(LingshuCoreError):
    """Hyper-parameters that don't fit together."""


class TrainingError(LingshuCoreError):
    """Training could not go on."""


class NoSuchDevice(TrainingError):
    """The device that was asked for isn't here."""


class OutOfMemory(TrainingError):
    """A batch doesn't fit into the memory of its device; the message names the setting to lower."""


class DiskFull(LingshuCoreError):
    """No space is left for what is to be written; the message says what is safe and how to go on."""


class CheckpointError(LingshuCoreError):
    """A checkpoint is missing, damaged, tampered with or too new."""


class CalibrationError(LingshuCoreError):
    """Predictions don't fit together, or are too few, to say how far off they are."""


class SimulationError(LingshuCoreError):
    """A simulation can't be built as configured."""
