"""The packages themselves are asked here, on a few cells; they take seconds to load."""

from __future__ import annotations

import logging
import sys
import warnings
from dataclasses import replace
from importlib.metadata import PackageNotFoundError

import anndata
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp

from lingshu_core.cells import Cells
from lingshu_core.metric_catalogue import METRICS
from lingshu_core.population_scores import CellGroup
from screening.errors import EvaluatorError
from screening.evaluating import cell_eval_scores as scores_module
from screening.evaluating.cell_eval_scores import (
    SEVEN,
    SIX,
    CellEval2Scale,
    as_anndata,
    as_comparable,
    cell_eval2_scale,
    cell_eval2_scores,
    cell_eval_scores,
    official_scores,
)

LABELS = ("GENE2", "GENE5", "GENE8", "GENE11+GENE14", "drug", "cytokine")
TARGETS = {
    "GENE2": ["GENE2"],
    "GENE5": ["GENE5"],
    "GENE8": ["GENE8"],
    "GENE11+GENE14": ["GENE11", "GENE14"],
}
GENES = 60


def _cells(seed: int = 0, each: int = 80) -> Cells:
    rng = np.random.default_rng(seed)
    labels = np.repeat(["control", *LABELS], [3 * each, *[each] * len(LABELS)])
    rates = np.tile(np.random.default_rng(99).permutation(np.geomspace(0.5, 30.0, GENES)), (len(labels), 1))
    effects = np.random.default_rng(98)
    for label in LABELS:
        change = np.zeros(GENES)
        change[effects.choice(GENES, 20, replace=False)] = effects.choice([-1.2, 1.2], 20)
        change[[int(target.removeprefix("GENE")) for target in TARGETS.get(label, [])]] = -2.0
        rates[labels == label] *= np.exp(change)
    counts = rng.poisson(rates * rng.lognormal(sigma=0.2, size=(len(labels), 1)))
    kind = {"control": "none", "drug": "drug", "cytokine": "cytokine"}
    obs = pd.DataFrame({"perturbation": labels, "perturbation_type": [kind.get(each, "genetic") for each in labels]})
    return Cells(
        counts=sp.csr_matrix(counts.astype(np.int32)),
        genes=tuple(f"GENE{gene}" for gene in range(GENES)),
        obs=obs.assign(dose=np.nan, cell_type="B"),
        depth=counts.sum(axis=1).astype(float),
        context_roles=("cell_type",),
        control="control",
    )


def _side(cells: Cells, labels: tuple[str, ...] = LABELS) -> anndata.AnnData:
    column = cells.obs["perturbation"].to_numpy()
    return as_anndata(cells, {label: column == label for label in labels}, cells.is_control)


REAL, OTHER = _cells(0), _cells(1)


@pytest.fixture(scope="module")
def scale() -> CellEval2Scale:
    return cell_eval2_scale(_side(REAL), TARGETS, splits=2)


def test_a_replicate_scores_like_one(scale: CellEval2Scale) -> None:
    found = cell_eval2_scores(_side(REAL), _side(OTHER), TARGETS, scale=scale, fold="f")
    assert found.left_out.is_empty()
    assert set(found.values["metric"]) == {
        f"cell_eval2.{metric}{ending}" for metric in SIX for ending in ("", ".scaled")
    }
    assert found.values.filter(pl.col("metric") == "cell_eval2.pds_cosine")["label"].to_list() == sorted(LABELS)
    for metric in SIX:
        assert (found.mean(f"cell_eval2.{metric}.scaled") or 0.0) > 0.8, metric


def test_the_mean_response_scores_zero_and_no_change_no_better(scale: CellEval2Scale) -> None:
    column = REAL.obs["perturbation"].to_numpy()
    rng = np.random.default_rng(5)
    controls = CellGroup.of(REAL, REAL.is_control)
    same = as_anndata(
        REAL, {label: controls.take(int((column == label).sum()), rng) for label in LABELS}, REAL.is_control
    )
    found = cell_eval2_scores(_side(REAL), same, TARGETS, scale=scale)
    for metric in SIX:
        value = found.mean(f"cell_eval2.{metric}.scaled")
        assert value is None or value < 0.35, metric


def test_rows_of_a_ratio_of_sums_have_the_ratio_as_their_mean(scale: CellEval2Scale) -> None:
    import cell_eval2

    from screening.evaluating.cell_eval_scores import _config, _contained, _without_further_targets

    found = cell_eval2_scores(_side(REAL), _side(OTHER), TARGETS, scale=scale)
    (real, single), (predicted, _) = (_without_further_targets(_side(cells), TARGETS) for cells in (REAL, OTHER))
    with _contained():
        tidy = cell_eval2.compute_metrics(
            as_comparable(predicted, real), real, config=_config(cell_eval2, SIX, single, 1)
        )
        means = dict(cell_eval2.aggregate_metrics(tidy).select("metric", "mean").iter_rows())
    for metric in SIX:
        assert found.mean(f"cell_eval2.{metric}") == pytest.approx(means[metric]), metric


def test_official_scores_are_those_of_the_package(scale: CellEval2Scale) -> None:
    found = cell_eval2_scores(_side(REAL), _side(OTHER), TARGETS, scale=scale)
    official = official_scores(found, scale)
    assert official["metric"].to_list() == [f"cell_eval2.{metric}" for metric in SIX]
    theirs = _scored_by_the_package()
    for name, *_, scaled in official.iter_rows():
        assert scaled == pytest.approx(theirs[name.removeprefix("cell_eval2.")]), name
        if "expr_mse" not in name:  # which alone is clipped to 0 … 1
            assert scaled == pytest.approx(found.mean(f"{name}.scaled"))


def _scored_by_the_package() -> dict[str, float]:
    """Go the package's own way, from metrics over baseline and anchor to the score."""
    import cell_eval2
    from cell_eval2 import anchor

    (real, single), (predicted, _) = (
        scores_module._without_further_targets(_side(cells), TARGETS) for cells in (REAL, OTHER)
    )
    config = scores_module._config(cell_eval2, SIX, single, 1)
    with scores_module._contained():
        tidy = cell_eval2.compute_metrics(as_comparable(predicted, real), real, config=config)
        names = cell_eval2.run.metric_output_names(config)
        base = cell_eval2.build_generic_baseline(real, config=config, seed=0).agg
        splits, ends = anchor.compute_replicate_anchor(real, config=config, base_seed=0, n_splits=2)
        meta = anchor.build_meta(
            real_ad=real, cfg=config, names=names, base_seed=0, n_splits=2, seeds=[0, 1], metrics=names
        )
        expected = anchor.AnchorExpect(meta["real_fingerprint"], meta["semantic_identity"], tuple(names))
        scored = cell_eval2.score_metrics(
            cell_eval2.aggregate_metrics_wide(tidy, metrics=names),
            base,
            anchor=(ends, splits, meta),
            anchor_expect=expected,
        )
    return dict(scored.select("metric", "from_replicate").iter_rows())


def test_the_seven_scores_of_a_replicate_and_of_no_change() -> None:
    good = cell_eval_scores(_side(REAL), _side(OTHER), TARGETS, fold="f")
    assert {row[0] for row in good.values.select("metric").iter_rows()} == {f"cell_eval.{metric}" for metric in SEVEN}
    assert set(good.values.filter(pl.col("metric") == "cell_eval.mae")["label"]) == set(LABELS)
    assert good.values.filter(pl.col("metric") == "cell_eval.de_spearman_sig").height == 1
    perfect = cell_eval_scores(_side(REAL), _side(REAL), TARGETS)
    for metric in ("overlap_at_N", "discrimination_score_l1", "pearson_delta", "de_spearman_lfc_sig", "pr_auc"):
        assert perfect.mean(f"cell_eval.{metric}") == pytest.approx(1.0, abs=0.01)
    assert perfect.mean("cell_eval.mae") == pytest.approx(0.0, abs=1e-6)
    for metric in SEVEN:
        name, better = f"cell_eval.{metric}", METRICS[f"cell_eval.{metric}"].goodness
        assert better(perfect.mean(name)) >= better(good.mean(name)), metric


def test_altered_controls_do_not_reach_the_packages() -> None:
    altered = _side(OTHER)
    control = np.flatnonzero(altered.obs["perturbation"] == "control")
    counts = altered.X.toarray()
    counts[control] = 1 + counts[control][:, ::-1]
    altered.X = sp.csr_matrix(counts)
    assert cell_eval_scores(_side(REAL), altered, TARGETS).values.equals(
        cell_eval_scores(_side(REAL), _side(OTHER), TARGETS).values
    )
    mixed = as_comparable(altered, _side(REAL))
    assert (mixed.obs["perturbation"] == "control").sum() == REAL.is_control.sum()
    real_mean = _side(REAL)[_side(REAL).obs["perturbation"] == "control"].X.mean()
    assert mixed[mixed.obs["perturbation"] == "control"].X.mean() == pytest.approx(real_mean)


def test_more_variance_wins_nothing(scale: CellEval2Scale) -> None:
    noisy, rng = _side(OTHER), np.random.default_rng(0)
    noisy.X = sp.csr_matrix(rng.poisson(noisy.X.toarray() * rng.lognormal(sigma=0.6, size=noisy.shape)).astype("f4"))
    honest, spoiled = (
        official_scores(cell_eval2_scores(_side(REAL), side, TARGETS, scale=scale), scale)["scaled"].mean()
        for side in (_side(OTHER), noisy)
    )
    assert spoiled < honest
    plain, wide = (cell_eval_scores(_side(REAL), side, TARGETS) for side in (_side(OTHER), noisy))
    for metric in ("mae", "overlap_at_N", "pearson_delta"):
        better = METRICS[f"cell_eval.{metric}"].goodness
        assert better(wide.mean(f"cell_eval.{metric}") or 0.0) < better(plain.mean(f"cell_eval.{metric}") or 0.0), (
            metric
        )


def test_more_cells_than_there_are_real_ones_do_not_count() -> None:
    many = anndata.concat([_side(OTHER), _side(_cells(2))], index_unique="-")
    taken = as_comparable(many, _side(REAL))
    assert taken.obs["perturbation"].value_counts().to_dict() == {"control": 240, **dict.fromkeys(LABELS, 80)}
    assert len(set(map(tuple, taken.X.toarray().tolist()))) == taken.n_obs  # drawn without replacement


def test_one_perturbation_has_neither_discrimination_nor_scale_with_the_reason() -> None:
    real, predicted = (_side(cells, LABELS[:1]) for cells in (REAL, OTHER))
    scale = cell_eval2_scale(real, TARGETS, splits=2)
    found = cell_eval2_scores(real, predicted, TARGETS, scale=scale, fold="f")
    reasons = dict(found.left_out.filter(pl.col("label").is_null()).select("metric", "reason").iter_rows())
    assert reasons["cell_eval2.pds_cosine"] == "1 perturbations in this context; at least 5 are needed"
    assert {f"cell_eval2.{metric}.scaled" for metric in SIX} <= set(reasons)
    assert found.mean("cell_eval2.de_wilcoxon_sig_jaccard") is not None
    older = cell_eval_scores(real, predicted, TARGETS)
    assert set(older.left_out["metric"]) == {"cell_eval.discrimination_score_l1", "cell_eval.de_spearman_sig"}


def test_effects_too_small_to_measure_have_a_reason_and_no_value() -> None:
    cells = _cells(0, each=30)
    flat = replace(cells, counts=cells.counts[np.flatnonzero(cells.is_control)[np.arange(len(cells)) % 90]])
    scale = cell_eval2_scale(_side(flat), TARGETS, splits=2)
    assert any("no " in reason for reason in scale.reasons.values())
    found = cell_eval2_scores(_side(flat), _side(flat), TARGETS, scale=scale)
    assert found.left_out.height > 0
    assert not found.left_out["reason"].str.len_chars().eq(0).any()


def test_both_sides_have_the_same_cells_of_controls_and_labels() -> None:
    side = _side(REAL)
    assert side.n_obs == len(REAL)
    assert side.obs["perturbation"].value_counts().to_dict() == {"control": 240, **dict.fromkeys(LABELS, 80)}
    assert side.X.sum() == REAL.counts.sum()
    drawn = as_anndata(REAL, {"GENE2": CellGroup.of(OTHER, OTHER.is_control)}, REAL.is_control)
    assert (drawn.obs["perturbation"] == "GENE2").sum() == 240


def test_further_targets_of_a_combination_leave_the_genes() -> None:
    table, single = scores_module._without_further_targets(_side(REAL), TARGETS)
    assert "GENE14" not in table.var_names
    assert table.n_vars == GENES - 1
    assert single == {
        "GENE2": "GENE2",
        "GENE5": "GENE5",
        "GENE8": "GENE8",
        "GENE11+GENE14": "GENE11",
        "drug": None,
        "cytokine": None,
    }


def test_perturbations_are_called_by_their_gene_where_only_one_is() -> None:
    names = scores_module._gene_names(["a", "b", "c", "d"], {"a": ["X"], "b": ["Y"], "c": ["Y"], "d": ["X", "Y"]})
    assert names == {"a": "X", "b": "b", "c": "c", "d": "d"}


@pytest.mark.parametrize(
    ("predicted", "message"),
    [
        (_side(OTHER, LABELS[:3]), "only one side has GENE11\\+GENE14, cytokine, drug"),
        (_side(OTHER)[:, ::-1].copy(), "other genes, or another order"),
    ],
)
@pytest.mark.parametrize("score", [cell_eval_scores, cell_eval2_scores])
def test_sides_have_to_fit(predicted: anndata.AnnData, message: str, score: object) -> None:
    assert callable(score)
    with pytest.raises(EvaluatorError, match=message):
        score(_side(REAL), predicted, TARGETS)


def test_what_a_package_refuses_is_said_in_its_words() -> None:
    logs = _side(OTHER)
    logs.X = logs.X.log1p()
    with pytest.raises(EvaluatorError, match=r"cell-eval2 refuses the cells of 'f': .*counts"):
        cell_eval2_scores(_side(REAL), logs, TARGETS, fold="f")


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(scores_module, "version", absent)
    with pytest.raises(EvaluatorError, match=r"cell-eval is not installed; .*'lingshu-screen\[evaluate\]'"):
        cell_eval_scores(_side(REAL), _side(OTHER), TARGETS)


def test_another_version_is_not_comparable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scores_module, "version", lambda name: "9.9")
    with pytest.raises(EvaluatorError, match=r"cell-eval2 9\.9 is installed; scores are comparable with 0\.20\.0 only"):
        cell_eval2_scale(_side(REAL), TARGETS)


def test_noise_is_kept_and_errors_pass(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("cell_eval2")
    before = (logger.level, logger.propagate, list(logger.handlers))

    def noisy() -> None:
        with scores_module._contained() as lines:
            print("to the screen")
            print("as well", file=sys.stderr)
            warnings.warn("careful", stacklevel=2)
            logging.getLogger("cell_eval2.deeper").warning("omitted 2\nmore of it")
            assert lines == ["omitted 2"]
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        noisy()
    assert capsys.readouterr() == ("", "")
    assert (logger.level, logger.propagate, list(logger.handlers)) == before


def test_the_scale_of_few_perturbations_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    few = {label: REAL.obs["perturbation"].to_numpy() == label for label in LABELS[:4]}
    real = as_anndata(REAL, few, REAL.is_control)
    monkeypatch.setattr(scores_module, "_by_metric", lambda *_: pytest.fail("measured"))
    scale = cell_eval2_scale(real, TARGETS)
    assert {scale.reason(metric) for metric in SIX} == {"4 perturbations in this context; at least 5 are needed"}
    found = cell_eval2_scores(real, real, TARGETS, scale=scale)
    assert not any(name.endswith(".scaled") for name in found.values["metric"])
    reasons = dict(found.left_out.select("metric", "reason").rows())
    assert {reasons[f"cell_eval2.{metric}.scaled"] for metric in SIX} == {scale.reason(SIX[0])}
