from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lingshu_core.diffusion import SCHEDULES, SMALLEST_TIME, Schedule, draw_times, mask_tokens, reveal_counts
from lingshu_core.errors import ConfigurationError
from lingshu_core.tokens import MASK


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(st.data())
def test_every_schedule_reveals_every_gene_and_some_in_every_step(data: st.DataObject) -> None:
    genes = data.draw(st.integers(1, 20_000))
    steps = data.draw(st.integers(1, min(genes, 300)))
    schedule: Schedule = data.draw(st.sampled_from(SCHEDULES))
    counts = reveal_counts(genes, steps, schedule)
    assert len(counts) == steps
    assert min(counts) >= 1
    assert sum(counts) == genes


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_as_many_steps_as_genes_reveal_one_at_a_time(schedule: Schedule) -> None:
    assert reveal_counts(17, 17, schedule) == [1] * 17


def test_uniform_steps_are_equal_and_cosine_leaves_a_cosine() -> None:
    assert reveal_counts(900, 3, "uniform") == [300, 300, 300]
    left = 900 - torch.tensor(reveal_counts(900, 3, "cosine")).cumsum(0)
    assert left.tolist() == [round(900 * math.cos(math.pi * s / 6)) for s in (1, 2)] + [0]


@pytest.mark.parametrize(("steps", "first"), [(2, 32), (3, 32), (6, 8), (8, 2)])
def test_geometric_steps_start_small_and_multiply(steps: int, first: int) -> None:
    reached = torch.tensor(reveal_counts(18_080, steps, "geometric")).cumsum(0).double()
    assert reached[0] == first
    ratios = reached[1:] / reached[:-1]
    assert torch.allclose(ratios, ratios.mean().expand_as(ratios), rtol=0.25)


@pytest.mark.parametrize("steps", [0, -1, 11])
def test_too_few_and_too_many_steps_are_refused(steps: int) -> None:
    with pytest.raises(ConfigurationError, match=r"between 1 and the number of genes \(10\), not"):
        reveal_counts(10, steps, "uniform")


def test_an_unknown_schedule_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match=r"'linear'; schedules are uniform, cosine, geometric"):
        reveal_counts(10, 2, "linear")  # type: ignore[arg-type]


@given(st.integers(1, 500), st.integers(0, 2**31))
def test_times_are_spread_evenly_over_the_unit_interval(cells: int, seed: int) -> None:
    times = draw_times(cells, _generator(seed)).sort().values
    assert times[0] >= SMALLEST_TIME
    assert times[-1] <= 1.0
    gaps = torch.diff(times)
    assert torch.allclose(gaps, torch.full_like(gaps, 1 / cells), atol=SMALLEST_TIME + 1e-5)


def test_each_time_is_uniform() -> None:
    first = torch.stack([draw_times(5, _generator(seed))[2] for seed in range(3_000)])
    assert first.mean() == pytest.approx(0.5, abs=0.02)
    assert first.var() == pytest.approx(1 / 12, abs=0.005)


def test_few_visible_genes_are_drawn_on_the_log_scale() -> None:
    visible = 1 - draw_times(2_000, _generator(), genes=1_000, few_visible=1.0).double()
    levels = (-torch.log(visible[visible < 0.99]) / math.log(1_000)).sort().values
    assert torch.allclose(levels, torch.linspace(float(levels[0]), 1, len(levels)).double(), atol=0.01)
    assert visible.min() >= 1e-3 - 1e-6  # never less than one gene


def test_a_share_of_the_cells_sees_few_genes_and_the_rest_is_uniform() -> None:
    genes, times = 10_000, torch.cat([draw_times(500, _generator(s), 10_000, 0.4) for s in range(60)])
    for limit in (0.5, 0.9, 0.99, 0.999):
        among_few = 1 + math.log(1 - limit) / math.log(genes)  # t > limit where the visible share is log-uniform
        expected = 0.4 * among_few + 0.6 * (1 - limit)
        assert (times > limit).float().mean() == pytest.approx(expected, abs=0.01)


def test_without_a_share_of_few_the_number_of_genes_says_nothing() -> None:
    assert torch.equal(draw_times(9, _generator(), 5_000, 0.0), draw_times(9, _generator()))


def test_genes_are_masked_independently_with_the_time_as_probability() -> None:
    times = torch.tensor([0.0, 0.1, 0.5, 0.9, 1.0])
    masked = mask_tokens(torch.zeros(5, 40_000, dtype=torch.long), times, _generator()) == MASK
    share = masked.float().mean(dim=1)
    assert torch.allclose(share, times, atol=0.01)
    pairs = (masked[:, ::2] & masked[:, 1::2]).float().mean(dim=1)
    assert torch.allclose(pairs, times.square(), atol=0.01)


def test_visible_tokens_stay_and_the_input_is_not_touched() -> None:
    tokens = torch.arange(200).repeat(3, 1)
    before = tokens.clone()
    masked = mask_tokens(tokens, torch.full((3,), 0.4), _generator())
    assert torch.equal(tokens, before)
    visible = masked != MASK
    assert 0.4 < visible.float().mean() < 0.8
    assert torch.equal(masked[visible], tokens[visible])


def test_the_same_generator_gives_the_same_masks() -> None:
    tokens = torch.zeros(4, 100, dtype=torch.long)
    times = draw_times(4, _generator(3))
    assert torch.equal(times, draw_times(4, _generator(3)))
    first, second, other = (mask_tokens(tokens, times, _generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
