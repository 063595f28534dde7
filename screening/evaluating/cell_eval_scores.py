"""Scores of the two public evaluators, through their own packages (extra ``evaluate``).

`cell_eval2` 0.20.0 gives the six scores of the 2026 challenge and the scale they are read on: 0 is the mean response of
the context, 1 a replicate of the experiment. `cell_eval` 0.8.2 gives those of 2025. Both get raw counts of one context;
the predicted control cells are always the real ones, and no more predicted cells count than there are real ones.

The packages print, warn and log a lot; what they log is kept, and stands in the reason where a metric has no value.
"""

from __future__ import annotations

import importlib
import io
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Any

import anndata
import numpy as np
import numpy.typing as npt
import pandas as pd
import polars as pl
import scipy.sparse as sp

from lingshu_core.cells import Cells
from lingshu_core.metric_catalogue import LEAST_TO_TELL_APART, METRICS, SCALED, metrics_of
from lingshu_core.metrics import replicate_scaled
from lingshu_core.population_scores import CellGroup
from lingshu_core.score_table import ScoreRows, Scores
from screening.errors import EvaluatorError

Mask = npt.NDArray[np.bool_]
Targets = Mapping[str, Sequence[str]]

VERSIONS = {"cell-eval": "0.8.2", "cell-eval2": "0.20.0", "pdex": "0.3.0"}
CONTROL = "control"
SIX = tuple(
    each.name.removeprefix("cell_eval2.") for each in metrics_of("cell_eval2") if not each.name.endswith(SCALED)
)
SEVEN = tuple(each.name.removeprefix("cell_eval.") for each in metrics_of("cell_eval"))
EXPRESSION_ERROR, ERROR_PART, SIZE_PART = (
    "expr_mse_unbiased_capped_norm",
    "expr_mse_unbiased_capped",
    "expr_distance_unbiased",
)
OF_ALL = "all perturbations"
"""Label of a metric that is one number for all perturbations."""


def as_anndata(
    cells: Cells, groups: Mapping[str, Mask | CellGroup], controls: Mask, *, seed: int = 0
) -> anndata.AnnData:
    """Put the cells of one context into the table that both packages read.

    Parameters
    ----------
    cells
        The real cells.
    groups
        Label → which of the real cells, (cells,), or predicted cells.
    controls
        The real control cells, (cells,); they stand on the predicted side too.
    seed
        Orders the cells, so that nothing hangs on the order of the file.

    Returns
    -------
    anndata.AnnData
        Raw counts in ``X``, labels in ``obs["perturbation"]``, library sizes in ``obs["depth"]``.
    """
    parts = {CONTROL: CellGroup.of(cells, controls)}
    parts |= {
        label: group if isinstance(group, CellGroup) else CellGroup.of(cells, group) for label, group in groups.items()
    }
    labels = np.repeat(list(parts), [len(part) for part in parts.values()])
    counts = sp.vstack([part.counts for part in parts.values()]).tocsr().astype(np.float32)
    depth = np.concatenate([part.depth for part in parts.values()])
    order = np.random.default_rng(seed).permutation(len(labels))
    obs = pd.DataFrame({"perturbation": labels[order], "depth": depth[order]}, index=[f"cell_{i}" for i in order])
    return anndata.AnnData(counts[order], obs=obs, var=pd.DataFrame(index=list(cells.genes)))


@dataclass(frozen=True)
class CellEval2Scale:
    """Both ends of the scale of one context: metric → mean over perturbations, and why an end is missing."""

    baseline: Mapping[str, float]
    replicate: Mapping[str, float]
    reasons: Mapping[str, str] = field(default_factory=dict)

    def reason(self, metric: str) -> str:
        """Return why a metric can't be scaled; empty where it can."""
        if metric in self.reasons:
            return self.reasons[metric]
        better = METRICS[f"cell_eval2.{metric}"].goodness
        if better(self.replicate[metric]) <= better(self.baseline[metric]):
            return (
                f"a replicate ({self.replicate[metric]:.3g}) is no better than the mean response"
                f" ({self.baseline[metric]:.3g}) with these cells"
            )
        return ""


def cell_eval2_scale(
    real: anndata.AnnData, targets: Targets, *, splits: int = 5, seed: int = 0, threads: int = 1
) -> CellEval2Scale:
    """Measure both ends of the six-score scale from real cells alone, with the package's own functions.

    Parameters
    ----------
    real
        Real cells of one context, as of `as_anndata`.
    targets
        Label → genes that it acts on, as far as they are measured.
    splits
        Halvings of the real cells that the replicate is averaged over.
    seed
        Of the halvings and of the baseline's cells.
    threads
        Of the package's differential expression.

    Raises
    ------
    EvaluatorError
        If the package is missing or has another version.
    """
    package, anchor = _package("cell_eval2", "cell-eval2"), _package("cell_eval2.anchor", "cell-eval2")
    labels = sorted(set(real.obs["perturbation"].astype(str)) - {CONTROL})
    if len(labels) < LEAST_TO_TELL_APART:  # nothing would be scaled by it, and to measure it takes long
        return CellEval2Scale({}, {}, dict.fromkeys(SIX, _too_few(labels, LEAST_TO_TELL_APART)))
    real, single = _without_further_targets(real, targets)

    def baseline(metrics: Sequence[str]) -> Mapping[str, float]:
        config = _config(package, metrics, single, threads)
        built = package.build_generic_baseline(real.copy(), config=config, seed=seed, allow_degenerate=True)
        row = built.agg.filter(pl.col("statistic") == "mean")
        return {name: float(row[name].item()) for name in metrics}

    def replicate(metrics: Sequence[str]) -> Mapping[str, float]:
        config = _config(package, metrics, single, threads)
        found = anchor.compute_replicate_anchor(real.copy(), config=config, base_seed=seed, n_splits=splits)[1]
        values = dict(zip(found["metric"], found["replicate"], strict=True))
        return {name: float(values[name]) for name in metrics}

    low, why_low = _by_metric(SIX, baseline, "mean response")
    high, why_high = _by_metric([name for name in SIX if name in low], replicate, "replicate")
    return CellEval2Scale(low, high, {**why_high, **why_low})


def cell_eval2_scores(
    real: anndata.AnnData,
    predicted: anndata.AnnData,
    targets: Targets,
    *,
    scale: CellEval2Scale | None = None,
    fold: str = "",
    threads: int = 1,
) -> Scores:
    """Return the six scores of `cell_eval2`, and with a scale the same from 0 (mean response) to 1 (replicate).

    The error of the expression is a ratio of two sums over the perturbations; its rows are each perturbation's share of
    it, so that their mean is the package's number. Scaled rows are not clipped; `official_scores` is.

    Parameters
    ----------
    real, predicted
        Cells of one context, as of `as_anndata`, with the same labels.
    targets
        Label → genes that it acts on, as far as they are measured.
    scale
        Both ends of the scale of this context.
    fold
        Name of the fold, as it stands in the table.
    threads
        Of the package's differential expression.

    Raises
    ------
    EvaluatorError
        If the package is missing, has another version, or refuses the cells.
    """
    package = _package("cell_eval2", "cell-eval2")
    labels = _same_labels(real, predicted)
    (real, single), (predicted, _) = (_without_further_targets(each, targets) for each in (real, predicted))
    predicted = as_comparable(predicted, real)
    config = _config(package, SIX, single, threads)
    with _contained() as noise:
        try:
            found = package.compute_metrics(predicted, real, config=config)
        except ValueError as error:
            raise EvaluatorError(f"cell-eval2 refuses the cells{_where(fold)}: {_first_line(error)}") from error
    rows = ScoreRows(fold)
    for metric in SIX:
        _add_rows(rows, metric, found, labels, scale, noise)
    return rows.scores()


def _add_rows(
    rows: ScoreRows,
    metric: str,
    found: pl.DataFrame,
    labels: Sequence[str],
    scale: CellEval2Scale | None,
    noise: Sequence[str],
) -> None:
    name = f"cell_eval2.{metric}"
    scaled_name, why_not = f"{name}{SCALED}", "" if scale is None else scale.reason(metric)
    if len(labels) < METRICS[name].least_perturbations:
        rows.leave_out(name, None, _too_few(labels, METRICS[name].least_perturbations))
        values: Mapping[str, float] = {}
    else:
        values = _shares(found) if metric == EXPRESSION_ERROR else _values(found, metric)
        missing = next(
            (line for line in noise if metric.removeprefix("de_wilcoxon_") in line), "no value of the package"
        )
        if metric == EXPRESSION_ERROR and not values:
            missing = (
                "the perturbations have no measurable effect together: its size, corrected for noise, is not positive"
            )
        for label in labels:
            rows.add(name, label, values.get(label), missing)
    if scale is None:
        return
    least = METRICS[scaled_name].least_perturbations
    why_not = _too_few(labels, least) if len(labels) < least else why_not
    if why_not:
        rows.leave_out(scaled_name, None, why_not)
        return
    for label, value in values.items():
        rows.add(scaled_name, label, replicate_scaled(value, scale.baseline[metric], scale.replicate[metric]))


def _values(found: pl.DataFrame, metric: str) -> dict[str, float]:
    some = found.filter((pl.col("metric") == metric) & pl.col("value").is_finite())
    return dict(zip(some["perturbation"], some["value"], strict=True))


def _shares(found: pl.DataFrame) -> dict[str, float]:
    """Return each perturbation's share of the ratio of sums: their mean is the ratio."""
    errors, sizes = _values(found, ERROR_PART), _values(found, SIZE_PART)
    both = [label for label in errors if label in sizes]
    size = float(np.mean([sizes[label] for label in both])) if both else 0.0
    return {label: errors[label] / size for label in both} if size > 0 else {}


def official_scores(scores: Scores, scale: CellEval2Scale) -> pl.DataFrame:
    """Return the six scores of one context as the package scores them, clipped where it clips.

    Returns
    -------
    polars.DataFrame
        Columns ``metric, value, baseline, replicate, scaled``; metrics without a scale are not there.
    """
    catalog = _package("cell_eval2.catalog", "cell-eval2").CATALOG
    scoring = _package("cell_eval2.scoring", "cell-eval2")
    rows = []
    for metric in SIX:
        value = scores.mean(f"cell_eval2.{metric}")
        if value is None or scale.reason(metric):
            continue
        low, high = scale.baseline[metric], scale.replicate[metric]
        policy = replace(catalog[metric].scoring, anchor=high, allow_negative_baseline=False)
        rows.append((f"cell_eval2.{metric}", value, low, high, float(scoring.score_one(value, low, policy))))
    names = ("metric", "value", "baseline", "replicate", "scaled")
    return pl.DataFrame(
        rows, schema={name: pl.String if name == "metric" else pl.Float64 for name in names}, orient="row"
    )


def cell_eval_scores(
    real: anndata.AnnData, predicted: anndata.AnnData, targets: Targets, *, fold: str = "", threads: int = 1
) -> Scores:
    """Return seven scores of `cell_eval`: DES, PDS, MAE, both Spearman, AUPRC and Pearson-Δ.

    The package gets log1p counts per 10k of both sides: left alone it would bring each side to a median of its own.

    Parameters
    ----------
    real, predicted
        Cells of one context, as of `as_anndata`, with the same labels.
    targets
        Label → genes that it acts on, as far as they are measured; a single one is left out of PDS.
    fold
        Name of the fold, as it stands in the table.
    threads
        Of the package's differential expression.

    Raises
    ------
    EvaluatorError
        If the package is missing, has another version, or refuses the cells.
    """
    package = _package("cell_eval", "cell-eval")
    labels = _same_labels(real, predicted)
    names = _gene_names(labels, targets)
    sides = [_log1p(each, names) for each in (real, as_comparable(predicted, real))]
    with _contained() as noise, tempfile.TemporaryDirectory() as folder:
        try:
            evaluator = package.MetricsEvaluator(
                adata_real=sides[0],
                adata_pred=sides[1],
                control_pert=CONTROL,
                pert_col="perturbation",
                num_threads=threads,
                outdir=folder,
            )
            every = importlib.import_module("cell_eval.metrics").metrics_registry.list_metrics()
            found = evaluator.compute(
                profile="full", skip_metrics=[name for name in every if name not in SEVEN], write_csv=False
            )[0]
        except ValueError as error:
            raise EvaluatorError(f"cell-eval refuses the cells{_where(fold)}: {_first_line(error)}") from error
    by_name = {row["perturbation"]: row for row in found.to_dicts()}
    return _seven(by_name, names, noise, fold)


def _seven(
    found: Mapping[str, Mapping[str, float]], names: Mapping[str, str], noise: Sequence[str], fold: str
) -> Scores:
    rows = ScoreRows(fold)
    for metric in SEVEN:
        name = f"cell_eval.{metric}"
        least = METRICS[name].least_perturbations
        why = next((line for line in noise if f"'{metric}'" in line and "Error" in line), "no gene is called here")
        if len(names) < least:
            rows.leave_out(name, None, _too_few(list(names), least))
        elif metric == "de_spearman_sig":  # one number, repeated by the package for every perturbation
            rows.add(name, OF_ALL, next((row.get(metric) for row in found.values()), None), why)
        else:
            for label, alias in names.items():
                rows.add(name, label, found.get(alias, {}).get(metric), why)
    return rows.scores()


def as_comparable(predicted: anndata.AnnData, real: anndata.AnnData, *, seed: int = 0) -> anndata.AnnData:
    """Return the predicted cells with the real control cells in place of their own, and no more of any than real ones.

    More cells make tests of genes more certain, whatever the cells are like; so do controls that suit the prediction.
    """
    rng = np.random.default_rng(seed)
    labels, sizes = predicted.obs["perturbation"].astype(str).to_numpy(), real.obs["perturbation"].value_counts()
    kept = [
        np.sort(rng.permutation(np.flatnonzero(labels == label))[: sizes[label]])
        for label in sorted(set(labels) - {CONTROL})
    ]
    chosen, controls = predicted[np.concatenate(kept)], real[np.asarray(real.obs["perturbation"] == CONTROL)]
    counts = sp.vstack([sp.csr_matrix(chosen.X), sp.csr_matrix(controls.X)]).tocsr()
    obs = pd.concat([chosen.obs, controls.obs])
    obs.index = [f"cell_{i}" for i in range(len(obs))]
    return anndata.AnnData(counts, obs=obs, var=real.var.copy())


def _same_labels(real: anndata.AnnData, predicted: anndata.AnnData) -> list[str]:
    sides = [set(each.obs["perturbation"].astype(str)) - {CONTROL} for each in (real, predicted)]
    if sides[0] != sides[1]:
        odd = ", ".join(sorted(sides[0] ^ sides[1])[:3])
        raise EvaluatorError(f"real and predicted cells have other perturbations: only one side has {odd}")
    if not predicted.var_names.equals(real.var_names):
        raise EvaluatorError("real and predicted cells have other genes, or another order of them")
    return sorted(sides[0])


def _without_further_targets(table: anndata.AnnData, targets: Targets) -> tuple[anndata.AnnData, dict[str, str | None]]:
    """Return the cells without the targets that the package has no place for, and label → its one target or None.

    It knows one target a label; the others of a combination are taken out of the genes altogether.
    """
    genes = set(table.var_names)
    labels = sorted(set(table.obs["perturbation"].astype(str)) - {CONTROL})
    measured = {label: [gene for gene in targets.get(label, ()) if gene in genes] for label in labels}
    further = {gene for found in measured.values() for gene in found[1:]}
    single = {label: next((gene for gene in found if gene not in further), None) for label, found in measured.items()}
    return table[:, [gene not in further for gene in table.var_names]].copy(), single


def _gene_names(labels: Sequence[str], targets: Targets) -> dict[str, str]:
    """Return label → its name for `cell_eval`, which leaves out the gene that a perturbation is called by."""
    single = {label: targets[label][0] for label in labels if len(targets.get(label, ())) == 1}
    taken = list(single.values())
    return {label: single[label] if taken.count(single.get(label, "")) == 1 else label for label in labels}


def _log1p(table: anndata.AnnData, names: Mapping[str, str]) -> anndata.AnnData:
    scaled = sp.csr_matrix(sp.diags(1e4 / table.obs["depth"].to_numpy()) @ sp.csr_matrix(table.X)).log1p()
    labels = table.obs["perturbation"].astype(str)
    obs = pd.DataFrame({"perturbation": [names.get(label, label) for label in labels]}, index=table.obs_names)
    return anndata.AnnData(scaled.astype(np.float32), obs=obs, var=pd.DataFrame(index=table.var_names))


def _config(package: ModuleType, metrics: Sequence[str], single: Mapping[str, str | None], threads: int) -> Any:
    preset = package.EvalConfig.from_preset("vcc2026")
    parts = (ERROR_PART, SIZE_PART) if EXPRESSION_ERROR in metrics else ()
    return replace(
        preset,
        metrics=[*metrics, *parts],
        pert_col="perturbation",
        control=CONTROL,
        cache_strict=False,
        num_threads=threads,
        device="cpu",
        target_gene_map=dict(single),
        de=replace(preset.de, backend="pdex"),
    )


def _by_metric(
    metrics: Sequence[str], measure: Callable[[Sequence[str]], Mapping[str, float]], what: str
) -> tuple[dict[str, float], dict[str, str]]:
    """Measure all metrics together; where the package refuses one of them, each alone, with its reason."""
    with _contained():
        try:
            return dict(measure(metrics)), {}
        except ValueError as error:
            if len(metrics) == 1:
                return {}, {metrics[0]: f"no {what}: {_first_line(error)}"}
    values, reasons = {}, {}
    for metric in metrics:
        one, why = _by_metric([metric], measure, what)
        values.update(one)
        reasons.update(why)
    return values, reasons


@contextmanager
def _contained() -> Iterator[list[str]]:
    """Keep what the packages print, warn and log out of the way; yields the lines that they log. Errors pass."""
    lines: list[str] = []
    handler = _Collector(lines)
    loggers = [logging.getLogger(name) for name in ("cell_eval", "cell_eval2", "pdex")]
    before = [(each.level, each.propagate) for each in loggers]
    for each in loggers:
        each.addHandler(handler)
        each.propagate = False
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield lines
    finally:
        for each, (level, propagate) in zip(loggers, before, strict=True):
            each.removeHandler(handler)
            each.setLevel(level)
            each.propagate = propagate


class _Collector(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(record.getMessage().splitlines()[0])


def _package(module: str, distribution: str) -> ModuleType:
    """Import a package of the extra at its pinned version."""
    cure = "install it with: pip install 'lingshu-screen[evaluate]'"
    try:
        found = version(distribution)
    except PackageNotFoundError as error:
        raise EvaluatorError(f"the package {distribution} is not installed; {cure}") from error
    if found != VERSIONS[distribution]:
        raise EvaluatorError(
            f"{distribution} {found} is installed; scores are comparable with {VERSIONS[distribution]} only: {cure}"
        )
    with _contained():
        return importlib.import_module(module)


def _too_few(labels: Sequence[str], least: int) -> str:
    return f"{len(labels)} perturbations in this context; at least {least} are needed"


def _where(fold: str) -> str:
    return f" of {fold!r}" if fold else ""


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
