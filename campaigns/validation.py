"""Plain data → spec, and pydantic's findings → problems with file, line and field path."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from campaigns.errors import Problem, SpecError
from campaigns.nearest import hint
from campaigns.spec import Spec
from campaigns.yaml_source import FieldPath, Source

SpecT = TypeVar("SpecT", bound=Spec)

_KINDS = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "dict_type": "a mapping (key: value lines)",
    "model_type": "a mapping (key: value lines)",
    "model_attributes_type": "a mapping (key: value lines)",
    "tuple_type": "a list",
}


def validate(model: type[SpecT], source: Source) -> SpecT:
    """Read the data of a YAML file as a spec.

    Parameters
    ----------
    model : type
        `TrainSpec`, `ScreenSpec` or another block.
    source : Source
        What `campaigns.yaml_source.read_yaml` gave.

    Returns
    -------
    Spec
        An instance of `model`.

    Raises
    ------
    SpecError
        With all problems that pydantic found, in the order of the file.
    """
    try:
        return model.model_validate(source.data)
    except ValidationError as error:
        details = error.errors(include_url=False)
    problems = [problem for detail in details for problem in _problems(detail, model, source)]
    # One mistake in a union can be told twice; the order is the file's, and on one line that of the entries.
    raise SpecError(sorted(dict.fromkeys(problems), key=lambda problem: problem.line or 0))


def _problems(detail: ErrorDetails, model: type[Spec], source: Source) -> Iterator[Problem]:
    if detail["type"] == "too_short" and len(detail["input"]) >= detail["ctx"]["min_length"]:
        return  # the list is long enough, its entries are wrong, and each of them is told
    for path, text in detail.get("ctx", {}).get("findings", [((), "")]):
        if detail["type"] == "union_tag_invalid":  # the field that chooses is there, and has its own line
            path = (detail["ctx"]["discriminator"].strip("'"),)
        loc = _without_tags(detail["loc"])
        if detail["type"] == "extra_forbidden":  # a key of the file, which may look like a tag
            loc = (*_without_tags(detail["loc"][:-1]), detail["loc"][-1])
        loc = (*loc, *path)
        yield source.where(_in_file(loc, source)).problem(text or _text(detail, loc, model))


def _without_tags(loc: tuple[str | int, ...]) -> FieldPath:
    return tuple(part for part in loc if not (isinstance(part, str) and part.startswith("<")))


def _in_file(loc: FieldPath, source: Source) -> FieldPath:
    """Drop what pydantic adds to a path and the file doesn't have: the names of a union's members."""
    path: FieldPath = ()
    block: Any = source.data
    member: Any = None  # of the union that the block is in, as long as it has not been dropped
    for part in loc:
        if part == member:
            member = None
        elif (*path, part) in source.lines or (not source.lines and isinstance(block, dict) and part in block):
            # Options of the command line are data without lines.
            path, block = (*path, part), block[part]
            member = block.get("kind") if isinstance(block, dict) else None
    return path


def _text(detail: ErrorDetails, loc: FieldPath, model: type[Spec]) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "missing":
        return _missing(loc, model)
    if kind == "extra_forbidden":
        return f"unknown key {loc[-1]!r}; {hint(str(loc[-1]), _keys(model, loc[:-1]))}"
    if kind == "union_tag_not_found":
        return f"missing field {context['discriminator']}; one of {', '.join(_kinds(model, loc))}"
    if kind == "union_tag_invalid":
        return f"unknown kind {context['tag'][:60]!r}; {hint(context['tag'][:60], _kinds(model, loc[:-1]))}"
    if kind in _KINDS:
        return f"must be {_KINDS[kind]}, not {_shown(detail['input'])}"
    if kind == "literal_error":
        allowed = context["expected"].replace("True", "true").replace("False", "false")
        return f"must be {allowed}, not {_shown(detail['input'])}"
    if kind == "string_pattern_mismatch":
        return f"{_shown(detail['input'])} isn't allowed: {_description(loc, model) or context['pattern']}"
    if kind == "too_short":
        return f"must have at least {_entries(context['min_length'])}"
    if kind == "too_long":
        return f"must have at most {_entries(context['max_length'])}, not {context['actual_length']:,}"
    if kind == "shape":
        return f"{detail['msg']}, not {_shown(detail['input'])}"
    said = detail["msg"].replace("Input should", "must").replace("String should", "must")
    return f"{said}, not {_shown(detail['input'])}"


def _entries(number: int) -> str:
    return "1 entry" if number == 1 else f"{number:,} entries"


def _missing(loc: FieldPath, model: type[Spec]) -> str:
    return ": ".join(filter(None, (f"missing field {loc[-1]!r}", _description(loc, model))))


def _description(loc: FieldPath, model: type[Spec]) -> str | None:
    fields = (field for block in _models(model, loc[:-1]) for field in _fields(block, loc[-1]))
    return next((field.description for field in fields if field.description), None)


def _shown(value: Any) -> str:
    """Show a value shortly, and nothing of a larger block: it may hold anything."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"the text {value!r}" if len(value) <= 60 else f"a text of {len(value)} characters"
    if isinstance(value, (int, float)):
        return str(value)
    return "a list" if isinstance(value, (list, tuple)) else "a mapping"


def _keys(model: type[Spec], loc: FieldPath) -> list[str]:
    return [field.alias or key for block in _models(model, loc) for key, field in block.model_fields.items()]


def _kinds(model: type[Spec], loc: FieldPath) -> list[str]:
    return [get_args(block.model_fields["kind"].annotation)[0] for block in _models(model, loc)]


def _models(model: type[BaseModel], loc: FieldPath) -> list[type[BaseModel]]:
    """Find the blocks that can stand at a path; several where a union isn't decided."""
    blocks = [model]
    fields: list[FieldInfo] = []
    for part in loc:
        members = [block for block in blocks if _is_kind(block, part)]
        if members and len(blocks) > 1:  # a member of a union; it may have a field of the same name
            blocks = members
        elif isinstance(part, int):  # a field may be a list of some blocks, or another block by itself
            blocks = [block for field in fields for block in _blocks_listed(field.annotation)] or blocks
        elif found := [field for block in blocks for field in _fields(block, part)]:
            fields = found
            blocks = [block for field in fields for block in _blocks_in(field.annotation)]
    return blocks


def _fields(block: type[BaseModel], part: str | int) -> list[FieldInfo]:
    return [field for key, field in block.model_fields.items() if part == (field.alias or key)]


def _is_kind(block: type[BaseModel], part: str | int) -> bool:
    field = block.model_fields.get("kind")
    return field is not None and part in get_args(field.annotation)


def _blocks_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _blocks_in(argument)


def _blocks_listed(annotation: Any) -> Iterator[type[BaseModel]]:
    """Find the blocks that stand in a list."""
    if get_origin(annotation) is tuple:
        yield from _blocks_in(annotation)
    else:
        for argument in get_args(annotation):
            yield from _blocks_listed(argument)
