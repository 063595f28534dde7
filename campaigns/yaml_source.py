"""Strict YAML: plain data, and the line that each field stands on.

What is read is YAML 1.2 with its core scalars and nothing that surprises:

- ``no``, ``on`` and ``1:30`` are text, ``1e-3`` is a number, ``1_000`` is text;
- ``012`` is refused: a number to one reader and a name to the next, so write ``12`` or ``"012"``;
- ``.inf`` and ``.nan`` are refused, no field has a use for them;
- refused are a key that appears twice, a key that is no text, a tag (``!!python/…``, ``!!str``), a merge key (``<<``);
- anchors and aliases work, in small numbers; size, depth and the number of values are limited;
- ``${LINGSHU_NAME}`` and ``${LINGSHU_NAME:-default}`` in text are replaced by the environment, other variables refused.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from campaigns.errors import Problem, Where, YamlError

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_ALIASES = 64
MAX_VALUES = 30_000
"""Reading so many takes about a second."""
MAX_KEY = 1000
MAX_MESSAGE = 300
MAX_INTEGER = 2**63 - 1

FieldPath = tuple[str | int, ...]

_TAG = "tag:yaml.org,2002:"
_PLAIN_SCALARS: tuple[tuple[str, str, str], ...] = (
    # tag, pattern, first characters (empty: the empty scalar)
    ("null", r"(?:~|null|Null|NULL|)", "~nN"),
    ("bool", r"(?:true|True|TRUE|false|False|FALSE)", "tTfF"),
    ("int", r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)", "-+0123456789"),
    (
        "float",
        r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))",
        "-+.0123456789",
    ),
)
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]+")
_VARIABLE = re.compile(r"\$\{([^{}]*)\}")
_VARIABLE_NAME = re.compile(r"(LINGSHU_[A-Z0-9_]+)(?::-(.*))?", re.DOTALL)
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
_SIMPLE_KEY = re.compile(r"[\w-]+")
# A path has lost one of its slashes.
_URL = re.compile(r"[a-z][a-z0-9+.-]+:/")
_IN_PLAIN_WORDS: tuple[tuple[str, str], ...] = (
    ("but found another document", "there is a second document (after ---), and a campaign is one"),
    ("character '\\t' that cannot start any token", "a tab stands in the indent; use spaces"),
    ("mapping values are not allowed here", "a colon stands in a value; put the value into quotes"),
    ("could not find expected ':'", "a key without its colon; write `key: value`"),
    ("expected <block end>", "the indent fits no line above"),
    ("unexpected end of stream", "a quote isn't closed"),
    ("expected ',' or ']'", "a bracket [ isn't closed, or a comma is missing"),
    ("expected ',' or '}'", "a brace { isn't closed, or a comma is missing"),
)
"""What PyYAML says of the mistakes that people make → what it means."""


def format_path(path: FieldPath) -> str:
    """Write a field path as users read it: ``perturbations.genetic[3]``."""
    text = ""
    for part in path:
        if isinstance(part, str) and _SIMPLE_KEY.fullmatch(part):
            text += f".{part}" if text else part
        else:
            text += f"[{part}]" if isinstance(part, int) else f'["{part}"]'
    return text


@dataclass(frozen=True, slots=True)
class Source:
    """Plain data read from a YAML file, with the line of every field.

    Parameters
    ----------
    file : str
        Name of the file as the user gave it.
    data : dict
        What the file holds: dictionaries, lists, text, numbers, booleans and None.
    lines : dict
        Field path → line, counted from 1; the line of a key stands for its value.
    """

    file: str
    data: Mapping[str, Any] = field(default_factory=dict)
    lines: Mapping[FieldPath, int] = field(default_factory=dict)

    def where(self, path: FieldPath) -> Where:
        """Find the place of a field, or of the nearest one around it that the file has."""
        if not self.lines:
            return Where(self.file, None, format_path(path))
        while path and path not in self.lines:
            path = path[:-1]
        return Where(self.file, self.lines.get(path), format_path(path))


NO_SOURCE = Source("<campaign>")


def read_yaml(path: str | os.PathLike[str], environment: Mapping[str, str] | None = None) -> Source:
    """Read a YAML file strictly.

    Parameters
    ----------
    path : path-like
        A local file.
    environment : mapping, optional
        Variables that ``${LINGSHU_…}`` may name; the process's environment by default.

    Returns
    -------
    Source

    Raises
    ------
    YamlError
        The file can't be read, or isn't strict YAML with a mapping at its top. Nothing else is raised, whatever
        the file holds.
    """
    name = os.fspath(path)
    try:
        with Path(name).open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise YamlError([Where(name).problem(f"can't be read: {_unreadable(name, error)}")]) from error
    return parse_yaml(content, name, environment)


def _unreadable(name: str, error: OSError | ValueError) -> str:
    if _URL.match(name):
        return "it is a URL, and campaign files are local; copy it to this machine"
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    if isinstance(error, FileNotFoundError):
        return f"{reason}; a relative path starts from the working directory"
    return f"{reason}; name a .yaml file in it" if isinstance(error, IsADirectoryError) else reason


def parse_yaml(content: bytes, file: str, environment: Mapping[str, str] | None = None) -> Source:
    """Parse the bytes of a YAML file strictly; parameters, result and errors as in `read_yaml`."""
    text = _decode(content, file)
    node = _compose(text, file)
    if not isinstance(node, yaml.MappingNode):
        found = "is empty" if node is None else "holds no mapping at its top"
        raise YamlError([Where(file, 1).problem(f"{found}; a campaign is `key: value` lines, `kind:` the first")])
    builder = _Builder(file, os.environ if environment is None else environment)
    try:
        data = builder.value(node, ())
    except _Refusal as refusal:
        raise YamlError([_marked(refusal, file)]) from refusal
    if builder.problems:
        raise YamlError(builder.problems)
    return Source(file, data, builder.lines)


def dump_yaml(data: Mapping[str, Any]) -> str:
    """Write plain data as YAML that `parse_yaml` reads back as it was."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def _decode(content: bytes, file: str) -> str:
    if len(content) > MAX_BYTES:
        text = f"is larger than {MAX_BYTES:,} bytes; put long lists into a text file and name it with `file:`"
        raise YamlError([Where(file).problem(text)])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if b"\0" in content:
            text = "is no text in UTF-8, but a file of another kind, or UTF-16; a campaign is a YAML file"
            raise YamlError([Where(file).problem(text)]) from error
        line = content.count(b"\n", 0, error.start) + 1
        text = f"byte 0x{content[error.start]:02x} is no UTF-8; save the file as UTF-8"
        raise YamlError([Where(file, line).problem(text)]) from error


class _Refusal(yaml.MarkedYAMLError):
    """Something that YAML allows and we don't."""

    def __init__(self, problem: str, mark: yaml.Mark) -> None:
        super().__init__(problem=problem, problem_mark=mark)


def _check_number(values: int, mark: yaml.Mark) -> None:
    if values > MAX_VALUES:
        text = f"more than {MAX_VALUES:,} keys and values; put long lists into a text file and name it with `file:`"
        raise _Refusal(text, mark)


class _Loader(yaml.SafeLoader):
    """Composes nodes with YAML 1.2 scalars; refuses tags and too many levels, values or aliases while it reads."""

    yaml_implicit_resolvers: dict[Any, Any] = {}  # noqa: RUF012  (PyYAML's own attribute)

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = 0
        self.aliases = 0
        self.values = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            self.aliases += 1
        elif event.tag is not None:
            raise _Refusal(f"tag {event.tag!r} isn't allowed; leave it out (quotes make a text)", event.start_mark)
        if self.aliases > MAX_ALIASES:
            raise _Refusal(f"more than {MAX_ALIASES} aliases (*name); write the values out", event.start_mark)
        if self.depth >= MAX_DEPTH:
            raise _Refusal(f"more than {MAX_DEPTH} levels deep", event.start_mark)
        self.values += 1
        _check_number(self.values, event.start_mark)
        self.depth += 1
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node


class _Dumper(yaml.SafeDumper):
    """Quotes what `_Loader` would read as something else than text."""

    yaml_implicit_resolvers: dict[Any, Any] = {}  # noqa: RUF012  (PyYAML's own attribute)

    def ignore_aliases(self, data: Any) -> bool:
        return True


for _name, _pattern, _first in _PLAIN_SCALARS:
    for _class in (_Loader, _Dumper):
        _characters = [*_first, ""] if _name == "null" else list(_first)
        _class.add_implicit_resolver(_TAG + _name, re.compile(rf"{_pattern}\Z"), _characters)


def _compose(text: str, file: str) -> yaml.Node | None:
    try:
        loader = _Loader(text)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        problem = Where(file, line).problem(f"character U+{error.character:04X} isn't allowed in YAML")
        raise YamlError([problem]) from error
    try:
        node: yaml.Node | None = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        raise YamlError([_marked(error, file)]) from error
    except (ValueError, OverflowError) as error:
        # PyYAML lets chr() and int() fail on "\U00110000" and on a long %YAML number.
        where = Where(file, loader.get_mark().line + 1)
        raise YamlError([where.problem(f"a number or an escape out of range: {error}")]) from error
    return node


def _marked(error: yaml.MarkedYAMLError, file: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    line = None if mark is None else mark.line + 1
    text = error.problem or error.context or "isn't YAML"
    if not isinstance(error, _Refusal):
        text = f"isn't YAML: {_in_plain_words(text)}"
        if error.context and error.context != error.problem:
            text += f" ({error.context}{_since(error)})"
    return Where(file, line).problem(text if len(text) <= MAX_MESSAGE else f"{text[:MAX_MESSAGE]}…")


def _in_plain_words(text: str) -> str:
    return next((plain for theirs, plain in _IN_PLAIN_WORDS if theirs in text), text)


def _since(error: yaml.MarkedYAMLError) -> str:
    """Name the line on which began what went wrong on another one."""
    first, last = error.context_mark, error.problem_mark
    return "" if first is None or last is None or first.line == last.line else f" that begins on line {first.line + 1}"


def _number(text: str, kind: str) -> int | float:
    """Read a number; what is too large or no number at all becomes NaN."""
    if kind == "float":
        return math.nan if text[-1] in "fFnN" else float(text)
    # The length goes first: int() of thousands of digits is slow and fails.
    number = int(text, 0) if len(text) <= len(str(MAX_INTEGER)) + 2 else math.inf
    return number if abs(number) <= MAX_INTEGER else math.nan


class _Builder:
    """Turns nodes into plain data and notes lines and problems on the way."""

    def __init__(self, file: str, environment: Mapping[str, str]) -> None:
        self.file = file
        self.environment = environment
        self.lines: dict[FieldPath, int] = {(): 1}
        self.problems: list[Problem] = []

    def value(self, node: yaml.Node, path: FieldPath) -> Any:
        self.lines.setdefault(path, node.start_mark.line + 1)
        # Both guards are for aliases: nodes are shared there, and a node can hold itself.
        if len(path) > MAX_DEPTH:
            raise _Refusal(f"more than {MAX_DEPTH} levels deep once aliases are followed", node.start_mark)
        _check_number(len(self.lines), node.start_mark)
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        return self.scalar(node, path)

    def mapping(self, node: yaml.MappingNode, path: FieldPath) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = self.key(key_node, path)
            if key is None:
                continue
            if key in data:
                first = self.lines[(*path, key)]
                self.refuse((*path, key), line, f"key {key!r} appears twice, first on line {first}; keep one")
                continue
            self.lines[(*path, key)] = line
            data[key] = self.value(value_node, (*path, key))
        return data

    def key(self, node: yaml.Node, path: FieldPath) -> str | None:
        line = node.start_mark.line + 1
        if not isinstance(node, yaml.ScalarNode) or node.tag != _TAG + "str":
            shown = repr(node.value[:60]) if isinstance(node, yaml.ScalarNode) else "this one"
            self.refuse(path, line, f"a key has to be text and {shown} isn't; put it into quotes")
            return None
        if node.value == "<<" and node.style is None:
            self.refuse(path, line, "merge keys (<<) aren't YAML 1.2; write the keys out")
            return None
        if _UNPRINTABLE.search(node.value):
            self.refuse(path, line, "a key holds a control character")
            return None
        if len(node.value) > MAX_KEY:
            self.refuse(path, line, f"a key of {len(node.value):,} characters; at most {MAX_KEY:,} are allowed")
            return None
        return str(node.value)

    def scalar(self, node: yaml.Node, path: FieldPath) -> Any:
        text: str = node.value
        kind = node.tag.removeprefix(_TAG)
        line = node.start_mark.line + 1
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() == "true"
        if kind in ("int", "float"):
            return self.number(text, kind, path, line)
        return self.text(text, path, line)

    def number(self, text: str, kind: str, path: FieldPath, line: int) -> int | float | None:
        if _LEADING_ZERO.fullmatch(text):
            plain = text.lstrip("+-0") or "0"
            self.refuse(path, line, f"{text} has a leading zero; write {plain} for a number, '{text}' for a name")
            return None
        number = _number(text, kind)
        if math.isfinite(number):
            return number
        self.refuse(path, line, f"{text[:40]} is too large or no finite number; put it into quotes if it is a name")
        return None

    def text(self, text: str, path: FieldPath, line: int) -> str:
        if _UNPRINTABLE.search(text):
            self.refuse(path, line, "the text holds a control character")
        elif "${" in _VARIABLE.sub("", text):
            self.refuse(path, line, "`${` without its `}`, or one in another; write ${LINGSHU_NAME:-default}")
        else:
            return _VARIABLE.sub(lambda match: self.variable(match, path, line), text)
        return ""

    def variable(self, match: re.Match[str], path: FieldPath, line: int) -> str:
        named = _VARIABLE_NAME.fullmatch(match[1])
        if named is None:
            shown = match[0] if len(match[0]) <= 60 else f"{match[0][:60]}…"
            self.refuse(path, line, f"{shown} isn't replaced: only variables that begin with LINGSHU_ are")
            return ""
        # As in a shell, an empty variable counts as unset where there is a default.
        value = self.environment.get(named[1], "") or named[2]
        if value is None:
            self.refuse(path, line, f"variable {named[1]} isn't set; set it or write ${{{named[1]}:-default}}")
            return ""
        if "${" in value or _UNPRINTABLE.search(value):
            self.refuse(path, line, f"the value of {named[1]} holds `${{` or a control character")
            return ""
        return value

    def refuse(self, path: FieldPath, line: int, text: str) -> None:
        self.problems.append(Problem(self.file, line, format_path(path), text))
