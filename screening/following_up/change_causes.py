"""Why a condition is called otherwise in one campaign than in another, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from screening.deciding.decisions import HIT, REFUSED

Row = Mapping[str, Any]
NOISE_LIMIT = 2.0
"""A change within so many joint standard deviations is called noise."""
MEMBERS = "computation and members"
"""What the noise is of where a null is missing: too little, for two models."""
_PARTS = {"by_score": "its score", "by_null_centre": "the centre of the null", "by_null_sd": "the spread of the null"}


def why_moved(row: Row, fdr: tuple[float, float]) -> str:
    """Say what explains the difference between the two sides of a row of :mod:`screening.following_up.comparison`.

    Parameters
    ----------
    row
        Both sides of a condition, with suffixes ``_a`` and ``_b``, noise and standing.
    fdr
        Asked in A and in B.
    """
    one_sided = _one_sided(row)
    if one_sided:
        return one_sided
    change = _change(row)
    if row["decision_a"] == row["decision_b"] or None in (row["decision_a"], row["decision_b"]):
        return change
    return f"{_decision(row, fdr)}; {change}"


def _one_sided(row: Row) -> str:
    """Say what only one side has: the question, a result."""
    for here, there in (("a", "b"), ("b", "a")):
        if row[f"status_{there}"] is None:
            return f"asked in {here.upper()} only"
    failed = [side for side in ("a", "b") if row[f"status_{side}"] != "done"]
    return "; ".join(f"failed in {side.upper()}: {row[f'reason_{side}'] or 'no reason given'}" for side in failed)


def _change(row: Row) -> str:
    change, times = row["score_change"], row["change_in_noise"]
    if not change:
        return "the score is the same"
    if times is None:
        return f"score {change:+.3g}, and neither side has any noise"
    noise = "the joint noise" if row["noise_of"] != MEMBERS else "the error of computation and members"
    if abs(times) <= NOISE_LIMIT:
        return f"score {change:+.3g}, within {noise} ({abs(times):.1f} times)"
    unknown = "; what else two trainings differ by is not known" if row["noise_of"] == MEMBERS else ""
    return f"score {change:+.3g}, {abs(times):.1f} times {noise}{unknown}"


def _decision(row: Row, fdr: tuple[float, float]) -> str:
    for side in ("a", "b"):
        if row[f"decision_{side}"] == REFUSED:
            return f"refused in {side.upper()}: its gate fails there"
    unjudged = [side for side in ("a", "b") if row[f"q_value_{side}"] is None]
    if unjudged:
        told = [f"not judged in {side.upper()}: {row[f'decision_reason_{side}']}" for side in unjudged]
        return "; ".join(told)
    if row["decision_a"] == HIT:
        return _lost(row, "a", "b", fdr)
    if row["decision_b"] == HIT:
        return _lost(row, "b", "a", (fdr[1], fdr[0]))
    return f"{row['decision_b']} in B: {row['decision_reason_b']}"


def _lost(row: Row, here: str, there: str, fdr: tuple[float, float]) -> str:
    """Say why a hit of one side is none on the other; ``fdr`` is asked here and there."""
    q, least = row[f"q_value_{there}"], row[f"minimum_effect_{there}"]
    above = {side: row[f"score_{side}"] - row[f"null_centre_{side}"] for side in (here, there)}
    if q > fdr[1]:
        told = f"q {q:.3g} is over {fdr[1]:g} in {there.upper()}"
        return f"{told}, by {_largest_part(row, here, there, q <= fdr[0])}"
    told = f"{above[there]:.3g} above the null is under the minimum effect {least:.3g} in {there.upper()}"
    if above[here] < least:
        return f"{told}, which is larger than in {here.upper()} ({row[f'minimum_effect_{here}']:.3g})"
    return f"{told}; the minimum effect of {here.upper()} is {row[f'minimum_effect_{here}']:.3g}"


def _largest_part(row: Row, here: str, there: str, would_pass: bool) -> str:
    """Name the part that took most of a hit's standing away."""
    if would_pass:
        return f"the threshold: {here.upper()} allows it"
    sign = 1.0 if (here, there) == ("a", "b") else -1.0
    parts = {name: sign * row[name] for name in _PARTS if row[name] is not None}
    change = sum(parts.values())
    if row.get(f"e_value_{here}") is None and row.get(f"e_value_{there}") is not None:
        return "e-BH, which is more careful: there an allocation chose by scores who gets more shards"
    if not parts or change >= 0:  # q adjusts for the other rows
        return "the other rows: it stands no less far out of the null"
    worst = min(parts, key=lambda name: parts[name])
    stands = (
        f"{row[f'standing_{there}']:.2f} null standard deviations out, in {here.upper()} {row[f'standing_{here}']:.2f}"
    )
    return f"{_PARTS[worst]} mostly: {stands}; {parts[worst]:+.2f} of the difference by it"
