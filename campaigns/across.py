"""Which contexts of a screen are compared with which: the ``across`` block, resolved against the contexts there are."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from campaigns.across_spec import AcrossSpec, Mode
from campaigns.conditions import Context
from campaigns.findings import Findings, some
from campaigns.screen_spec import ScreenSpec
from campaigns.yaml_source import Source

DEFAULT = AcrossSpec()
COMPARED: tuple[Mode, ...] = ("pan", "selective")
"""Modes that compare the values of ``factor``; the other one goes by ``donor``."""


@dataclass(frozen=True)
class Across:
    """What is asked over contexts.

    Parameters
    ----------
    factor : str or None
        Whose values are compared; None where none is, because nothing varies, or more than one factor does.
    donor : str or None
        Whose values are patients; None where nobody asks for patients.
    modes : tuple of str
        ``pan``, ``selective``, ``patient``.
    weak : float
        Share of the score here that scores elsewhere are under, for a selective hit.
    """

    factor: str | None
    donor: str | None
    modes: tuple[Mode, ...]
    weak: float


def resolve_across(asked: AcrossSpec | None, contexts: Iterable[Context]) -> Across:
    """Say what is asked over these contexts; without a block, ``pan`` and ``selective`` by the factor that varies."""
    spec = asked or DEFAULT
    factor = spec.factor or _only(varying(contexts))
    return Across(factor, spec.donor if "patient" in spec.modes else None, spec.modes, spec.weak)


def finest(contexts: Iterable[Context]) -> tuple[Context, ...]:
    """Leave out contexts that others make more specific: their cells would count twice.

    Of ``cell_type=B, donor=D1`` and ``cell_type=B``, the second is left out.
    """
    by_factors: dict[frozenset[str], list[Context]] = {}
    for context in contexts:
        by_factors.setdefault(frozenset(context.as_dict()), []).append(context)
    coarse = {
        _cut(context, few)
        for few in by_factors
        for more, found in by_factors.items()
        if few < more
        for context in found
    }
    return tuple(context for found in by_factors.values() for context in found if context not in coarse)


def comparable(contexts: Iterable[Context], factor: str) -> tuple[Context, ...]:
    """Return the finest contexts that name a factor, sorted by label."""
    found = [context for context in finest(contexts) if factor in context.as_dict()]
    return tuple(sorted(found, key=lambda context: context.label))


def varying(contexts: Iterable[Context]) -> Mapping[str, tuple[str, ...]]:
    """Return the factors that have more than one value among the finest contexts, with their values, sorted."""
    values: dict[str, set[str]] = {}
    for context in finest(contexts):
        for factor, value in context.factors:
            values.setdefault(factor, set()).add(value)
    return {factor: tuple(sorted(found)) for factor, found in sorted(values.items()) if len(found) > 1}


def check_across(
    spec: ScreenSpec, contexts: Sequence[Context], factors: Collection[str], source: Source, findings: Findings
) -> None:
    """Note what can't be asked over these contexts; nothing where they are wrong themselves, which is told already."""
    if not contexts or findings.problems:
        return
    found = varying(contexts)
    if spec.across is None:
        if len(found) > 1:
            findings.notice(
                f"contexts differ in {' and '.join(found)}, so nothing is compared across them; name one with"
                f" `across: {{factor: {next(iter(found))}}}` for pan-context and selective hits"
            )
        return
    wanted = {"factor": spec.across.factor, "donor": spec.across.donor if "patient" in spec.across.modes else None}
    for field, name in wanted.items():
        if name is not None and name not in factors:
            findings.unknown(source.where(("across", field)), "factor of a context", name, factors)
    if findings.problems:
        return
    if {*COMPARED}.intersection(spec.across.modes):
        _check_factor(spec.across, contexts, found, source, findings)
    if "patient" in spec.across.modes:
        _check_named("donor", spec.across.donor, contexts, found, source, findings)


def _check_factor(
    asked: AcrossSpec,
    contexts: Sequence[Context],
    found: Mapping[str, tuple[str, ...]],
    source: Source,
    findings: Findings,
) -> None:
    if asked.factor is not None:
        _check_named("factor", asked.factor, contexts, found, source, findings)
    elif len(found) > 1:
        findings.problem(source.where(("across",)), f"contexts differ in {' and '.join(found)}; name one as `factor`")
    elif not found:
        text = f"there is one context, {contexts[0].label}, and nothing to compare it with; screen more `contexts`, or"
        findings.problem(source.where(("across",)), f"{text} leave `across` out")


def _check_named(
    field: str,
    name: str,
    contexts: Sequence[Context],
    found: Mapping[str, tuple[str, ...]],
    source: Source,
    findings: Findings,
) -> None:
    """Check that a factor varies; for the field ``donor`` in the words of patients."""
    if name in found:
        return
    where = source.where(("across", field))
    values = sorted({dict(context.factors)[name] for context in contexts if name in dict(context.factors)})
    noun = "the mode patient needs two donors or more" if field == "donor" else "nothing can be compared"
    if values:
        text = f"{noun}: all contexts that name {name!r} have the same, {values[0]!r}"
        findings.problem(where, f"{text}; screen more `contexts`, or leave this out")
        return
    factors = sorted({factor for context in contexts for factor in context.as_dict()})
    known = f"they name {some(factors)}" if factors else "they name nothing"
    text = f"{noun}: no context of the screen names a factor {name!r}, {known}"
    findings.problem(where, f"{text}; name it in `contexts`, as in `{name}: all_seen`, or name another factor here")


def _cut(context: Context, factors: frozenset[str]) -> Context:
    return Context(tuple((factor, value) for factor, value in context.factors if factor in factors))


def _only(found: Mapping[str, tuple[str, ...]]) -> str | None:
    return next(iter(found)) if len(found) == 1 else None
