import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from screening.following_up.diverse_batch import choose_batch

WORTHS = st.lists(st.integers(0, 5).map(float), min_size=1, max_size=12)


class Line:
    """Conditions on a line, at most 1 apart."""

    def __init__(self, places: list[float]) -> None:
        self.places = np.array(places)

    def to(self, place: int) -> np.ndarray:
        return np.minimum(np.abs(self.places - self.places[place]), 1.0)


def chosen(worth: list[float], places: list[float], size: int, first: list[bool] | None = None) -> list[int]:
    is_first = np.zeros(len(worth), dtype=bool) if first is None else np.array(first)
    return [choice.place for choice in choose_batch(np.array(worth), is_first, Line(places), size)]


@given(WORTHS, st.integers(1, 15), st.data())
def test_nobody_is_chosen_twice_and_the_size_is_kept(worth: list[float], size: int, data: st.DataObject) -> None:
    places = data.draw(st.lists(st.floats(0, 1), min_size=len(worth), max_size=len(worth)))
    first = data.draw(st.lists(st.booleans(), min_size=len(worth), max_size=len(worth)))
    batch = chosen(worth, places, size, first)
    assert len(set(batch)) == len(batch) == min(size, len(worth))
    assert batch == chosen(worth, places, size, first)
    early = [first[place] for place in batch]
    assert early == sorted(early, reverse=True)  # those that come first are first


def test_the_worthiest_is_first_and_its_twin_is_last() -> None:
    assert chosen([3.0, 2.9, 1.0], [0.0, 0.01, 1.0], 3) == [0, 2, 1]


def test_what_is_left_without_distance_goes_by_worth() -> None:
    assert chosen([3.0, 1.0, 2.0], [0.5, 0.5, 0.5], 3) == [0, 2, 1]


def test_a_second_one_of_a_kind_waits_for_all_that_are_worth_anything() -> None:
    worth, first, kind = np.array([5.0, 4.0, 1.0, 0.0]), np.zeros(4, dtype=bool), np.array([7, 7, 8, 9])
    line = Line([0.0, 1.0, 0.5, 0.2])
    assert [choice.place for choice in choose_batch(worth, first, line, 4, kind)] == [0, 2, 1, 3]
    assert [choice.place for choice in choose_batch(worth, first, line, 4)] == [0, 1, 2, 3]
    undecided = np.array([True, True, False, False])
    assert [choice.place for choice in choose_batch(worth, undecided, line, 4, kind)] == [0, 1, 2, 3]


def test_each_choice_names_the_nearest_before_it() -> None:
    batch = choose_batch(np.ones(3), np.zeros(3, dtype=bool), Line([0.0, 1.0, 0.7]), 3)
    assert [(choice.place, choice.nearest) for choice in batch] == [(0, None), (1, 0), (2, 1)]
    assert [choice.distance for choice in batch] == [1.0, 1.0, np.float64(1.0 - 0.7)]
