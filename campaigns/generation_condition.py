"""The condition of a ``kind: generate`` file → names that the model knows."""

from __future__ import annotations

import math

from campaigns.conditions import CONTROL, Condition, Context, Perturbation, PerturbationPart, split_combination
from campaigns.errors import Where
from campaigns.findings import Findings
from campaigns.generation_spec import DEPTH, GenerateSpec
from campaigns.vocabulary import Vocabulary
from campaigns.yaml_source import NO_SOURCE, Source


def resolve_condition(spec: GenerateSpec, vocabulary: Vocabulary, source: Source = NO_SOURCE) -> Condition:
    """Look up the factors and the perturbation of a request.

    Parameters
    ----------
    spec : GenerateSpec
    vocabulary : Vocabulary
        Of the model.
    source : Source
        The file of the request, for messages.

    Returns
    -------
    Condition
        The factors that are the same for all cells, and what is done to them.

    Raises
    ------
    VocabularyError
        With every name that the model doesn't know, and the nearest ones that it does.
    """
    findings = Findings()
    _check_context(spec, vocabulary, source, findings)
    perturbation = _perturbation(spec, vocabulary, source.where(("perturbation",)), findings)
    findings.raise_problems()
    return Condition(Context.of(spec.context), perturbation)


def _check_context(spec: GenerateSpec, vocabulary: Vocabulary, source: Source, findings: Findings) -> None:
    for factor, value in spec.context.items():
        where = source.where(("context", factor))
        if factor not in vocabulary.factors:
            findings.unknown(where, "factor of a context", factor, vocabulary.factors)
        elif value not in vocabulary.factors[factor]:
            findings.unknown(where, factor, value, vocabulary.factors[factor])
    for factor in spec.start.columns if spec.start else ():
        if factor != DEPTH and factor not in vocabulary.factors:
            findings.unknown(
                source.where(("start", "columns", factor)),
                "factor of a context",
                factor,
                (*vocabulary.factors, DEPTH),
            )


def _perturbation(spec: GenerateSpec, vocabulary: Vocabulary, where: Where, findings: Findings) -> Perturbation:
    if spec.perturbation is None or spec.perturbation == vocabulary.control:
        return CONTROL
    if not (vocabulary.perturbations or vocabulary.described):
        findings.problem(where, "the model was trained on cells without perturbations; leave this out")
        return CONTROL
    try:
        names = split_combination(spec.perturbation)
    except ValueError as error:
        findings.problem(where, str(error))
        return CONTROL
    parts = [part for name in names if (part := _part(name, vocabulary, where, findings)) is not None]
    if len({part.name for part in parts}) < len(parts):
        findings.problem(where, f"{spec.perturbation!r} has a part twice; a combination joins different perturbations")
        return CONTROL
    types = sorted({vocabulary.type_of(part.name) or "" for part in parts})
    return Perturbation(tuple(sorted(parts)), "+".join(types)) if parts else CONTROL


def _part(label: str, vocabulary: Vocabulary, where: Where, findings: Findings) -> PerturbationPart | None:
    """Read ``name`` or ``name@dose``; a name that has an at sign of its own comes first."""
    name, dose = label, None
    if not vocabulary.spellings(label):
        before, at, after = label.rpartition("@")
        dose = _number(after) if at else None
        name = before.strip() if dose is not None else label
    spellings = vocabulary.spellings(name)
    if not spellings:
        findings.unknown(where, "perturbation", name, dict.fromkeys((*vocabulary.part_types, *vocabulary.described)))
        return None
    if len(spellings) > 1:
        findings.problem(where, f"{name!r} was seen by several methods; write one of: {', '.join(spellings)}")
        return None
    return _dosed(spellings[0], dose, vocabulary, where, findings)


def _dosed(
    name: str, dose: float | None, vocabulary: Vocabulary, where: Where, findings: Findings
) -> PerturbationPart | None:
    unseen = name not in vocabulary.part_types
    seen = vocabulary.type_doses.get(vocabulary.type_of(name) or "", ()) if unseen else vocabulary.part_doses[name]
    if dose is None and seen:
        known = ", ".join(f"{name}@{each:g}" for each in seen)
        findings.problem(where, f"{name!r} was trained on with doses; write one, such as {known}")
    elif dose is not None and not seen:
        findings.problem(where, f"the model was trained on {name} without doses; leave `@{dose:g}` out")
    elif dose is not None and not 0 < dose < math.inf:
        findings.problem(where, f"the dose of {name!r} must be a positive number, not {dose:g}")
    else:
        return PerturbationPart(name, dose)
    return None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
