from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from screening.watching.condition_tally import ConditionTally


@dataclass
class Planned:
    keys: tuple[str, ...]


@dataclass
class Block:
    id: str
    condition_key: str


@dataclass
class Plan:
    conditions: list[Planned]
    blocks: list[Block] = field(default_factory=list)


def plan_of(sizes: list[int]) -> Plan:
    """Conditions of two members, each with so many blocks."""
    keys = [(f"{place}a", f"{place}b") for place in range(len(sizes))]
    blocks = [
        Block(f"{key}{number}", key)
        for both, size in zip(keys, sizes, strict=True)
        for key in both
        for number in range(size)
    ]
    return Plan([Planned(both) for both in keys], blocks)


def test_a_condition_is_done_with_its_last_block() -> None:
    plan = plan_of([1, 1, 1])
    tally = ConditionTally(plan, ["1a0", "1b0", "2a0"])  # type: ignore[arg-type]
    assert tally.counts == {"cached": 1, "done": 0, "failed": 0, "open": 2}
    tally.settle("1a", failed=False)
    assert tally.done == 0
    tally.settle("1b", failed=False)
    tally.settle("2a", failed=True)
    assert tally.counts == {"cached": 1, "done": 1, "failed": 1, "open": 0}


def test_a_condition_that_gets_more_blocks_is_open_again() -> None:
    tally = ConditionTally(plan_of([1, 1, 1]), ["1a0", "2a0"])  # type: ignore[arg-type]
    tally.settle("1a", failed=False)
    tally.settle("2a", failed=True)
    assert tally.counts == {"cached": 1, "done": 1, "failed": 1, "open": 0}
    for key in ("0a", "0b", "1b", "2b"):
        tally.choose(key)
    assert tally.counts == {"cached": 0, "done": 0, "failed": 1, "open": 2}
    tally.settle("0a", failed=False)
    assert tally.done == 0
    tally.settle("0b", failed=False)
    tally.settle("1b", failed=False)
    assert tally.counts == {"cached": 0, "done": 2, "failed": 1, "open": 0}


@given(st.lists(st.integers(1, 3), min_size=1, max_size=6), st.data())
def test_every_condition_is_counted_once(sizes: list[int], data: st.DataObject) -> None:
    plan = plan_of(sizes)
    missing = data.draw(st.lists(st.sampled_from(plan.blocks), unique_by=lambda block: block.id))
    fails = data.draw(st.lists(st.booleans(), min_size=len(missing), max_size=len(missing)))
    tally = ConditionTally(plan, [block.id for block in missing])  # type: ignore[arg-type]
    for block, failed in zip(missing, fails, strict=True):
        tally.settle(block.condition_key, failed)
        assert sum(tally.counts.values()) == len(sizes)
    lost = {block.condition_key[:-1] for block, failed in zip(missing, fails, strict=True) if failed}
    assert (tally.open, tally.failed) == (0, len(lost))
