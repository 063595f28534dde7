"""The models of a screen: one checkpoint, or the members of an ensemble, which have to be of a kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from campaigns.errors import EnsembleError
from campaigns.plan import PlannedMember
from campaigns.screen_spec import ScreenSpec
from campaigns.yaml_source import FieldPath, Source
from lingshu_core.checkpoint import CheckpointHeader, is_baseline, load_header
from screening.planning.ensemble_file import ENSEMBLE, ONE_OR_LIST, SAME_CELLS, read_ensemble

ALIKE: Mapping[str, Callable[[CheckpointHeader], Any]] = {
    "gene panel": lambda header: header.vocabulary.genes,
    "context factors": lambda header: {factor: list(values) for factor, values in header.vocabulary.factors.items()},
    "control label": lambda header: header.vocabulary.control,
    "vocabulary (contexts, perturbations and their cells)": lambda header: header.vocabulary.to_json(),
    "training data": lambda header: header.card.get("data_digest"),
    "depths of control cells": lambda header: [found.tobytes() for found in header.control_depths],
}
"""What all members have to share: effects of different genes, or against different controls, have no mean; and a
spread over different cells would not be the model's."""


@dataclass(frozen=True)
class Member:
    """A model of a screen: its name for humans, where it lies, and all of it but its weights."""

    name: str
    location: str
    header: CheckpointHeader

    @property
    def planned(self) -> PlannedMember:
        """The member as the plan names it."""
        return PlannedMember(self.name, self.header.digest)


def load_members(spec: ScreenSpec, source: Source) -> tuple[Member, ...]:
    """Read the headers of the models that a screen names.

    Parameters
    ----------
    spec
        Its ``model`` is a checkpoint, the folder of an ensemble, or a list of checkpoints.
    source
        The file of the screen, for messages.

    Raises
    ------
    CheckpointError
        If a checkpoint can't be used.
    EnsembleError
        If the models can't be screened together.
    """
    if isinstance(spec.model, str):
        listed = read_ensemble(spec.model)
        if listed is None:
            return (Member(spec.model, spec.model, load_header(spec.model)),)
        places = [f"{spec.model.rstrip('/')}/{member.folder}" for member in listed]
        members = tuple(
            Member(member.folder, place, load_header(place)) for member, place in zip(listed, places, strict=True)
        )
        for member, expected in zip(members, listed, strict=True):
            _check_digest(member, expected.digest, source)
        paths: list[FieldPath] = [("model",)] * len(members)
    else:
        paths = [("model", index) for index in range(len(spec.model))]
        for place, path in zip(spec.model, paths, strict=True):
            _refuse_ensemble(place, path, source)
        members = tuple(Member(place, place, load_header(place)) for place in spec.model)
        for member, path in zip(members, paths, strict=True):
            _refuse_baseline(member, path, source)
    _check_alike(members, paths, source)
    return members


def _check_digest(member: Member, expected: str, source: Source) -> None:
    if member.header.digest != expected:
        text = (
            f"{member.name} is {member.header.digest[:12]}, and {ENSEMBLE} lists {expected[:12]}: it was trained again"
            " or exchanged; run `lingshu train` of the ensemble again"
        )
        raise EnsembleError([source.where(("model",)).problem(text)])


def _refuse_ensemble(place: str, path: FieldPath, source: Source) -> None:
    listed = read_ensemble(place)
    if listed is not None:
        raise EnsembleError([source.where(path).problem(f"{place} is an ensemble; {ONE_OR_LIST}")])


def _refuse_baseline(member: Member, path: FieldPath, source: Source) -> None:
    if is_baseline(member.header.card):
        text = (
            f"{member.name} is the baseline {member.header.card['kind']!r}, whose predictions have no spread between"
            " members; screen it by itself"
        )
        raise EnsembleError([source.where(path).problem(text)])


def _check_alike(members: Sequence[Member], paths: Sequence[FieldPath], source: Source) -> None:
    """Refuse members that differ in what they have to share, or that are one and the same."""
    problems = []
    first = members[0]
    for index, (member, path) in enumerate(zip(members, paths, strict=True)):
        twin = next((other for other in members[:index] if other.header.digest == member.header.digest), None)
        differs = next((what for what, of in ALIKE.items() if of(member.header) != of(first.header)), None)
        if twin is not None:
            text = f"{member.name} is the same model as {twin.name}; every member has to be trained by itself"
            problems.append(source.where(path).problem(text))
        elif differs is not None:
            text = f"the {differs} of {member.name} isn't that of {first.name}; {SAME_CELLS}"
            problems.append(source.where(path).problem(text))
    if problems:
        raise EnsembleError(problems)
