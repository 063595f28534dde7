import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lingshu_core.errors import SplitError
from lingshu_core.split_plan import Unit, by_value, deal
from lingshu_core.split_table import draw

SIZES = st.dictionaries(st.text("ABCDE", min_size=1, max_size=3), st.integers(1, 9), min_size=1, max_size=20)


@given(SIZES, st.integers(1, 6), st.integers(0, 50))
def test_dealing_gives_every_thing_to_one_fold(sizes: dict[str, int], folds: int, seed: int) -> None:
    if folds > len(sizes):
        with pytest.raises(SplitError, match=f"{len(sizes)} can't be dealt to {folds} folds"):
            deal(sizes, folds, draw(seed), "things")
        return
    dealt = deal(sizes, folds, draw(seed), "things")
    assert sorted(thing for fold in dealt for thing in fold) == sorted(sizes)
    weights = [sum(sizes[thing] for thing in fold) for fold in dealt]
    assert min(weights) > 0
    assert max(weights) - min(weights) <= max(sizes.values())


def test_values_have_a_fold_each_or_are_dealt() -> None:
    assert by_value({"b", "a"}, None, 0) == [("a", {"a"}), ("b", {"b"})]
    ((name, both),) = by_value({"b", "a"}, 1, 0)
    assert (name, both) == ("fold 1", {"a", "b"})


def test_a_unit_is_answerable_while_some_of_what_it_requires_is_left() -> None:
    unit = Unit("A in B", "A", np.array([0]), np.array([0]), requires=(np.array([1, 2]), np.array([3])))
    assert unit.answerable(np.array([True, True, False, False]))
    assert not unit.answerable(np.array([True, True, True, False]))
    assert not unit.answerable(np.array([True, False, False, True]))
