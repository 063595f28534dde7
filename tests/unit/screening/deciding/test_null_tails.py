import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from screening.deciding.null_tails import SHAPES, NullTails, heaviest_p_values, predictive_tail

NONE = NullTails.of(np.empty((0, 0)))


def standardised(draws: np.ndarray) -> np.ndarray:
    """Bring the blocks of every context, (contexts, labels), to mean 0 and standard deviation 1."""
    return (draws - draws.mean(axis=1, keepdims=True)) / draws.std(axis=1, ddof=1, keepdims=True)


def test_without_blocks_all_shapes_weigh_the_same() -> None:
    assert NONE.weights == pytest.approx([1 / len(SHAPES)] * len(SHAPES))
    assert NullTails.of(np.zeros((3, 19))) == NONE  # too few in a context to say anything


@pytest.mark.parametrize(
    ("shape", "draw"),
    [
        ("t3", lambda random, size: random.standard_t(3, size)),
        ("gumbel", lambda random, size: random.gumbel(0, 1, size)),
        ("normal", lambda random, size: random.normal(3, 5, size)),
    ],
)
def test_many_blocks_tell_the_shape(shape: str, draw: object) -> None:
    blocks = standardised(draw(np.random.default_rng(1), (4, 500)))  # type: ignore[operator]
    weights = dict(zip(SHAPES, NullTails.of(blocks).weights, strict=True))
    assert weights[shape] > 0.8


def test_twenty_blocks_leave_heavy_tails_open() -> None:
    random = np.random.default_rng(2)
    left = [NullTails.of(standardised(random.normal(size=(1, 20)))).weights[0] for _ in range(50)]
    assert np.median(left) > 0.05


def test_a_label_is_one_thing_in_all_contexts() -> None:
    random = np.random.default_rng(3)
    shared = np.repeat(random.normal(size=(1, 100)), 6, axis=0)
    apart = NullTails.of(standardised(random.normal(size=(6, 100))))
    together = NullTails.of(standardised(shared + 0.1 * random.normal(size=(6, 100))))
    assert apart.blocks > 400
    assert together.blocks < 120


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("blocks", [20, 80])
def test_p_values_of_a_shape_are_those_of_one_more_draw(shape: str, blocks: int) -> None:
    random = np.random.default_rng(4)
    draw = {
        "normal": lambda size: random.normal(size=size),
        "gumbel": lambda size: random.gumbel(size=size),
    }.get(shape, lambda size: random.standard_t(float(shape.strip("tgumbelnor") or 1), size))
    runs = 4000
    sets, more = draw((runs, blocks - 1)), draw(runs)  # type: ignore[no-untyped-call]
    z = (more - sets.mean(axis=1)) / (sets.std(axis=1, ddof=1) * np.sqrt(1 + 1 / (blocks - 1)))
    p_values = predictive_tail(z, blocks, shape)
    for level in (0.5, 0.05, 0.01):
        low, high = stats.binom.ppf([0.001, 0.999], runs, level)
        assert low <= (p_values <= level).sum() <= high


@given(z=st.lists(st.floats(-30, 30), min_size=2, max_size=20), blocks=st.integers(20, 2000))
def test_a_higher_score_is_never_less_significant(z: list[float], blocks: int) -> None:
    ordered = np.sort(np.array(z))
    found = NONE.p_values(ordered, np.full(len(z), blocks))
    assert ((found > 0) & (found <= 1)).all()
    assert (np.diff(found) <= 1e-12).all()


def test_more_blocks_resolve_more() -> None:
    z = np.array([6.0])
    assert NONE.p_values(z, np.array([200])) < NONE.p_values(z, np.array([20]))


def test_the_heaviest_tails_are_no_lighter_than_any_shape_whatever_the_blocks_show() -> None:
    z, number = np.array([0.5, 2.0, 6.0, 20.0]), np.array([20, 20, 60, 60])
    found = heaviest_p_values(z, number)
    single = [[predictive_tail(z[[at]], int(number[at]), shape)[0] for at in range(4)] for shape in SHAPES]
    assert found.tolist() == np.max(single, axis=0).tolist()
    normal = NullTails.of(np.random.default_rng(0).normal(size=(2, 60)))
    assert (found > normal.p_values(z, number)).all()
