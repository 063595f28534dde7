"""Our scores and the packages' on real cells: equal where they are defined alike, silent where the cells are."""

import os
from pathlib import Path

import anndata
import numpy as np
import polars as pl
import pytest

from benchmarks.quickstart import __file__ as benchmark
from lingshu_core.cells import Cells, CellSource, read_cells
from lingshu_core.effect_scores import Truth, effect_of, targets_of
from lingshu_core.metrics import discrimination
from lingshu_core.population_scores import CellGroup, ReferenceCells, halves
from lingshu_core.score_noise import bootstrap_scores
from lingshu_core.score_summary import compare
from lingshu_core.splits import Question
from screening.evaluating import cell_eval_scores as module

pytestmark = pytest.mark.data
ROOT = Path(benchmark).parents[1]
DATA = Path(os.environ.get("LINGSHU_DATA") or ROOT / "../shared/data")
STRONG = ("STAT1", "JAK2", "IFNGR1", "IFNGR2", "IRF1", "STAT2", "BRD4", "SMAD4")


def _read(name: str, **columns: str) -> Cells:
    path = DATA / f"{name}.h5ad"
    if not path.exists():
        pytest.skip(f"the real data are not here: set LINGSHU_DATA to the folder with {path.name}")
    plain = {role: role for role in ("perturbation", "perturbation_type", "cell_type")}
    return read_cells(CellSource(str(path), plain | columns, context=("cell_type",)))


def _questions(cells: Cells, cell_type: str, labels: tuple[str, ...], some: np.ndarray) -> tuple[Question, ...]:
    here = some & (cells.obs["cell_type"] == cell_type).to_numpy()
    column = cells.obs["perturbation"].to_numpy()
    return tuple(
        Question(
            f"{label} in {cell_type}",
            {"cell_type": cell_type},
            tuple((part, None) for part in label.split("+")),
            here & (column == label),
            here & cells.is_control,
            label,
        )
        for label in labels
    )


@pytest.fixture(scope="module")
def papalexi() -> Cells:
    return _read("papalexi2021_thp1_crispr_299")


@pytest.fixture(scope="module")
def half(papalexi: Cells) -> np.ndarray:
    return np.random.default_rng(0).random(len(papalexi)) < 0.5


def _other_half(cells: Cells, half: np.ndarray) -> dict[str, CellGroup]:
    """As many cells of every knock-out as there are in this half, from the other one."""
    rng, pairs = np.random.default_rng(0), [_questions(cells, "THP-1", STRONG, some) for some in (half, ~half)]
    return {
        here.label: CellGroup.of(cells, there.perturbed).take(int(here.perturbed.sum()), rng)
        for here, there in zip(*pairs, strict=True)
    }


def _sides(
    cells: Cells, questions: tuple[Question, ...], drawn: dict[str, CellGroup]
) -> tuple[anndata.AnnData, anndata.AnnData, dict[str, list[str]]]:
    """Real and predicted cells as the packages read them, and the targets."""
    controls = questions[0].controls
    real = module.as_anndata(cells, {each.label: each.perturbed for each in questions}, controls)
    targets = {each.label: sorted(targets_of(each, cells)) for each in questions}
    return real, module.as_anndata(cells, drawn, controls), targets


def test_ours_are_the_packages_where_no_target_is_among_the_genes(papalexi: Cells, half: np.ndarray) -> None:
    questions, drawn = _questions(papalexi, "THP-1", STRONG, half), _other_half(papalexi, half)
    ours = Truth(papalexi, questions, train=~half).scores(
        {
            each.label: np.asarray(drawn[each.label].log1p_per_10k().mean(axis=0)).ravel()
            - papalexi.log1p_per_10k(each.controls)
            for each in questions
        }
    )
    theirs = module.cell_eval_scores(*_sides(papalexi, questions, drawn))
    measured = [each.label for each in questions if each.perturbation not in papalexi.genes]
    assert len(measured) >= 3
    for metric in ("pearson_delta", "mae"):
        mine, their = (
            dict(table.filter(pl.col("metric") == name).select("label", "value").iter_rows())
            for table, name in ((ours.values, metric), (theirs.values, f"cell_eval.{metric}"))
        )
        for label in measured:
            assert mine[label] == pytest.approx(their[label], rel=1e-4), (metric, label)
        for label in set(mine) - set(measured):  # there the own target is left out
            assert mine[label] != their[label]


def test_perturbations_are_told_apart_as_both_packages_do(papalexi: Cells, half: np.ndarray) -> None:
    import cell_eval2

    questions, drawn = _questions(papalexi, "THP-1", STRONG, half), _other_half(papalexi, half)
    real, predicted, _ = _sides(papalexi, questions, drawn)
    single = {each.label: each.perturbation if each.perturbation in papalexi.genes else None for each in questions}
    with module._contained():
        table = cell_eval2.compute_metrics(
            module._log1p(predicted, {}),
            module._log1p(real, {}),
            config=cell_eval2.EvalConfig.v2(),
            metrics=["pds_l1", "pds_cosine"],
            pert_col="perturbation",
            control="control",
            input_type="lognorm",
            target_gene_map=single,
            device="cpu",
        )
    sides = [
        np.stack(
            [
                np.asarray(module._log1p(side, {})[side.obs["perturbation"] == each.label].X.mean(axis=0)).ravel()
                for each in questions
            ]
        )
        - np.asarray(module._log1p(real, {})[real.obs["perturbation"] == "control"].X.mean(axis=0)).ravel()
        for side in (predicted, real)
    ]
    used = ~np.isin(papalexi.genes, [gene for gene in single.values() if gene])
    for distance in ("l1", "cosine"):
        mine = discrimination(sides[0][:, used], sides[1][:, used], np.arange(len(questions)), distance)
        theirs = dict(table.filter(pl.col("metric") == f"pds_{distance}").select("perturbation", "value").iter_rows())
        assert dict(zip([each.label for each in questions], mine, strict=True)) == pytest.approx(theirs)


def test_a_replicate_of_strong_knock_outs_reaches_one_on_the_six(papalexi: Cells, half: np.ndarray) -> None:
    questions, drawn = _questions(papalexi, "THP-1", STRONG, half), _other_half(papalexi, half)
    real, predicted, targets = _sides(papalexi, questions, drawn)
    scale = module.cell_eval2_scale(real, targets)
    found = module.cell_eval2_scores(real, predicted, targets, scale=scale)
    scaled = {name: found.mean(name) for name in set(found.values["metric"]) if name.endswith(".scaled")}
    assert len(scaled) >= 4
    assert np.mean(list(scaled.values())) > 0.7
    nothing = {
        each.label: CellGroup.of(papalexi, each.controls).take(int(each.perturbed.sum()), np.random.default_rng(number))
        for number, each in enumerate(questions)
    }
    worse = module.cell_eval2_scores(real, _sides(papalexi, questions, nothing)[1], targets, scale=scale)
    for name in scaled:
        assert (worse.mean(name) or 0.0) < scaled[name], name


def test_real_halves_are_the_floor_of_populations(papalexi: Cells, half: np.ndarray) -> None:
    questions = _questions(papalexi, "THP-1", STRONG[:3], half)
    pairs = {each.label: halves(CellGroup.of(papalexi, each.perturbed)) for each in questions}
    reference = ReferenceCells(CellGroup.of(papalexi, ~half))
    one, other = ({label: pair[side] for label, pair in pairs.items()} for side in (0, 1))
    floor = reference.scores(one, other)
    controls = CellGroup.of(papalexi, questions[0].controls)
    apart = reference.scores(dict.fromkeys(one, controls), other)
    assert (floor.mean("mmd_p") or 0.0) > 0.05
    assert (apart.mean("mmd_p") or 1.0) < 0.02
    assert (apart.mean("energy_distance") or 0.0) > 5 * abs(floor.mean("energy_distance") or 0.0)


@pytest.mark.parametrize(("cell_type", "least", "most"), [("A172", 0.0, 0.4), ("K562", 0.6, 1.0)])
def test_weak_glioblastoma_screens_decide_little(cell_type: str, least: float, most: float) -> None:
    """Half of the cells as a prediction of the other half, each with its own controls, against no change."""
    cells = _read("norman2019_mcfaline2023_devel_500")
    here = (cells.obs["cell_type"] == cell_type).to_numpy()
    counts = cells.obs["perturbation"][here & ~cells.is_control].value_counts()
    labels, half = tuple(sorted(counts[counts >= 80].index)), np.random.default_rng(0).random(len(cells)) < 0.5
    questions = _questions(cells, cell_type, labels, here & half)
    truth = Truth(cells, questions, train=~here)
    replicates = _questions(cells, cell_type, labels, here & ~half)
    models = {
        "replicate": {each.label: effect_of(cells, each.perturbed, each.controls) for each in replicates},
        "no change": {each.label: np.zeros(len(cells.genes)) for each in questions},
    }
    scores = [truth.scores(effects).values.with_columns(model=pl.lit(name)) for name, effects in models.items()]
    found = compare(
        pl.concat(scores).filter(pl.col("metric") == "pearson_delta"),
        models=["replicate"],
        baselines=["no change"],
        noise=bootstrap_scores(truth, models, draws=100, metrics=["pearson_delta"]),
    ).to_dicts()[0]
    assert found["decided_of"] == len(labels)
    assert least <= found["decided"] / found["decided_of"] <= most
    assert found["verdict"] == ("undecided" if cell_type == "A172" else "better")


def test_one_cytokine_carries_no_discrimination_and_no_centre() -> None:
    cells = _read("kang2018_ifnb_pbmc")
    monocytes = (cells.obs["cell_type"] == "CD14+ Monocytes").to_numpy()
    questions = _questions(cells, "CD14+ Monocytes", ("IFNB1",), monocytes)
    truth = Truth(cells, questions, train=~monocytes)
    label = questions[0].label
    assert truth.answers[label].used.sum() == truth.seen.sum()  # a cytokine has no target to leave out
    others = ~monocytes & (cells.obs["perturbation"] == "IFNB1").to_numpy()
    found = truth.scores({label: effect_of(cells, others, ~monocytes & cells.is_control)})
    assert set(found.left_out["metric"]) == {"pearson_systema", "weighted_r2_delta", "pds_l1", "pds_cosine"}
    assert (found.mean("pearson_delta") or 0.0) > 0.5
