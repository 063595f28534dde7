import sys

import pytest

from actors.nodes import AVOIDED_SECONDS, Nodes, draining_nodes, placed_elsewhere


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_second_loss_on_a_node_makes_it_one_to_avoid() -> None:
    nodes = Nodes()
    nodes.saw_loss("a")
    nodes.saw_loss("b")
    assert nodes.avoided() == ()
    nodes.saw_loss("a")
    assert nodes.avoided() == ("a",)


def test_a_success_in_between_clears_the_node() -> None:
    nodes = Nodes()
    nodes.saw_loss("a")
    nodes.saw_success("a")
    nodes.saw_loss("a")
    assert nodes.avoided() == ()


def test_a_node_gets_another_chance() -> None:
    clock = Clock()
    nodes = Nodes(clock)
    nodes.saw_loss("a")
    nodes.saw_loss("a")
    clock.now = AVOIDED_SECONDS + 1
    assert nodes.avoided() == ()


def test_nothing_to_avoid_is_no_option() -> None:
    assert placed_elsewhere(()) == {}


def test_nodes_are_avoided_softly() -> None:
    pytest.importorskip("ray")
    strategy = placed_elsewhere(("ab", "cd"))["scheduling_strategy"]
    assert not strategy.hard
    assert [(expression.key, expression.operator.values) for expression in strategy.soft] == [
        ("ray.io/node-id", ["ab", "cd"])
    ]


def test_a_ray_that_does_not_tell_of_draining_nodes_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray._private.state", None)
    assert draining_nodes() == frozenset()
