"""``lingshu validate``: a campaign file, checked without torch, ray or numpy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from campaigns.errors import EnsembleError
from campaigns.evaluation_spec import CheckpointEntry, EvaluateSpec
from campaigns.generation_condition import resolve_condition
from campaigns.generation_spec import GenerateSpec
from campaigns.plan import PlannedMember, make_plan
from campaigns.screen_spec import ScreenSpec
from campaigns.source import load_any
from campaigns.vocabulary import Vocabulary
from campaigns.yaml_source import Source
from screening.planning.ensemble_file import ONE_OR_LIST, SAME_CELLS, read_ensemble
from screening.planning.single_ranking import rank_singles
from screening.planning.structures import structure_problem
from screening.planning.support import describe_support
from screening.planning.vocabulary_file import read_plain_vocabulary


def validate_campaign(path: Path) -> Iterator[str]:
    """Yield what was found right, a line each.

    Raises
    ------
    CampaignError
        With every problem of the file, each with its line, field and cure.
    """
    loaded = load_any(path)
    yield f"{path}: a valid `kind: {loaded.spec.kind}` file, named {loaded.spec.name!r}"
    spec = loaded.spec
    if isinstance(spec, EvaluateSpec):
        yield from _evaluation(spec)
    if not isinstance(spec, (ScreenSpec, GenerateSpec)):
        return
    members = _members(spec, loaded.source)
    vocabularies = [read_plain_vocabulary(member.name) for member in members]
    lacking = [member.name for member, found in zip(members, vocabularies, strict=True) if found is None]
    if lacking:
        there = f"no model in {', '.join(lacking)} yet"
        yield f"{there}: names of genes, contexts and perturbations are unchecked (train it first)"
        return
    vocabulary = _shared(vocabularies, members, loaded.source)
    if isinstance(spec, GenerateSpec):
        yield f"asks for {resolve_condition(spec, vocabulary, loaded.source).label}"
        return
    # A plan without digests: it finds every problem of grid, objective and budget at once.
    plan = make_plan(
        spec,
        vocabulary,
        model_digest="",
        control_set_digest=lambda context: "",
        panel_digest="",
        sampler_version="",
        source=loaded.source,
        structure_problem=structure_problem,
        single_ranking=rank_singles,
        members=members if len(members) > 1 else (),
    )
    if plan.members:
        yield f"an ensemble of {len(plan.members)} members; `lingshu plan` checks that their training data are the same"
    controls = sum(planned.role == "control" for planned in plan.conditions)
    null = sum(planned.role == "null" for planned in plan.conditions)
    pseudo = f" and {null:,} of the null" if null else ""
    yield f"{len(plan.conditions):,} conditions, {controls:,} of them controls{pseudo}"
    yield describe_support(plan)
    yield from plan.notices


def _evaluation(spec: EvaluateSpec) -> Iterator[str]:
    baselines = ", ".join(spec.chosen_baselines) or "no baseline"
    yield f"judges {', '.join(entry.name for entry in spec.models)} beside {baselines}"
    yield f"split {spec.split.kind}, seeds {', '.join(map(str, spec.seeds))}, metrics {', '.join(spec.metrics)}"
    places = [entry.checkpoint for entry in spec.models if isinstance(entry, CheckpointEntry)]
    lacking = [place for place in places if read_plain_vocabulary(place) is None]
    if lacking:
        yield f"no model in {', '.join(lacking)} yet (train it first)"
    yield "folds, questions and leaks depend on the cells; `lingshu evaluate` checks them before anything is trained"


def _members(spec: ScreenSpec | GenerateSpec, source: Source) -> list[PlannedMember]:
    """List the folders of the models that a file names; without torch they have no digests but those of an ensemble."""
    if isinstance(spec, GenerateSpec):
        return [PlannedMember(spec.model, "")]
    members = []
    for index, place in enumerate(spec.models):
        listed = read_ensemble(place)
        if listed is not None and not isinstance(spec.model, str):
            raise EnsembleError([source.where(("model", index)).problem(f"{place} is an ensemble; {ONE_OR_LIST}")])
        members += [PlannedMember(f"{place.rstrip('/')}/{m.folder}", m.digest) for m in listed or ()]
        members += [PlannedMember(place, place)] if listed is None else []
    return members


def _shared(vocabularies: Sequence[Vocabulary | None], members: Sequence[PlannedMember], source: Source) -> Vocabulary:
    """Return the vocabulary that all members have to share."""
    first, *others = (vocabulary for vocabulary in vocabularies if vocabulary is not None)
    for other, member in zip(others, members[1:], strict=True):
        if other != first:
            text = f"the vocabulary of {member.name} isn't that of {members[0].name}; {SAME_CELLS}"
            raise EnsembleError([source.where(("model",)).problem(text)])
    return first
