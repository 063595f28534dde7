from __future__ import annotations

import numpy as np
import pytest

from lingshu_core.baseline_low_rank import LowRank, fit_low_rank
from lingshu_core.baseline_statistics import GroupStatistics

GENES, RANK = 60, 2


def planted(
    contexts: int = 4, perturbations: int = 18, noise: float = 0.3, cells: int = 50, seed: int = 0
) -> tuple[GroupStatistics, np.ndarray]:  # type: ignore[type-arg]
    """Statistics of effects with a mean, shifts of contexts, two programs and answers of contexts; and these effects.

    Every perturbation is measured in all contexts but one.
    """
    draw = np.random.default_rng(seed)
    programs = draw.normal(size=(RANK, GENES))
    loadings = draw.normal(size=(perturbations, RANK))
    answers = 0.4 * draw.normal(size=(contexts, RANK))
    shifts, mean = 0.3 * draw.normal(size=(contexts, GENES)), 0.5 * draw.normal(size=GENES)
    truth = mean + shifts[:, None] + np.einsum("pr,cr,rg->cpg", loadings, 1 + answers, programs)  # (c, p, genes)
    pairs = [(c, p) for c in range(contexts) for p in range(perturbations) if contexts == 1 or p % contexts != c]
    measured = np.stack([truth[pair] for pair in pairs]) + noise * draw.normal(size=(len(pairs), GENES))
    changes = np.repeat(measured[:, None], 4, axis=1) * np.array([1.0, 1.0, 2.0, 2.0])[:, None]
    many = np.full(contexts, 10_000)
    controls = np.zeros((contexts, 4, GENES), dtype=np.float32)
    controls[:, 1] = noise**2 * cells  # of one cell
    statistics = GroupStatistics(
        controls,
        np.ones(contexts),
        many,
        changes.astype(np.float32),
        np.array([c for c, _ in pairs]),
        np.array([p for _, p in pairs]),
        np.full(len(pairs), np.nan),
        np.full(len(pairs), cells),
    )
    return statistics, truth


def predicted(found: LowRank, context: int, perturbation: int) -> np.ndarray:  # type: ignore[type-arg]
    row = int(np.flatnonzero(found.labels == perturbation)[0])
    return found.change(found.loadings[row], np.array([context]), np.ones(1)) + found.own[row]


def test_the_planted_rank_is_found() -> None:
    found = fit_low_rank(planted()[0])
    assert found.loadings.shape == (18, RANK)
    assert found.error < 0.5


def test_pairs_that_were_not_measured_are_predicted_better_than_additively() -> None:
    statistics, truth = planted()
    found = fit_low_rank(statistics)
    low_rank, additive = 0.0, 0.0
    for perturbation in range(truth.shape[1]):
        context = perturbation % len(truth)
        rows = statistics.labels == perturbation
        low_rank += np.square(predicted(found, context, perturbation)[0] - truth[context, perturbation]).sum()
        additive += np.square(statistics.changes[rows, 0].mean(axis=0) - truth[context, perturbation]).sum()
    assert low_rank < 0.1 * additive


def test_noise_is_taken_out_of_what_was_measured() -> None:
    statistics, truth = planted(contexts=1, perturbations=40, noise=1.0)
    found = fit_low_rank(statistics)
    fitted = np.stack([predicted(found, 0, p)[0] for p in range(40)])
    assert np.square(fitted - truth[0]).mean() < 0.5 * np.square(statistics.changes[:, 0] - truth[0]).mean()


def test_all_moments_are_regressed_on_the_same_loadings() -> None:
    found = fit_low_rank(planted()[0])
    change = predicted(found, 0, 1)
    np.testing.assert_allclose(change[1], change[0], atol=0.05)
    np.testing.assert_allclose(change[2], 2 * change[0], atol=0.1)


def test_a_context_that_was_never_perturbed_takes_the_mean_answer() -> None:
    found = fit_low_rank(planted()[0])
    nowhere = found.change(found.loadings[0], np.empty(0, dtype=np.int64), np.empty(0))
    np.testing.assert_allclose(nowhere[0], found.mean[0] + found.loadings[0] @ found.programs[0])


def test_what_a_perturbation_does_alone_is_kept_beside_the_programs() -> None:
    """One perturbation moves a gene that no program has."""
    statistics, _ = planted(contexts=1, perturbations=30, cells=400)
    changes = statistics.changes.copy()
    changes[4, 0, 7] += 8.0
    found = fit_low_rank(GroupStatistics(**{**vars(statistics), "changes": changes}))
    assert found.own[4, 0, 7] > 0.5
    assert np.abs(found.own[:, 0]).mean() < 0.1


def test_contexts_are_averaged_by_weight() -> None:
    found = fit_low_rank(planted()[0])
    both = found.change(found.loadings[0], np.array([0, 1]), np.array([3.0, 1.0])) + found.own[0]
    np.testing.assert_allclose(both, 0.75 * predicted(found, 0, 0) + 0.25 * predicted(found, 1, 0), atol=1e-9)


@pytest.mark.parametrize("perturbations", [1, 2, 3])
def test_a_few_perturbations_leave_the_mean_or_little_more(perturbations: int) -> None:
    statistics, _ = planted(contexts=1, perturbations=perturbations)
    found = fit_low_rank(statistics)
    assert found.rank < perturbations
    assert np.isfinite(predicted(found, 0, 0)).all()


def test_noise_has_no_rank() -> None:
    statistics, _ = planted(contexts=1, perturbations=30)
    draw = np.random.default_rng(1)
    noise = draw.normal(size=statistics.changes.shape).astype(np.float32)
    found = fit_low_rank(GroupStatistics(**{**vars(statistics), "changes": noise}))
    assert found.rank == 0
    assert found.error == 1.0


def test_the_same_statistics_give_the_same_model() -> None:
    first, second = (fit_low_rank(planted()[0]) for _ in range(2))
    for name in ("mean", "shifts", "programs", "loadings", "answers", "own"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
