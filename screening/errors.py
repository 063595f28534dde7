"""Errors of the screening room.

::

    ScreeningError               root: everything that screening raises on purpose
    ├── ObjectiveError           an objective that can't be scored in these contexts
    ├── ResultsError             results that are not there or can't be read
    │   └── QueryError           an expression that picks no rows: unknown columns, or more than a comparison
    ├── TableError               a Delta table of hits that can't be read or written
    │   └── TableConflict        somebody else has changed it since it was read
    ├── DraftError               cells of which no campaign can be drafted, or a place that has one already
    ├── PilotFailed              no block could be measured: the replica did not open, or its block failed
    ├── ComparisonError          campaigns that can't be compared: they ask different questions
    ├── FigureError              a plot of what the tables don't have, or without the package that draws it
    ├── BlockError               bytes of a committed block that are not what the plan asked for
    ├── CardError                a model card that is damaged, was changed, or is of another model
    ├── LeakError                something of what is asked was there to learn from
    ├── EvaluatorError           a package of the extra `evaluate` is missing, of another version, or refuses the cells
    ├── ReportError              a page can't be made with what is installed
    ├── PlaceError               a place that the node of a planner doesn't have
    ├── PlaceTaken               another campaign is running into the same place
    ├── NotDetachable            a run that would end with the command, although it should not
    ├── NotRunning               nothing is running that could be watched or cancelled
    ├── LeftRunning              a command was interrupted, and the run goes on without it
    ├── TrainingLost             workers of a training were lost more often than they may be started again
    ├── NonFiniteResult          the model gave NaN or infinity; the replica is not used again
    ├── ReplicaOutOfMemory       a shard doesn't fit into the memory of its device; names the setting to lower
    └── DeviceFailure            the GPU gave an error; the replica is not used again
"""

from __future__ import annotations

import sys


class ScreeningError(Exception):
    """Root of the errors that ``screening`` raises on purpose."""


class ObjectiveError(ScreeningError):
    """An objective can't be scored in these contexts."""


class ResultsError(ScreeningError):
    """Results are not there or can't be read."""


class QueryError(ResultsError):
    """An expression picks no rows: it names unknown columns, or is more than comparisons of columns."""


class TableError(ScreeningError):
    """A Delta table of hits can't be read or written."""


class TableConflict(TableError):
    """Somebody else has changed a Delta table since it was read."""


class DraftError(ScreeningError):
    """No campaign can be drafted of these cells, or there is one already in the place."""


class PilotFailed(ScreeningError):
    """A pilot could not measure a block: its replica did not open, or the block failed."""


class ComparisonError(ScreeningError):
    """Two campaigns can't be compared: they ask different questions, or of different conditions."""


class FigureError(ScreeningError):
    """A plot can't be made: the tables don't have what it shows, or a package is missing."""


class BlockError(ScreeningError):
    """The bytes of a committed block are not what the plan asked for."""


class CardError(ScreeningError):
    """A model card is damaged, was changed by hand, or is of another model."""


class LeakError(ScreeningError):
    """Something of what an evaluation asks was there to learn from; a line a finding."""


class EvaluatorError(ScreeningError):
    """A package of the extra ``evaluate`` is missing, of another version, or refuses the cells."""


class ReportError(ScreeningError):
    """The page of a report can't be made with what is installed."""


class PlaceError(ScreeningError):
    """The node on which a planner runs doesn't have a place that the campaign names."""


class PlaceTaken(ScreeningError):
    """Another campaign is running into the same place."""


class NotDetachable(ScreeningError):
    """A run should outlive its command, and can't."""


class NotRunning(ScreeningError):
    """Nothing is running that could be watched or cancelled."""


class LeftRunning(ScreeningError):
    """A command was interrupted while it watched a run, which goes on."""


class TrainingLost(ScreeningError):
    """Workers of a training were lost more often than they may be started again."""


class NonFiniteResult(ScreeningError):
    """The model gave NaN or infinity: the weights in this process can't be trusted any more."""

    poisons_replica = True


class ReplicaOutOfMemory(ScreeningError):
    """A shard doesn't fit into the memory of its device; the message names the setting to lower."""

    after_failure = "set aside"  # the replica has let go of what it could, and tried again itself


class DeviceFailure(ScreeningError):
    """The GPU gave an error after which nothing else works in this process."""

    poisons_replica = True


def is_storage_error(error: Exception) -> bool:
    """Tell an error of the S3 client behind fsspec (no credentials, no endpoint), without loading that client."""
    client = sys.modules.get("botocore.exceptions")
    return client is not None and isinstance(error, (client.BotoCoreError, client.ClientError))
