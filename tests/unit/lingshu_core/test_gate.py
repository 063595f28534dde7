from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import scipy.sparse as sp

from lingshu_core.gate import FEWEST_CELLS, STATELESS, Gate, GateSettings, judge_cells
from lingshu_core.gate_statistics import STATISTICS
from lingshu_core.spoiled_cells import at_half_depth, without_state, without_ties

GENES = 80
QUICK = GateSettings(pools=4, repeats=3)


def cells_of(context: int, number: int, seed: int, depth: float = 1.0) -> sp.csr_matrix:
    """Cells of a context: its own profile, three programs that vary from cell to cell, and depths that do."""
    profile = np.random.default_rng(context).permutation(np.geomspace(0.3, 12.0, GENES))
    random = np.random.default_rng([context, seed])
    programs = np.repeat(random.normal(0.0, 0.7, (number, 4)), GENES // 4, axis=1)
    rate = profile * np.exp(programs) * random.lognormal(sigma=0.25, size=(number, 1))
    return sp.csr_matrix(random.poisson(depth * rate).astype(np.int32))


OTHERS = [cells_of(context, 120, 1) for context in (1, 2, 3)]


def judge(generated: sp.csr_matrix, number: int = 160, seed: int = 0) -> Gate:
    return judge_cells(generated, cells_of(0, number, seed), OTHERS, seed, QUICK)


def test_held_out_real_cells_pass() -> None:
    verdicts = Counter(judge(cells_of(0, 50, 1000 + seed), 100, seed).verdict for seed in range(40))
    assert set(verdicts) <= {"pass", "warn"}
    assert verdicts["pass"] >= 38


def test_few_held_out_cells_pass_or_nothing_is_said() -> None:
    verdicts = Counter(judge(cells_of(0, 20, 1000 + seed), 40, seed).verdict for seed in range(20))
    assert verdicts["fail"] + verdicts["warn"] <= 1


SPOILED: dict[str, Callable[[sp.csr_matrix, np.random.Generator], sp.csr_matrix]] = {
    "another context": lambda cells, random: cells_of(1, cells.shape[0], 77),
    "genes under other names": lambda cells, random: cells[:, random.permutation(GENES)],
    "each gene by itself": without_ties,
    "half the depth": at_half_depth,
    "twice the depth": lambda cells, random: cells_of(0, cells.shape[0], 77, depth=2.0),
    "every cell the mean": without_state,
    "one cell again and again": lambda cells, random: cells[np.zeros(cells.shape[0], dtype=int)],
}


@pytest.mark.parametrize("name", SPOILED)
def test_wrong_cells_fail(name: str) -> None:
    generated = SPOILED[name](cells_of(0, 200, 5), np.random.default_rng(0))
    gate = judge(generated, 300)
    assert gate.verdict == "fail"
    assert gate.reason.endswith("of the way to wrong cells")
    assert (gate.cells, gate.compared) == (300, 150)


@pytest.mark.parametrize("name", ["another context", "genes under other names", "one cell again and again"])
def test_very_wrong_cells_fail_though_there_are_few_of_them(name: str) -> None:
    """Halves that such cells are mixed into differ by chance alone; they must not pass because of that."""
    generated = SPOILED[name](cells_of(0, 25, 5), np.random.default_rng(0))
    assert judge(generated, 50).verdict == "fail"


def test_the_distance_that_is_large_is_named() -> None:
    depth = judge(cells_of(0, 150, 5, depth=0.5), 300)
    ties = judge(without_ties(cells_of(0, 150, 5), np.random.default_rng(0)), 300)
    assert "depth" in depth.reason
    assert ties.reason.startswith("correlation")
    assert [each.name for each in ties.statistics] == list(STATISTICS)


def test_in_between_it_warns() -> None:
    gate = judge(cells_of(0, 150, 5, depth=1.25), 300)
    assert gate.verdict == "warn"
    shares = {each.name: each.share for each in gate.statistics}
    assert 0.15 < (shares["depth"] or 0.0) < 0.5


def test_some_cells_of_another_context_are_found() -> None:
    """Every sixth: genes then go together that never do."""
    gate = judge(sp.vstack([cells_of(0, 128, 5), cells_of(1, 24, 5)]).tocsr(), 304)
    assert gate.verdict == "fail"
    assert gate.reason.startswith("correlation")


def test_without_other_contexts_cells_without_a_state_are_what_is_wrong() -> None:
    gate = judge_cells(cells_of(0, 100, 9), cells_of(0, 200, 0), (), 0, QUICK)
    assert (gate.verdict, gate.beside) == ("pass", STATELESS)


def test_contexts_that_are_alike_can_not_serve_as_wrong() -> None:
    gate = judge_cells(cells_of(0, 100, 9), cells_of(0, 200, 0), [cells_of(0, 200, 3)], 0, QUICK)
    assert (gate.verdict, gate.beside) == ("pass", STATELESS)


def test_cells_without_any_state_can_not_be_judged() -> None:
    """Nothing tells these cells from draws of their mean but for the depth."""
    plain = without_state(cells_of(0, 300, 0), np.random.default_rng(0))
    gate = judge_cells(plain[:100], plain[100:], (), 0, QUICK)
    assert gate.verdict == "undecided"
    assert "too few to tell real cells from" in gate.reason


@pytest.mark.parametrize(
    ("real", "generated", "said"),
    [
        (FEWEST_CELLS - 1, 100, "39 real cells; at least 40 are needed"),
        (0, 0, "0 real cells; at least 40 are needed"),
        (200, 19, "19 generated cells; at least 20 are needed"),
    ],
)
def test_too_few_cells_are_undecided_with_the_reason(real: int, generated: int, said: str) -> None:
    gate = judge_cells(cells_of(0, generated, 1), cells_of(0, real, 0), OTHERS)
    assert gate == Gate("undecided", said, real)


def test_a_gate_is_the_same_whenever_it_is_measured() -> None:
    first, again = (judge(cells_of(0, 80, 5)) for _ in range(2))
    assert first == again
    assert first.as_dict()["statistics"][0]["name"] == "classifier"


def test_limits_lie_between_real_and_wrong() -> None:
    for each in judge(cells_of(0, 80, 5)).statistics:
        if each.verdict != "undecided":
            assert each.real < each.pass_limit < each.wrong
            assert each.real < each.fail_limit < each.wrong
            assert each.share == pytest.approx((each.value - each.real) / (each.wrong - each.real))
