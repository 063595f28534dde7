"""Two campaigns that ask the same question of another model, seed or version: which hits moved, and why.

A score is called changed by the joint noise of the two: Monte Carlo alone where both have the same model, and where the
models differ the noise of their nulls (cells, seed and computation of a training where nothing was done), or Monte
Carlo and members together where that is larger. It is that of two *independent* trainings; models that share cells
differ less by noise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from screening.deciding.decisions import HIT, NO_NULL
from screening.errors import ComparisonError
from screening.following_up.agreement import Agreement, agreement, jaccard
from screening.following_up.campaign_differences import Difference, differences, different_questions
from screening.following_up.change_causes import MEMBERS, NOISE_LIMIT, why_moved
from screening.publishing.published_campaign import PublishedCampaign

Array = npt.NDArray[np.float64]
BOTH, ONLY_A, ONLY_B = "both", "A only", "B only"
GAINED, LOST, KEPT = "gained", "lost", "kept"
TOP_WITHOUT_NULL = 20
"""The best conditions that count as hits where neither campaign decides, as neither model has a null; of fewer than
four times as many a quarter."""

COLUMNS: Mapping[str, tuple[Any, str]] = {
    "perturbation": (pl.String, "as in the hit table"),
    "context": (pl.String, "as in the hit table"),
    "asked": (pl.String, "both, A only or B only: which campaign asks of it"),
    "hit": (
        pl.String,
        "gained (a hit in B only), lost (in A only) or kept (in both); empty for all others; where neither model has a"
        " null, the best 20 count as hits, of fewer than 80 conditions a quarter",
    ),
    "rank_a": (pl.Int64, "rank in A among the conditions that both have done"),
    "rank_b": (pl.Int64, "rank in B among them"),
    "rank_gain": (pl.Int64, "places by which it is better in B; negative: worse"),
    "score_a": (pl.Float64, "score in A"),
    "score_b": (pl.Float64, "score in B"),
    "score_change": (pl.Float64, "score_b less score_a"),
    "noise": (pl.Float64, "joint standard deviation of the two scores where no effect changed"),
    "noise_of": (
        pl.String,
        "what noise is made of: computation (the same model), null (trainings of nothing), or computation and members"
        " (no null: the model's own noise is only known as far as members differ)",
    ),
    "change_in_noise": (pl.Float64, "score_change over noise; within -2 and 2 nothing need have changed"),
    "decision_a": (pl.String, "decision in A"),
    "decision_b": (pl.String, "decision in B"),
    "q_value_a": (pl.Float64, "q_value in A"),
    "q_value_b": (pl.Float64, "q_value in B"),
    "minimum_effect_a": (pl.Float64, "minimum effect in A: the null's or the campaign's, the larger of the two"),
    "minimum_effect_b": (pl.Float64, "minimum effect in B"),
    "standing_a": (pl.Float64, "(score - null_centre) / null_sd in A: how far it stands out of the null"),
    "standing_b": (pl.Float64, "the same in B"),
    "by_score": (pl.Float64, "part of the change of standing that the score makes; the three parts sum to the change"),
    "by_null_centre": (pl.Float64, "part that the null's centre makes"),
    "by_null_sd": (pl.Float64, "part that the null's spread makes"),
    "why": (pl.String, "what explains the change of decision, rank or score, in words"),
}

_TAKEN = (
    *("status", "reason", "decision", "decision_reason", "gate", "score", "score_se", "score_sd"),
    *("null_centre", "null_sd", "minimum_effect", "q_value", "e_value", "high_90"),
)


@dataclass(frozen=True)
class Comparison:
    """Two campaigns beside one another.

    Attributes
    ----------
    a, b
        Where they are, their names and their runs.
    question
        What both ask.
    differences
        What is not the same in them.
    agreement
        Of the conditions that both have done.
    hits
        Numbers of hits gained, lost and kept, and the Jaccard overlap of the two sets.
    decisions
        (decision in A, decision in B) → conditions, of those that both ask.
    within_noise
        Share of the compared conditions whose score changed by no more than twice the joint noise; None where that is
        not known.
    conditions
        A row for each condition of either, hits that moved first (`COLUMNS`).
    notices
        What the reader ought to know.
    """

    a: Mapping[str, str]
    b: Mapping[str, str]
    question: str
    differences: tuple[Difference, ...]
    agreement: Agreement
    hits: Mapping[str, float]
    decisions: Mapping[tuple[str, str], int]
    within_noise: float | None
    conditions: pl.DataFrame
    notices: tuple[str, ...]

    def as_json(self, top: int | None = None) -> dict[str, Any]:
        """Return all of it as plain data, with the first ``top`` conditions."""
        rows = self.conditions if top is None else self.conditions.head(top)
        return {
            "a": dict(self.a),
            "b": dict(self.b),
            "question": self.question,
            "differences": [asdict(each) for each in self.differences],
            "agreement": asdict(self.agreement),
            "hits": dict(self.hits),
            "decisions": [{"a": a, "b": b, "conditions": n} for (a, b), n in self.decisions.items()],
            "within_noise": self.within_noise,
            "notices": list(self.notices),
            "conditions": rows.to_dicts(),
        }


def compare(a: PublishedCampaign, b: PublishedCampaign) -> Comparison:
    """Compare two campaigns.

    Raises
    ------
    ComparisonError
        If they ask different questions, or have no condition in common.
    """
    if reason := different_questions(a, b):
        raise ComparisonError(reason)
    same_model = a.manifest["model_digest"] == b.manifest["model_digest"]
    joined = _joined(a, b)
    if not joined.filter(pl.col("asked") == BOTH).height:
        raise ComparisonError(f"{a.url} and {b.url} have no condition in common: no perturbation in the same context")
    least = (_asked_effect(a), _asked_effect(b))
    limits = (_fdr(a), _fdr(b))
    decides = _decides(a.hits) or _decides(b.hits)
    table = _with_standing(_with_noise(_with_ranks(joined), same_model), least)
    table = _with_hits(table, decides)
    why = [why_moved(row, limits) for row in table.iter_rows(named=True)]
    table = table.with_columns(why=pl.Series(why, dtype=pl.String))
    table = table.select([pl.col(name).cast(kind) for name, (kind, _) in COLUMNS.items()])
    done = table.filter(pl.col("rank_a").is_not_null())
    return Comparison(
        a=_name(a),
        b=_name(b),
        question=a.manifest["question"],
        differences=differences(a, b),
        agreement=_agreement(done),
        hits=_hits(table),
        decisions=_decisions(table),
        within_noise=_within_noise(done),
        conditions=_in_order(table),
        notices=tuple(_notices(a, b, table, decides)),
    )


def _name(campaign: PublishedCampaign) -> dict[str, str]:
    manifest = campaign.manifest
    return {"url": campaign.url, "name": str(manifest.get("campaign", "")), "run_id": manifest["run_id"]}


def _fdr(campaign: PublishedCampaign) -> float:
    return float((campaign.spec.get("hits") or {}).get("fdr", 0.1))


def _asked_effect(campaign: PublishedCampaign) -> float:
    return float((campaign.spec.get("hits") or {}).get("minimum_effect", 0.0))


def _decides(hits: pl.DataFrame) -> bool:
    return "null_blocks" in hits.columns and hits["null_blocks"].null_count() < hits.height


def _joined(a: PublishedCampaign, b: PublishedCampaign) -> pl.DataFrame:
    keys = ["perturbation", "context"]
    sides = [_side(a.hits, "_a"), _side(b.hits, "_b")]
    table = sides[0].join(sides[1], on=keys, how="full", coalesce=True, validate="1:1")
    in_a, in_b = pl.col("status_a").is_not_null(), pl.col("status_b").is_not_null()
    asked = pl.when(in_a & in_b).then(pl.lit(BOTH)).when(in_a).then(pl.lit(ONLY_A)).otherwise(pl.lit(ONLY_B))
    return table.with_columns(asked=asked)


def _side(hits: pl.DataFrame, suffix: str) -> pl.DataFrame:
    texts = {"status", "reason", "decision", "decision_reason", "gate"}
    missing = {name: pl.String if name in texts else pl.Float64 for name in _TAKEN if name not in hits.columns}
    table = hits.with_columns(pl.lit(None, dtype=kind).alias(name) for name, kind in missing.items())
    return table.select("perturbation", "context", *(pl.col(name).alias(f"{name}{suffix}") for name in _TAKEN))


def _with_ranks(table: pl.DataFrame) -> pl.DataFrame:
    """Rank both among the conditions that both have done, so that other grids don't look like moves."""
    done = (pl.col("status_a") == "done") & (pl.col("status_b") == "done")
    place = {}
    for side in ("a", "b"):
        order = [f"score_{side}", "perturbation", "context"]
        ranked = table.filter(done).sort(order, descending=[True, False, False])
        place[side] = ranked.select("perturbation", "context").with_row_index(f"rank_{side}", offset=1)
    for ranks in place.values():
        table = table.join(ranks, on=["perturbation", "context"], how="left")
    rank_a, rank_b = pl.col("rank_a").cast(pl.Int64), pl.col("rank_b").cast(pl.Int64)
    return table.with_columns(rank_a, rank_b, rank_gain=rank_a - rank_b)


def _with_noise(table: pl.DataFrame, same_model: bool) -> pl.DataFrame:
    variances = []
    for side in ("a", "b"):
        computation = pl.col(f"score_se_{side}").fill_null(0.0) ** 2
        own = computation + pl.col(f"score_sd_{side}").fill_null(0.0) ** 2
        null = pl.col(f"null_sd_{side}").fill_null(0.0) ** 2
        variances.append(computation if same_model else pl.max_horizontal(own, null))
    has_null = pl.col("null_sd_a").is_not_null() & pl.col("null_sd_b").is_not_null()
    of = "computation" if same_model else pl.when(has_null).then(pl.lit("null")).otherwise(pl.lit(MEMBERS))
    named = pl.lit(of) if isinstance(of, str) else of
    known = pl.col("rank_a").is_not_null()
    noise = pl.when(known).then((variances[0] + variances[1]).sqrt())
    table = table.with_columns(
        noise=noise, noise_of=pl.when(known).then(named), score_change=pl.col("score_b") - pl.col("score_a")
    )
    return table.with_columns(
        change_in_noise=pl.when(pl.col("noise") > 0).then(pl.col("score_change") / pl.col("noise"))
    )


def _with_standing(table: pl.DataFrame, least: tuple[float, float]) -> pl.DataFrame:
    """Say how far scores stand out of the null, and what of the change is whose: three parts that sum to it."""
    above = {side: pl.col(f"score_{side}") - pl.col(f"null_centre_{side}") for side in ("a", "b")}
    sd = {side: pl.when(pl.col(f"null_sd_{side}") > 0).then(pl.col(f"null_sd_{side}")) for side in ("a", "b")}
    minimum = {
        f"minimum_effect_{side}": pl.when(pl.col(f"minimum_effect_{side}").is_not_null()).then(
            pl.max_horizontal(f"minimum_effect_{side}", pl.lit(asked))
        )
        for side, asked in zip(("a", "b"), least, strict=True)
    }
    return table.with_columns(
        standing_a=above["a"] / sd["a"],
        standing_b=above["b"] / sd["b"],
        by_score=(pl.col("score_b") - pl.col("score_a")) / sd["a"],
        by_null_centre=(pl.col("null_centre_a") - pl.col("null_centre_b")) / sd["a"],
        by_null_sd=above["b"] * (1 / sd["b"] - 1 / sd["a"]),
        **minimum,
    )


def _with_hits(table: pl.DataFrame, decides: bool) -> pl.DataFrame:
    if decides:
        is_hit = {side: (pl.col(f"decision_{side}") == HIT).fill_null(False) for side in ("a", "b")}
    else:
        best = top_without_null(table)
        is_hit = {side: (pl.col(f"rank_{side}") <= best).fill_null(False) for side in ("a", "b")}
    words = pl.when(is_hit["a"] & is_hit["b"]).then(pl.lit(KEPT)).when(is_hit["a"]).then(pl.lit(LOST))
    return table.with_columns(hit=words.when(is_hit["b"]).then(pl.lit(GAINED)))


def top_without_null(table: pl.DataFrame) -> int:
    """Return how many of the conditions that both have done stand for hits where nothing is decided."""
    return max(1, min(TOP_WITHOUT_NULL, table["rank_a"].count() // 4))


def _in_order(table: pl.DataFrame) -> pl.DataFrame:
    """Order conditions: hits gained or lost by their better rank, then kept ones by how far they moved, then others."""
    best = pl.min_horizontal("rank_a", "rank_b")
    flipped = pl.col("hit").is_in([GAINED, LOST]).fill_null(False)
    order = [pl.when(flipped).then(0).when(pl.col("hit") == KEPT).then(1).otherwise(2)]
    order += [pl.when(flipped).then(best), -pl.col("rank_gain").abs(), best]
    return table.sort(*order, "perturbation", "context", nulls_last=True)


def _agreement(done: pl.DataFrame) -> Agreement:
    orders = [(done[f"rank_{side}"] - 1).arg_sort().to_list() for side in ("a", "b")]
    scores = [done[f"score_{side}"].to_numpy().astype(np.float64) for side in ("a", "b")]
    return agreement(scores[0], scores[1], orders[0], orders[1])


def _hits(table: pl.DataFrame) -> dict[str, float]:
    count = Counter(table["hit"].drop_nulls())
    in_a, in_b = count[LOST] + count[KEPT], count[GAINED] + count[KEPT]
    overlap = jaccard(count[KEPT], in_a, in_b)
    return {"a": in_a, "b": in_b, KEPT: count[KEPT], LOST: count[LOST], GAINED: count[GAINED], "jaccard": overlap}


def _decisions(table: pl.DataFrame) -> dict[tuple[str, str], int]:
    both = table.filter(pl.col("asked") == BOTH).select(pl.col("decision_a", "decision_b").fill_null(""))
    return dict(sorted(Counter(both.iter_rows()).items(), key=lambda item: (-item[1], item[0])))


def _within_noise(done: pl.DataFrame) -> float | None:
    known = done["change_in_noise"].drop_nulls()
    return float((known.abs() <= NOISE_LIMIT).mean()) if len(known) else None  # type: ignore[arg-type]


def _notices(a: PublishedCampaign, b: PublishedCampaign, table: pl.DataFrame, decides: bool) -> list[str]:
    found = []
    if a.manifest["run_id"] == b.manifest["run_id"]:
        found.append("both are the same run: only thresholds of hits, model cards and versions can differ")
    if a.plan["objective"].get("resolved") != b.plan["objective"].get("resolved"):
        found.append(
            "the objective has other genes in A than in B, as the models have other genes; scores are of each's"
        )
    if not decides:
        found.append(
            f"neither model has a null, so nothing is decided; the best {top_without_null(table)} stand for hits"
        )
    elif _decides(a.hits) != _decides(b.hits):
        found.append(f"{'B' if _decides(a.hits) else 'A'} decides nothing: {NO_NULL}")
    if (table["noise_of"] == MEMBERS).any():
        found.append(
            "no null in one of the two: the noise of the models is known only as far as members differ, if at all"
        )
    return found
