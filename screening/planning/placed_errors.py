"""Errors of readers that know no YAML get the file, the line and the field that led to them.

What reads cells and checkpoints knows nothing of campaign files. It names a field by its path (``data.columns.donor``,
``hold_out``, ``model:``), a column by its name, or a value that no cell has; here that becomes a place in the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from campaigns.yaml_source import FieldPath, Source
from lingshu_core.errors import CheckpointError, DataError, LingshuCoreError, SplitError
from screening.errors import ScreeningError

DATA: FieldPath = ("data",)
_DATA_FIELD = re.compile(r"\bdata((?:\.[a-z_]+)+)")
_FIELD = re.compile(r"\b(hold_out|objective)\b(?! *=)|`(output|model)[:`]")
_COLUMN = re.compile(r"obs\['([^']+)'\]|: '([^']+)' determines|have no '([^']+)'")
_VALUE = re.compile(r"no cell has (\S+) '([^']*)'")
_OWN: dict[type[Exception], FieldPath] = {CheckpointError: ("model",), SplitError: ("split",)}
_LAYER = re.compile(r"layer '[^']*' is not in the file")
_SETTING = re.compile(r"has no setting '([^']+)'")


@contextmanager
def placing(source: Source, block: FieldPath = DATA) -> Iterator[None]:
    """Put file, line and field before the message of an error that names none; its type stays.

    Parameters
    ----------
    source
        The campaign file.
    block
        Its ``data`` block that is read; one inside an objective, for instance.
    """
    try:
        yield
    except (LingshuCoreError, ScreeningError) as error:
        text = str(error)
        path = _path_of(error, text, source, block)
        where = source.where(path or ())
        if where.field and not text.startswith((source.file, "command line")):
            error.args = (str(where.problem(text)),)
        raise


def data_block(source: Source) -> FieldPath:
    """Return where the ``data`` block of a screen's objective stands."""
    blocks: tuple[FieldPath, ...] = (("objective", "reference", "data"), ("objective", "data"))
    return next((block for block in blocks if block in source.lines), ("objective",))


def _path_of(error: Exception, text: str, source: Source, block: FieldPath) -> FieldPath | None:
    """Find the field that an error is about; None where it is about none."""
    value = _VALUE.search(text)
    if value is not None:
        return _field_with(source, value[1], value[2]) or block
    field = _DATA_FIELD.search(text)
    if field is not None:
        return (*block, *field[1].strip(".").split("."))
    column = _COLUMN.search(text)
    if column is not None:
        return _column_field(source, block, next(filter(None, column.groups())))
    if _LAYER.search(text):
        return (*block, "layer")
    named = _FIELD.search(text)
    if named is not None:
        return (named[1] or named[2],)
    setting = _SETTING.search(text)
    if setting is not None:
        return ("model", "overrides", setting[1])
    if isinstance(error, DataError):
        return (*block, "path")
    return next((path for kind, path in _OWN.items() if isinstance(error, kind)), None)


def _column_field(source: Source, block: FieldPath, column: str) -> FieldPath:
    """Find the role that a column has in a ``data`` block."""
    columns = (*block, "columns")
    roles = [path for path in source.lines if path[:-1] == columns and column in (path[-1], _value(source, path))]
    return roles[0] if roles else (*block, "path")


def _field_with(source: Source, name: str, value: str) -> FieldPath | None:
    """Find the field of a name that holds a value, alone or in a list."""
    for path in source.lines:
        keys = [part for part in path if isinstance(part, str)]
        if keys and keys[-1] == name and str(_value(source, path)) == value:
            return path
    return None


def _value(source: Source, path: FieldPath) -> Any:
    found: Any = source.data
    for part in path:
        found = found[part]
    return found
