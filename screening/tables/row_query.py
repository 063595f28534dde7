"""Which rows of a table are wanted, said in a line: ``q < 0.05 and context = 'NK cells'``.

The line is cut into words before polars parses it as SQL. What may stand in it is listed here: columns of the table,
numbers, texts in single quotes, comparisons, arithmetic, and / or / not, in, between, like, is null. There are no
functions, no queries within and no comments, so nothing in it can read a file or name anything but a column.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from campaigns.nearest import nearest
from screening.deciding.hits import COLUMNS as HIT_COLUMNS
from screening.errors import QueryError
from screening.tables.campaign_rows import COLUMNS

LONGEST = 10_000
"""Characters of an expression."""
SHORT_NAMES: Mapping[str, str] = {"q": "q_value", "p": "p_null", "e": "e_value"}
"""As the printed table names them."""
KEYWORDS = ("and", "or", "not", "in", "is", "null", "like", "ilike", "between", "true", "false")
CONTEXT = "context"
_WORDS = re.compile(
    r"(?P<text>'(?:[^']|'')*')|(?P<quoted>\"(?:[^\"]|\"\")+\")|(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
    r"|(?P<word>[^\W\d]\w*)|(?P<sign><=|>=|<>|!=|[=<>+\-*/%(),])|(?P<space>\s+)|(?P<other>.)",
    re.DOTALL,
)
_NEGATIVE = {"!=": "=", "<>": "="}


@dataclass(frozen=True)
class Word:
    """A word of an expression: ``kind`` is column, keyword, text, number or sign; ``sql`` is how polars reads it."""

    kind: str
    sql: str


def filter_rows(rows: pl.DataFrame, text: str) -> pl.DataFrame:
    """Keep the rows for which an expression holds; where it compares with an empty field, it doesn't hold.

    Parameters
    ----------
    rows
        A hit table, or several together.
    text
        Such as ``q < 0.05 and context = 'NK cells'``. ``context`` compared with a text means the whole context or any
        of its factors. ``q``, ``p`` and ``e`` are short for ``q_value``, ``p_null`` and ``e_value``.

    Raises
    ------
    QueryError
        If it names something that is no column, holds more than is listed above, or compares text with numbers.
    """
    try:
        return rows.filter(expression(text, rows))
    except pl.exceptions.PolarsError as error:
        raise QueryError(f"--where {text!r:.200}: {_first_line(error)}") from error


def expression(text: str, rows: pl.DataFrame) -> pl.Expr:
    """Read an expression over the columns of a table.

    Raises
    ------
    QueryError
        As `filter_rows`, but for types.
    """
    if len(text) > LONGEST:
        raise QueryError(f"--where has {len(text):,} characters, and at most {LONGEST:,} are read")
    words = list(_read(text, rows.columns))
    if not words:
        raise QueryError("--where is empty; write a comparison, such as: q < 0.05 and context = 'NK cells'")
    _check_brackets(words, text)
    sql = " ".join(_with_factors(words, _factors(rows)))
    try:
        return pl.sql_expr(f"({sql})")
    except pl.exceptions.PolarsError as error:
        raise QueryError(
            f"--where {text!r:.200}: not an expression; write comparisons joined by and / or, with texts in single"
            " quotes, such as: q < 0.05 and context = 'NK cells'"
        ) from error


def sort_rows(rows: pl.DataFrame, text: str) -> pl.DataFrame:
    """Order rows by columns, ``q,-score``: the smallest first, after a minus the largest; empty fields come last.

    Raises
    ------
    QueryError
        If one is no column.
    """
    asked = [part.strip() for part in text.split(",")]
    names = [_column(part.removeprefix("-").strip(), rows.columns, "--sort") for part in asked]
    down = [part.startswith("-") for part in asked]
    return rows.sort(names, descending=down, nulls_last=True, maintain_order=True)


def _read(text: str, columns: Sequence[str]) -> Iterator[Word]:
    for match in _WORDS.finditer(text):
        kind, found = str(match.lastgroup), match.group()
        if kind == "space":
            continue
        if kind == "other":
            raise QueryError(f"--where {text!r:.200}: {found!r} at character {match.start() + 1} can't stand there")
        if kind == "quoted":
            yield _as_column(_column(found[1:-1].replace('""', '"'), columns, "--where"))
        elif kind == "word" and found.lower() in KEYWORDS:
            yield Word("keyword", found.upper())
        elif kind == "word":
            yield _as_column(_column(found, columns, "--where"))
        else:
            yield Word(kind, found)


def _as_column(name: str) -> Word:
    return Word("column", '"' + name.replace('"', '""') + '"')


def _column(name: str, columns: Sequence[str], option: str) -> str:
    if name in columns:
        return name
    if SHORT_NAMES.get(name) in columns:
        return SHORT_NAMES[name]
    if SHORT_NAMES.get(name, name) in HIT_COLUMNS:
        text = "an older version made them; run the campaign again"
        raise QueryError(f"{option}: these results have no column {SHORT_NAMES.get(name, name)} yet: {text}")
    alike = nearest(name, columns)
    meant = f"; nearest: {', '.join(alike)}" if alike else ""
    quoted = [each if each.isidentifier() else f'"{each}"' for each in columns]
    raise QueryError(f"{option}: unknown column {name!r}{meant}; there are: {', '.join(quoted)}")


def _check_brackets(words: Sequence[Word], text: str) -> None:
    depth = 0
    for word in words:
        depth += {"(": 1, ")": -1}.get(word.sql, 0)
        if depth < 0:
            break
    if depth:
        raise QueryError(f"--where {text!r:.200}: its brackets don't match")


def _factors(rows: pl.DataFrame) -> list[str]:
    """Return the columns that hold a part of the context."""
    known = {*HIT_COLUMNS, *COLUMNS}
    return [name for name, kind in rows.schema.items() if name not in known and kind == pl.String]


def _with_factors(words: Sequence[Word], factors: Sequence[str]) -> Iterator[str]:
    """Let a comparison of the context with a text hold of its factors too, as ``--context`` does."""
    place = 0
    while place < len(words):
        end, test, is_negative = _test_of_context(words, place)
        if test:
            names = [_as_column(name).sql for name in (CONTEXT, *factors)]
            # A campaign without the factor has an empty field there, and that is not the same.
            held = " OR ".join(f"COALESCE({name} {test}, FALSE)" for name in names)
            yield f"(NOT ({held}))" if is_negative else f"({held})"
        else:
            yield words[place].sql
            end = place + 1
        place = end


def _test_of_context(words: Sequence[Word], place: int) -> tuple[int, str, bool]:
    """Return where a comparison of the context with texts ends, what it says, and whether it denies it."""
    if words[place] != _as_column(CONTEXT):
        return place, "", False
    following = [word.sql for word in words[place + 1 : place + 3]]
    is_denied = following[:1] == ["NOT"]
    start = place + 1 + is_denied
    operator = words[start].sql if start < len(words) else ""
    rest = words[start + 1 :]
    if operator == "IN":
        length = next((number + 1 for number, word in enumerate(rest) if word.sql == ")"), 0)
        if all(word.kind == "text" or word.sql in "(,)" for word in rest[:length]):
            return start + 1 + length, " ".join(word.sql for word in [words[start], *rest[:length]]), is_denied
    elif operator in ("=", "LIKE", "ILIKE", *_NEGATIVE) and rest and rest[0].kind == "text":
        plain = _NEGATIVE.get(operator, operator)
        return start + 2, f"{plain} {rest[0].sql}", is_denied != (operator in _NEGATIVE)
    return place, "", False


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300]
