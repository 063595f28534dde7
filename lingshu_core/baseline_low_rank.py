"""An additive low-rank model of effects, fitted to summary statistics by alternating least squares.

The mean effect of perturbation p in context i is

    y_ip = μ + a_i + b_p + Σ_r (1 + s_ir) z_pr w_r,

with a mean μ, a shift a_i of each context, R response programs w_r (genes,), a loading z_pr of each perturbation on
each program, a factor 1 + s_ir by which a context answers more or less, and what a perturbation does beyond the
programs, b_p. All but b are found in turn, each by ridge regression with the others fixed, weighted by the cells behind
every measured effect. Penalties are written in cells: a perturbation with as many cells as the penalty lies half-way
between its own effect and the mean. It is the additive-plus-low-rank form that models of summary statistics have in
common; no code of any is used here.

Programs are found on mean log1p counts per 10k; the other three moments are regressed on the same loadings. The rank
and the penalty of the loadings are chosen by bi-cross-validation (Owen and Perry 2009, Ann Appl Stat): perturbations
are left out of the programs, their loadings are found from half of the genes, and the other half is predicted. The
penalty of b is that of empirical Bayes: the variance of a cell over the variance that the residuals have beyond noise.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from lingshu_core.baseline_statistics import Array, GroupStatistics, Rows

RANKS = (0, 1, 2, 4, 8, 16)
PENALTIES = (3.0, 10.0, 30.0, 100.0)
"""Penalties of the loadings that are tried, in cells."""
CONTEXT_PENALTY = 30.0
"""Penalty of what a context has of its own, in cells."""
MOST_CELLS = 100.0
"""More cells than these don't make an effect weigh more: contexts differ, however well they are measured."""
ROUNDS, SHIFT_ROUNDS, FOLDS = 20, 5, 3


@dataclass(frozen=True)
class LowRank:
    """A fitted model.

    ``mean`` (4, genes); ``shifts`` (contexts, 4, genes); ``programs`` (4, rank, genes); ``loadings`` (perturbations,
    rank); ``answers`` s, (contexts, rank); ``own`` b, (perturbations, 4, genes). ``labels`` and ``doses`` name the
    perturbations, (perturbations,) each; ``penalty`` is that of the loadings, and ``error`` what bi-cross-validation
    found, over that of rank 0.
    """

    mean: Array
    shifts: Array
    programs: Array
    loadings: Array
    answers: Array
    own: npt.NDArray[np.float32]
    labels: Rows
    doses: Array
    penalty: float
    error: float

    @property
    def rank(self) -> int:
        """How many programs there are."""
        return int(self.programs.shape[1])

    def change(self, loading: Array, contexts: Rows, weights: Array) -> Array:
        """Return the change of a loading, (rank,), averaged over contexts, (4, genes); the mean context where none.

        What a perturbation does beyond the programs is not in it.
        """
        if not len(contexts):
            return np.asarray(self.mean + np.einsum("r,mrg->mg", loading, self.programs))
        share = weights / weights.sum()
        answered = loading * (1.0 + share @ self.answers[contexts])
        shift = np.tensordot(share, self.shifts[contexts], axes=1)
        return np.asarray(self.mean + shift + np.einsum("r,mrg->mg", answered, self.programs))


@dataclass(frozen=True)
class _Problem:
    """Measured effects, (n, genes), their contexts and perturbations, (n,), and weights in cells, (n,)."""

    effects: Array
    contexts: Rows
    perturbations: Rows
    weights: Array
    n_contexts: int
    n_perturbations: int

    def only(self, keep: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> _Problem:
        return replace(
            self,
            effects=self.effects[keep],
            contexts=self.contexts[keep],
            perturbations=self.perturbations[keep],
            weights=self.weights[keep],
        )

    @property
    def several_contexts(self) -> bool:
        return len(np.unique(self.contexts)) > 1


@dataclass(frozen=True)
class _Factors:
    mean: Array  # (genes,)
    shifts: Array  # (contexts, genes)
    programs: Array  # (rank, genes)
    loadings: Array  # (perturbations, rank)
    answers: Array  # (contexts, rank)


def fit_low_rank(statistics: GroupStatistics) -> LowRank:
    """Fit the model to the measured effects of all groups.

    Parameters
    ----------
    statistics
        Of the training cells, with at least one perturbed group.
    """
    rows = np.flatnonzero(statistics.has_own_controls)
    rows = rows if len(rows) else np.arange(len(statistics.labels))
    # No dose is −1 here: rows with NaN are never equal.
    pairs = np.stack([statistics.labels[rows].astype(float), np.nan_to_num(statistics.doses[rows], nan=-1.0)], axis=1)
    named, perturbations = np.unique(pairs, axis=0, return_inverse=True)
    problem = _Problem(
        statistics.changes[rows, 0].astype(np.float64),
        statistics.contexts[rows],
        perturbations.ravel(),
        1.0 / (1.0 / statistics.precision[rows] + 1.0 / MOST_CELLS),
        len(statistics.control_cells),
        len(named),
    )
    rank, penalty, error = _choose(problem)
    found = _alternate(problem, rank, penalty)
    mean, shifts, programs = _all_moments(problem, statistics.changes[rows], found)
    own = _own(problem, statistics, rows, found, (mean, shifts, programs))
    labels, doses = named[:, 0].astype(np.int64), np.where(named[:, 1] < 0, np.nan, named[:, 1])
    return LowRank(mean, shifts, programs, found.loadings, found.answers, own, labels, doses, penalty, error)


def _alternate(problem: _Problem, rank: int, penalty: float) -> _Factors:
    found = _start(problem, rank, penalty)
    for _ in range(ROUNDS if rank or problem.several_contexts else 1):
        found = _shifts(problem, found)
        found = _programs(problem, found)
        found = replace(found, loadings=_loadings(problem, found, penalty))
        if problem.several_contexts and rank:
            found = _answers(problem, found)
    return found


def _start(problem: _Problem, rank: int, penalty: float) -> _Factors:
    """Start from the principal components of the perturbations' mean effects."""
    genes = problem.effects.shape[1]
    mean = np.average(problem.effects, axis=0, weights=problem.weights)
    total, weight = _grouped(problem.effects - mean, problem.weights, problem.perturbations, problem.n_perturbations)
    own = total / (weight + penalty)[:, None]
    programs = np.zeros((0, genes))
    if rank:
        programs = np.linalg.svd(np.sqrt(weight)[:, None] * own, full_matrices=False)[2][:rank]
    return _Factors(
        mean,
        np.zeros((problem.n_contexts, genes)),
        programs,
        own @ programs.T,
        np.zeros((problem.n_contexts, rank)),
    )


def _design(problem: _Problem, found: _Factors) -> Array:
    """Return (1 + s) z of every measured effect, (n, rank)."""
    return found.loadings[problem.perturbations] * (1.0 + found.answers[problem.contexts])


def _shifts(problem: _Problem, found: _Factors) -> _Factors:
    if not problem.several_contexts:
        return found
    rest = problem.effects - found.mean - _design(problem, found) @ found.programs
    total, weight = _grouped(rest, problem.weights, problem.contexts, problem.n_contexts)
    return replace(found, shifts=total / (weight + CONTEXT_PENALTY)[:, None])


def _programs(problem: _Problem, found: _Factors) -> _Factors:
    """Find mean and programs together, and give every program the norm 1."""
    fitted = _regress(_design(problem, found), problem.effects - found.shifts[problem.contexts], problem.weights)
    norms = np.maximum(np.linalg.norm(fitted[1:], axis=1), 1e-12)
    programs, loadings = fitted[1:] / norms[:, None], found.loadings * norms
    return replace(found, mean=fitted[0], programs=programs, loadings=loadings)


def _regress(design: Array, values: Array, weights: Array) -> Array:
    """Regress (n, genes) on an intercept and a design, (n, rank), by weight: (1 + rank, genes)."""
    full = np.concatenate([np.ones((len(design), 1)), design], axis=1)
    normal = full.T @ (weights[:, None] * full)
    normal[1:, 1:] += 1e-6 * max(np.trace(normal[1:, 1:]), 1e-12) * np.eye(design.shape[1])
    return np.asarray(np.linalg.solve(normal, full.T @ (weights[:, None] * values)))


def _loadings(problem: _Problem, found: _Factors, penalty: float, genes: Rows | None = None) -> Array:
    """Find the loadings of all perturbations, (perturbations, rank), from some genes or all."""
    rank = len(found.programs)
    if not rank:
        return np.zeros((problem.n_perturbations, 0))
    chosen = slice(None) if genes is None else genes
    programs = found.programs[:, chosen]
    rest = problem.effects[:, chosen] - found.mean[chosen] - found.shifts[problem.contexts][:, chosen]
    answer = 1.0 + found.answers[problem.contexts]  # (n, rank)
    gram = programs @ programs.T
    normal = np.einsum("n,nr,rs,ns->nrs", problem.weights, answer, gram, answer)
    right = problem.weights[:, None] * answer * (rest @ programs.T)
    # Genes left out take their share of the norm with them; the penalty goes with what is there.
    scale = penalty * float(np.trace(gram)) / rank
    left = _grouped(normal, np.ones(len(normal)), problem.perturbations, problem.n_perturbations)[0]
    right = _grouped(right, np.ones(len(right)), problem.perturbations, problem.n_perturbations)[0]
    return np.asarray(np.linalg.solve(left + scale * np.eye(rank), right[..., None])[..., 0])


def _answers(problem: _Problem, found: _Factors) -> _Factors:
    """Find by how much more or less each context answers, (contexts, rank)."""
    loading = found.loadings[problem.perturbations]
    rest = problem.effects - found.mean - found.shifts[problem.contexts] - loading @ found.programs
    gram = found.programs @ found.programs.T
    normal = np.einsum("n,nr,rs,ns->nrs", problem.weights, loading, gram, loading)
    right = problem.weights[:, None] * loading * (rest @ found.programs.T)
    left = _grouped(normal, np.ones(len(normal)), problem.contexts, problem.n_contexts)[0]
    right = _grouped(right, np.ones(len(right)), problem.contexts, problem.n_contexts)[0]
    typical = np.average(np.square(loading), axis=0, weights=problem.weights)  # s has no unit, z has
    penalty = CONTEXT_PENALTY * np.diag(np.maximum(typical, 1e-12))
    return replace(
        found, answers=np.asarray(np.linalg.solve(left + penalty, right[..., None])[..., 0], dtype=np.float64)
    )


def _all_moments(problem: _Problem, changes: np.ndarray, found: _Factors) -> tuple[Array, Array, Array]:
    """Regress every moment on the loadings: mean (4, genes), shifts (contexts, 4, genes), programs (4, rank, genes)."""
    genes, rank = problem.effects.shape[1], len(found.programs)
    mean, programs = np.empty((4, genes)), np.empty((4, rank, genes))
    shifts = np.zeros((problem.n_contexts, 4, genes))
    for moment in range(4):
        one = replace(problem, effects=changes[:, moment].astype(np.float64))
        fitted = replace(found, shifts=shifts[:, moment])
        for _ in range(SHIFT_ROUNDS if problem.several_contexts else 1):
            both = _regress(_design(one, fitted), one.effects - fitted.shifts[one.contexts], one.weights)
            fitted = _shifts(one, replace(fitted, mean=both[0], programs=both[1:]))
        mean[moment], programs[moment], shifts[:, moment] = fitted.mean, fitted.programs, fitted.shifts
    return mean, shifts, programs


def _own(
    problem: _Problem, statistics: GroupStatistics, rows: Rows, found: _Factors, fitted: tuple[Array, Array, Array]
) -> npt.NDArray[np.float32]:
    """Return what perturbations do beyond the programs, shrunk by empirical Bayes, (perturbations, 4, genes)."""
    mean, shifts, programs = fitted
    precision, design = statistics.precision[rows], _design(problem, found)
    own = np.zeros((problem.n_perturbations, *mean.shape), dtype=np.float32)
    for moment in range(4):
        rest = statistics.changes[rows, moment] - mean[moment] - shifts[problem.contexts, moment]
        rest -= design @ programs[moment]
        if not moment:
            # Of one cell, and of what is left when the noise of the mean of so many cells is taken out.
            noise = _cell_variance(statistics).mean()
            beyond = float((np.square(rest).mean(axis=1) - noise / precision).mean())
            if beyond <= 0:
                return own
        total, weight = _grouped(rest, precision, problem.perturbations, problem.n_perturbations)
        own[:, moment] = total / (weight + noise / beyond)[:, None]
    return own


def _cell_variance(statistics: GroupStatistics) -> Array:
    """Return the variance of log1p counts per 10k between control cells of a context, (genes,)."""
    share = statistics.control_cells / statistics.control_cells.sum()
    moments = statistics.control_moments.astype(np.float64)
    return np.maximum(np.asarray(share @ (moments[:, 1] - np.square(moments[:, 0]))), 0.0)


def _choose(problem: _Problem) -> tuple[int, float, float]:
    """Choose rank and penalty by bi-cross-validation; returns them and the error over that of rank 0.

    Of all that are within a standard error of the best, the smallest rank with the largest penalty (Breiman's rule).
    """
    generator = np.random.default_rng(0)
    fold = generator.permutation(problem.n_perturbations) % FOLDS
    half = generator.permutation(problem.effects.shape[1]) % 2 == 0
    halves = (np.flatnonzero(half), np.flatnonzero(~half))
    possible = [rank for rank in RANKS if rank < problem.n_perturbations * (FOLDS - 1) // FOLDS]
    if len(possible) < 2 or not len(halves[1]):
        return 0, PENALTIES[1], 1.0
    errors: dict[tuple[int, float], list[float]] = {(rank, p): [] for rank in possible for p in PENALTIES}
    for number in range(FOLDS):
        held = fold[problem.perturbations] == number
        taught, asked = problem.only(~held), problem.only(held)
        for rank in possible:
            found = _alternate(taught, rank, PENALTIES[1])
            for penalty in PENALTIES:
                errors[rank, penalty] += [
                    _error(asked, found, penalty, halves[known], halves[1 - known]) for known in (0, 1)
                ]
    best = np.array(min(errors.values(), key=sum))
    near = [tried for tried, error in errors.items() if _within_one_error(np.array(error) - best)]
    rank, penalty = min(near, key=lambda tried: (tried[0], -tried[1]))
    nothing = sum(errors[0, PENALTIES[0]])
    return rank, penalty, sum(errors[rank, penalty]) / nothing if nothing else 1.0


def _error(asked: _Problem, found: _Factors, penalty: float, known: Rows, wanted: Rows) -> float:
    """Find the loadings of perturbations from some genes and predict the others; the weighted squared error."""
    loadings = _loadings(asked, found, penalty, known)
    fitted = _design(asked, replace(found, loadings=loadings)) @ found.programs[:, wanted]
    rest = asked.effects[:, wanted] - found.mean[wanted] - found.shifts[asked.contexts][:, wanted]
    return float(asked.weights @ np.square(rest - fitted).sum(axis=1))


def _within_one_error(worse: Array) -> bool:
    """Tell whether a mean of paired differences is within its standard error of 0."""
    return bool(worse.mean() <= worse.std(ddof=1) / np.sqrt(len(worse)))


def _grouped(values: Array, weights: Array, groups: Rows, count: int) -> tuple[Array, Array]:
    """Sum weighted rows and weights by group, (count, …) and (count,)."""
    member = sp.csr_matrix((weights, (groups, np.arange(len(groups)))), shape=(count, len(groups)))
    total = (member @ values.reshape(len(values), -1)).reshape(count, *values.shape[1:])  # (n, …) → (count, …)
    return total, np.bincount(groups, weights=weights, minlength=count).astype(np.float64)
