"""The verdict of a screen: how many of each decision, the leading ones, what their FDR means, and what it can't say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from campaigns.conditions import FEATURES_ONLY
from screening.deciding.decisions import FAILED, HIT, NOT, REFUSED, UNDECIDED
from screening.report.source import ReportSource
from screening.report.wording import context_names, count, fixed, listed, number, sentence, share, signed

NOT_DECIDED = "not decided"
MEANINGS: Mapping[str, str] = {
    HIT: "beyond chance and large enough",
    UNDECIDED: "nothing settles it yet",
    NOT: "too small to matter",
    REFUSED: "the model's cells fail their gate there",
    FAILED: "could not be computed or scored",
    NOT_DECIDED: "an older table without decisions",
}
LEADING = 5


@dataclass(frozen=True)
class Leader:
    """A condition that is named in the verdict: its score, and what is known of it in a few words."""

    perturbation: str
    context: str
    is_hit: bool
    score: str
    known: str


@dataclass(frozen=True)
class Verdict:
    """What came of a screen.

    Attributes
    ----------
    counts
        Decision, how many, and what it means; hits first.
    lead
        The outcome in a sentence.
    rate
        FDR under the model in words, or why nothing was decided.
    leaders
        The conditions that are named, best first.
    limits
        What the outcome doesn't say.
    """

    counts: tuple[tuple[str, int, str], ...]
    lead: str
    rate: str
    leaders: tuple[Leader, ...]
    limits: tuple[str, ...]


def judge(source: ReportSource) -> Verdict:
    """Say what came of a screen."""
    hits = decided(source.hits)
    found = dict(hits.group_by("decision").len().iter_rows())
    told = [name for name in MEANINGS if name in found or name != NOT_DECIDED]
    counts = tuple((name, found.get(name, 0), MEANINGS[name]) for name in told)
    return Verdict(
        counts=counts,
        lead=_lead(source, hits),
        rate=_rate(source, found.get(HIT, 0)),
        leaders=tuple(_leaders(hits)),
        limits=tuple(_limits(source, hits)),
    )


def decided(hits: pl.DataFrame) -> pl.DataFrame:
    """Give every row a decision in words, whatever version wrote the table."""
    known = pl.col("decision") if "decision" in hits.columns else pl.lit(None, dtype=pl.String)
    failed = pl.when(pl.col("status") != "done").then(pl.lit(FAILED))
    return hits.with_columns(decision=pl.coalesce(known, failed.otherwise(pl.lit(NOT_DECIDED))))


def _leaders(hits: pl.DataFrame) -> Iterator[Leader]:
    """Name the first hits, or the best-ranked where there is none."""
    chosen = hits.filter(pl.col("decision") == HIT)
    ranked = hits.filter(pl.col("rank").is_not_null())
    names = context_names(hits["context"])
    for row in (chosen if chosen.height else ranked).sort("rank").head(LEADING).iter_rows(named=True):
        known = "; ".join(_known(row))
        yield Leader(row["perturbation"], names[row["context"]], row["decision"] == HIT, signed(row["score"]), known)


def _known(row: Mapping[str, Any]) -> Iterator[str]:
    if row.get("low_90") is not None:
        ends = f"{fixed(row['low_90'])} to {fixed(row['high_90'])}"
        yield f"effect above the null {fixed(row['posterior_mean'])}, 90 % interval {ends}"
    else:
        yield f"Monte Carlo error {number(row['score_se'])}"
    if row.get("q_value") is not None:
        yield f"q {number(row['q_value'], 2)}"
    yield f"{count(row['training_cells'], 'training cell') if row['training_cells'] else 'no training cell'} here"
    if row["decision"] != HIT:
        yield row["decision"]


def _lead(source: ReportSource, hits: pl.DataFrame) -> str:
    best = hits.filter(pl.col("decision") == HIT)
    if not best.height and not source.campaign.manifest.get("null"):
        return f"{count(hits.height, 'condition')}, ranked but not tested: the model has no null."
    if not best.height:
        return f"None of the {count(hits.height, 'condition')} is a hit."
    several = best["perturbation"].n_unique()
    what = f", of {count(several, 'perturbation')} in {count(best['context'].n_unique(), 'context')}"
    verb = "is a hit" if best.height == 1 else "are hits"
    return f"{best.height:,} of {count(hits.height, 'condition')} {verb}{what}."


def _rate(source: ReportSource, hits: int) -> str:
    blocks = source.campaign.manifest.get("null") or ()
    if not blocks:
        return (
            "The model has no null, so nothing was tested: the ranking orders conditions by score and doesn't tell an"
            " effect from chance. Train with pseudo-perturbations to get decisions."
        )
    sizes = sorted({int(each["blocks"]) for each in blocks})
    span = f"{sizes[0]:,}" if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,}"
    how = f"measured with {span} pseudo-perturbations per context, control cells under labels of their own"
    fdr = float(source.campaign.spec["hits"]["fdr"])
    if not hits:
        return f"FDR under the model is kept to {share(fdr)}, {how}; nothing was far enough out of it."
    expected = max(1, round(fdr * hits))
    return (
        f"FDR under the model is at most {share(fdr)}: by the model's own null, no more than about {expected:,} of the"
        f" {hits:,} hits would be expected to have no effect. It is {how}."
    )


def _limits(source: ReportSource, hits: pl.DataFrame) -> Iterator[str]:
    yield "These are predictions of a model: hypotheses. Nothing here was measured in a dish, an animal or a patient."
    if source.campaign.manifest.get("null"):
        yield (
            "FDR under the model knows what training and computation make of nothing. It doesn't know where the model"
            " is wrong about biology."
        )
    yield from _of_support(hits)
    yield from _of_gates(hits)
    if hits.filter(pl.col("decision") == UNDECIDED).height:
        yield "Undecided isn't no: those conditions may have an effect that this screen can't resolve."


def _of_support(hits: pl.DataFrame) -> Iterator[str]:
    unseen = hits.filter(pl.col("support") == FEATURES_ONLY).height
    if unseen:
        yield (
            f"{count(unseen, 'condition')} of {hits.height:,} rest on features or on controls of the context alone: no"
            " perturbed cell was seen, and the null doesn't speak of them."
        )
    elsewhere = hits.filter(
        (pl.col("status") == "done")
        & (pl.col("support") != FEATURES_ONLY)
        & (pl.col("training_cells") == 0)
        & (pl.col("decision") == HIT)
    ).height
    if elsewhere:
        yield f"{count(elsewhere, 'hit')} had no training cell in the context, only elsewhere or in parts."


def _of_gates(hits: pl.DataFrame) -> Iterator[str]:
    if "gate" not in hits.columns:
        return
    verdicts = set(hits["gate"].drop_nulls())
    if verdicts <= {"not measured"}:
        yield "Whether the model's cells look like real ones was not measured (no gate)."
    elif "pass" not in verdicts:
        yield sentence(f"no context passes its gate: {listed(sorted(verdicts))}")
