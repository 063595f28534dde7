"""Every metric of an evaluation by name: which way is better, its unit, what it asks, what a set of cells must have.

Summaries, paired tests, the report and `docs/metrics.md` all read it from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Group = Literal["effects", "population", "cell_eval", "cell_eval2"]
Better = Literal["higher", "lower", "near", "neither"]
SCALED = ".scaled"
"""What the name of a replicate-scaled metric ends with: 0 as good as the baseline, 1 as good as a replicate."""
LEAST_TO_TELL_APART = 5
"""Perturbations of one context below which telling them apart says nothing."""


@dataclass(frozen=True)
class Metric:
    """A metric.

    Attributes
    ----------
    name
        As in tables.
    group
        Which part of the evaluation measures it.
    better
        ``higher`` or ``lower``; ``near``: the nearer to ``best``; ``neither``: shown, never compared.
    best
        Value of a perfect prediction.
    unit
        Of the value; empty for shares and correlations.
    what
        What it asks, in a few words.
    least_perturbations
        Perturbations that a context must have.
    """

    name: str
    group: Group
    better: Better
    best: float
    unit: str
    what: str
    least_perturbations: int = 1

    @property
    def higher_is_better(self) -> bool | None:
        """Which way is better; None where neither is."""
        return {"higher": True, "lower": False, "near": None, "neither": None}[self.better]

    @property
    def compared(self) -> bool:
        """Whether predictions are compared by it."""
        return self.better != "neither"

    def goodness(self, value: float) -> float:
        """Return a number that grows as the prediction gets better, in the unit of the metric."""
        if self.better == "near":
            return -abs(value - self.best)
        return -value if self.better == "lower" else value


LOG = "log1p counts per 10k"

_EFFECTS = (
    Metric("pearson_delta", "effects", "higher", 1.0, "", "correlation of predicted and real effects over genes"),
    Metric("pearson_delta_matched", "effects", "higher", 1.0, "", "the same with real effects of cells of equal depth"),
    Metric(
        "pearson_systema", "effects", "higher", 1.0, "", "the same after subtracting the mean training perturbation"
    ),
    Metric("wmse", "effects", "lower", 0.0, f"({LOG})²", "squared error weighted by how much a gene responds"),
    Metric("weighted_r2_delta", "effects", "higher", 1.0, "", "share of the weighted variance around that mean"),
    Metric("mae", "effects", "lower", 0.0, LOG, "absolute error of the effect, mean over genes"),
    Metric("mae_skill", "effects", "higher", 1.0, "", "1 − error ÷ error of the mean training perturbation"),
    Metric(
        "pds_l1",
        "effects",
        "higher",
        1.0,
        "",
        "whether an effect is nearer to its own than to others, L1",
        LEAST_TO_TELL_APART,
    ),
    Metric("pds_cosine", "effects", "higher", 1.0, "", "the same by direction only", LEAST_TO_TELL_APART),
    Metric("direction_fidelity", "effects", "higher", 1.0, "", "share of responding genes with the right sign"),
    Metric("spearman_de", "effects", "higher", 1.0, "", "rank correlation of effects over responding genes"),
    Metric("error_norm", "effects", "lower", 0.0, "", "length of the error ÷ length of the real effect"),
)
_POPULATION = (
    Metric("energy_distance", "population", "lower", 0.0, "", "distance of the clouds of cells"),
    Metric("mmd", "population", "lower", 0.0, "", "squared maximum mean discrepancy of the clouds"),
    Metric("mmd_p", "population", "neither", 1.0, "", "probability of so large a discrepancy by chance"),
    Metric("wasserstein", "population", "lower", 0.0, LOG, "1-Wasserstein distance of a gene, mean over genes"),
    Metric("ilisi", "population", "higher", 1.0, "", "how well generated and real cells mix"),
    Metric("classifier_auc", "population", "near", 0.5, "", "whether a classifier tells them apart"),
    Metric("depth_mean_error", "population", "near", 0.0, "", "relative error of the mean total UMIs"),
    Metric("depth_sd_error", "population", "near", 0.0, "", "relative error of their standard deviation"),
    Metric("zeros_error", "population", "near", 0.0, "", "generated minus real share of zeros"),
    Metric("correlation_error", "population", "lower", 0.0, "", "root mean square error of gene–gene correlations"),
    Metric("proportion_error", "population", "lower", 0.0, "", "total variation of the shares of cell states"),
)
_CELL_EVAL = (
    Metric("cell_eval.overlap_at_N", "cell_eval", "higher", 1.0, "", "DES: overlap of the most changed genes"),
    Metric(
        "cell_eval.discrimination_score_l1", "cell_eval", "higher", 1.0, "", "PDS of the package", LEAST_TO_TELL_APART
    ),
    Metric("cell_eval.mae", "cell_eval", "lower", 0.0, LOG, "absolute error of mean expression"),
    Metric("cell_eval.de_spearman_sig", "cell_eval", "higher", 1.0, "", "rank correlation of numbers of DE genes", 3),
    Metric("cell_eval.de_spearman_lfc_sig", "cell_eval", "higher", 1.0, "", "rank correlation of fold changes"),
    Metric("cell_eval.pr_auc", "cell_eval", "higher", 1.0, "", "area under precision–recall of the DE genes"),
    Metric("cell_eval.pearson_delta", "cell_eval", "higher", 1.0, "", "Pearson-Δ of the package"),
)
_SIX = (
    Metric("cell_eval2.pds_cosine", "cell_eval2", "higher", 1.0, "", "PDS by direction", LEAST_TO_TELL_APART),
    Metric(
        "cell_eval2.expr_mse_unbiased_capped_norm",
        "cell_eval2",
        "lower",
        0.0,
        "",
        "error ÷ size of the effect, squared",
    ),
    Metric("cell_eval2.de_wilcoxon_direction_fidelity_yield_raw", "cell_eval2", "higher", 1.0, "", "right directions"),
    Metric("cell_eval2.de_wilcoxon_direction_reach_raw", "cell_eval2", "higher", 1.0, "", "how deep they stay right"),
    Metric("cell_eval2.de_wilcoxon_sig_jaccard", "cell_eval2", "higher", 1.0, "", "overlap of the DE genes"),
    Metric("cell_eval2.de_wilcoxon_lfc_nmae", "cell_eval2", "lower", 0.0, "", "error of fold changes ÷ their size"),
)


def scaled(metric: Metric, least_perturbations: int = LEAST_TO_TELL_APART) -> Metric:
    """Return the replicate-scaled metric: higher is better, 0 the baseline, 1 a replicate (better is possible)."""
    return Metric(
        f"{metric.name}{SCALED}",
        metric.group,
        "higher",
        1.0,
        "",
        f"{metric.what}; 0 is the mean response of the context, 1 a replicate",
        least_perturbations,
    )


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        *_EFFECTS,
        *_POPULATION,
        *_CELL_EVAL,
        *_SIX,
        *(scaled(metric) for metric in (*_EFFECTS, *_SIX)),
    )
}
"""All metrics by name."""


def metrics_of(group: Group) -> tuple[Metric, ...]:
    """Return the metrics of one group, scaled ones last."""
    return tuple(metric for metric in METRICS.values() if metric.group == group)
