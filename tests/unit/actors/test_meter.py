import pickle

from hypothesis import given
from hypothesis import strategies as st

from actors.meter import Measures, NoMeter, Recorder

NAMES = st.sampled_from(["a", "b"])
LABELS = st.dictionaries(st.sampled_from(["x", "y"]), st.sampled_from(["1", "2"]))
AMOUNTS = st.integers(0, 100)
STEPS = st.lists(st.tuples(st.sampled_from(["count", "set", "observe"]), NAMES, AMOUNTS, LABELS, st.booleans()))


@given(STEPS)
def test_nothing_is_lost_or_told_twice_on_its_way(steps: list[tuple[str, str, int, dict[str, str], bool]]) -> None:
    at_once, first, second = Recorder(), Recorder(), Recorder()
    for kind, name, amount, labels, hand_over in steps:
        for recorder in (at_once, first):
            getattr(recorder, kind)(name, amount, **labels)
        if hand_over:  # as a replica does with every report
            pickle.loads(pickle.dumps(first.drain())).tell(second)
    first.drain().tell(second)
    assert second.drain() == at_once.drain()


def test_the_order_of_labels_is_nothing() -> None:
    recorder = Recorder()
    recorder.count("a", 1, x="1", y="2")
    recorder.count("a", 2, y="2", x="1")
    assert recorder.drain() == Measures(counts={("a", (("x", "1"), ("y", "2"))): 3.0})
    assert recorder.drain() == Measures()


def test_what_nobody_hears_does_no_harm() -> None:
    recorder = Recorder()
    recorder.count("a")
    recorder.set("b", 1.0)
    recorder.observe("c", 1.0)
    recorder.drain().tell(NoMeter())
