from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from lingshu_core.state_space import PlacedCells, RealGroup, StateSpace
from screening.errors import BlockError, ObjectiveError
from screening.folding.effects import Moments
from screening.objective.objectives import UNITS, least_spread, score_condition, score_members
from screening.objective.population_readout import (
    COLUMNS,
    MEASURES,
    PopulationReadout,
    population_readout,
    share_difference,
)

GENES = ("A", "B", "C", "D")
NONE = np.empty(0, dtype=np.int64)
SHARDS, CELLS = 8, 6
MakeMoments = Callable[..., Moments]


@pytest.fixture
def space() -> StateSpace:
    """Genes A and C are the two dimensions; the others are around (0, 0) and the group around (2, 0)."""
    cloud = np.array([[0.1, 0.0], [-0.1, 0.0], [0.0, 0.1], [0.0, -0.1]])
    weights = np.full(4, 0.25)
    return StateSpace(
        genes=np.array([0, 2]),
        loadings=np.eye(2),
        centre=np.zeros(2),
        group=RealGroup(sp.csr_matrix(cloud + np.array([2.0, 0.0])), weights),
        others=RealGroup(sp.csr_matrix(cloud), weights),
        coefficients=np.array([[4.0, 0.0], [0.0, 0.0]]),
        intercepts=np.array([-4.0, 0.0]),  # the border lies at 1
        accuracy=1.0,
    )


@pytest.fixture
def drawn(moments: MakeMoments) -> Callable[..., Moments]:
    """Moments whose drawn cells are these values of A and C, (shards, cells, 2)."""

    def make(values: np.ndarray) -> Moments:
        flat = values.reshape(-1, 2)
        placed = PlacedCells(sp.csc_matrix(flat), flat.copy(), len(values))
        return replace(moments([1.0] * 4), placed=placed)

    return make


def cloud(seed: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.3, (SHARDS, CELLS, 2)) + np.array([shift, 0.0])


def readout_of(space: StateSpace, measure: str, sign: float = 1.0) -> PopulationReadout:
    return population_readout(space, len(GENES), measure, sign, "toward")


@pytest.mark.parametrize("measure", MEASURES)
def test_a_condition_like_its_control_has_the_score_zero(
    space: StateSpace, drawn: Callable[..., Moments], measure: str
) -> None:
    cells = drawn(cloud(0))
    found = score_condition(cells, cells, readout_of(space, measure), NONE, GENES)
    assert (found.score, found.score_se, found.genes_used) == (0.0, 0.0, 2)
    assert measure in UNITS


def test_cells_that_arrive_have_gone_the_whole_distance(space: StateSpace, drawn: Callable[..., Moments]) -> None:
    found = score_condition(drawn(cloud(0, 2.0)), drawn(cloud(0)), readout_of(space, "e_distance"), NONE, GENES)
    assert found.score == pytest.approx(1, abs=0.15)  # of 48 cells, wider than the group
    assert found.effect == pytest.approx(found.score * space.view().separation)
    away = score_condition(drawn(cloud(0, -1.0)), drawn(cloud(0)), readout_of(space, "e_distance"), NONE, GENES)
    assert away.score < -0.2
    less = score_condition(drawn(cloud(0, 2.0)), drawn(cloud(0)), readout_of(space, "e_distance", -1.0), NONE, GENES)
    assert less.score == pytest.approx(-found.score)


def test_the_share_in_a_state_is_counted(space: StateSpace, drawn: Callable[..., Moments]) -> None:
    values = np.zeros((SHARDS, CELLS, 2))
    start = drawn(values.copy())
    values[:, :2, 0] = 2.0  # two of the six cells of every shard
    values[0, :, 0] = 2.0  # and all of one
    found = score_condition(drawn(values), start, readout_of(space, "state_share"), NONE, GENES)
    readout = readout_of(space, "state_share")
    told = readout.describe([(drawn(values), start)], NONE)
    shares = np.array([1.0] + [1 / 3] * 7)
    assert (told["share_in_state"], told["share_in_state_control"]) == (pytest.approx(shares.mean()), 0)
    assert told["share_in_state_se"] == pytest.approx(shares.std(ddof=1) / np.sqrt(8))
    ends = np.arcsin(np.sqrt([(20 + 0.375) / 48.75, 0.375 / 48.75]))
    assert found.score == found.effect == pytest.approx(2 * (ends[0] - ends[1]))
    slope = 1 / np.sqrt(shares.mean() * (1 - shares.mean()))  # of 2 arcsin √p
    assert found.score_se == pytest.approx(slope * told["share_in_state_se"], rel=0.1)


def test_a_share_has_noise_of_its_own_where_nothing_ever_counted(
    space: StateSpace, drawn: Callable[..., Moments]
) -> None:
    """Counts with a share near 0 stray by about the least spread: z of a null that is all zeros is no larger."""
    random = np.random.default_rng(0)
    least = float(least_spread(UNITS["state_share"], np.array(8.0 * 32)))
    assert least == 1 / 16
    assert least_spread(UNITS["e_distance"], np.array(8.0)) == 0
    for share in (0.0005, 0.002, 0.01, 0.1):
        counts = random.binomial(8, share, (4000, 32)).astype(float)
        scores = np.array([share_difference(each, np.zeros(32), 8).mean() for each in counts])
        around = 2 * np.arcsin(np.sqrt((256 * share + 0.375) / 256.75)) - 2 * np.arcsin(np.sqrt(0.375 / 256.75))
        assert (scores - around).std() <= 1.05 * least
        assert ((scores - around) / least > 3).mean() <= 0.003


def test_a_response_of_half_the_cells_is_heterogeneous(space: StateSpace, drawn: Callable[..., Moments]) -> None:
    values = np.zeros((SHARDS, CELLS, 2))
    start = drawn(values.copy())
    all_of_them, half = values.copy(), values.copy()
    all_of_them[..., 0] = 1.0
    half[:, ::2, 0] = 2.0  # the whole way
    readout = readout_of(space, "heterogeneity")
    assert score_condition(drawn(all_of_them), start, readout, NONE, GENES).score == pytest.approx(0)
    # p (1 − p) d² = 1/4, times n / (n − 1) of an unbiased variance of six cells that are exactly half and half
    assert score_condition(drawn(half), start, readout, NONE, GENES).score == pytest.approx(0.25 * 6 / 5)
    told = readout.describe([(drawn(half), start)], NONE)
    assert told["response"] == pytest.approx(0.5)
    assert told["spread_control"] == 0
    assert told["excess_variance"] == pytest.approx(0.3)


def test_all_measures_are_told_whatever_the_score(space: StateSpace, drawn: Callable[..., Moments]) -> None:
    pair = drawn(cloud(1, 1.0)), drawn(cloud(2))
    told: list[dict[str, Any]] = []
    for measure, column in (
        ("e_distance", "e_distance"),
        ("state_share", "share_in_state"),
        ("heterogeneity", "excess_variance"),
    ):
        readout = readout_of(space, measure)
        found = score_condition(*pair, readout, NONE, GENES)
        told.append(dict(readout.describe([pair], NONE)))
        assert tuple(told[-1]) == readout.columns == tuple(COLUMNS)
        if measure != "state_share":  # whose score is on a scale of its own
            assert found.effect_se == pytest.approx(told[-1][f"{column}_se"])
    assert told[0] == told[1] == told[2]
    assert told[0]["response"] == pytest.approx(0.5, abs=0.1)


def test_the_order_of_cells_in_a_shard_changes_nothing(space: StateSpace, drawn: Callable[..., Moments]) -> None:
    values, start = cloud(3, 0.5), drawn(cloud(4))
    shuffled = values[:, np.random.default_rng(0).permutation(CELLS)]
    for measure in MEASURES:
        one, other = (
            score_condition(drawn(each), start, readout_of(space, measure), NONE, GENES) for each in (values, shuffled)
        )
        assert (one.score, one.score_se) == (pytest.approx(other.score), pytest.approx(other.score_se))


def test_own_targets_are_left_out_of_space_and_score(space: StateSpace, drawn: Callable[..., Moments]) -> None:
    arrived, start = drawn(cloud(0, 2.0)), drawn(cloud(0))
    share = readout_of(space, "state_share")
    assert score_condition(arrived, start, share, NONE, GENES).score > 0.9
    without = score_condition(arrived, start, share, np.array([0, 1]), GENES)
    assert (without.score, without.genes_used, without.targets_left_out) == (0.0, 1, ("A",))
    with pytest.raises(ObjectiveError, match="no gene is left"):
        score_condition(arrived, start, share, np.array([0, 2]), GENES)


def test_a_table_of_the_genes_of_the_space_gives_the_same(space: StateSpace, drawn: Callable[..., Moments]) -> None:
    whole = readout_of(space, "e_distance")
    assert whole.used.tolist() == [True, False, True, False]
    cut = whole.restricted_to(np.array([0, 2]))
    assert cut.used.tolist() == [True, True]
    pair = drawn(cloud(1, 1.0)), drawn(cloud(2))
    one = score_condition(*pair, whole, np.array([2]), GENES)
    assert score_condition(*pair, cut, np.array([1]), ("A", "C")) == one


def test_members_are_averaged_by_shard(space: StateSpace, drawn: Callable[..., Moments]) -> None:
    pairs = [(drawn(cloud(seed, 1.0 + seed)), drawn(cloud(9))) for seed in (0, 1)]
    readout = readout_of(space, "e_distance")
    alone = [score_condition(*pair, readout, NONE, GENES).score for pair in pairs]
    found = score_members(pairs, readout, NONE, GENES)
    assert found.score == pytest.approx(np.mean(alone))
    assert found.score_sd == pytest.approx(np.std(alone, ddof=1))


def test_without_drawn_cells_there_is_no_score(space: StateSpace, moments: MakeMoments) -> None:
    with pytest.raises(BlockError, match="scored from drawn cells"):
        score_condition(moments([1.0] * 4), moments([1.0] * 4), readout_of(space, "e_distance"), NONE, GENES)
