from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.errors import BadFaultPlan
from actors.expendable_nodes import LABEL, MARK, LivingActor, check_expendable, expendable_nodes, may_fall

HERE = LivingActor("replica-1", "b", "ours")
ELSEWHERE = LivingActor("replica-0", "a", "ours")
MARKED = frozenset("abc")


def node(name: str, *, alive: bool = True, mark: str = MARK, head: bool = False) -> dict[str, Any]:
    resources = {"CPU": 1.0, **({"node:__internal_head__": 1.0} if head else {})}
    return {"NodeID": name, "Alive": alive, "Labels": {LABEL: mark}, "Resources": resources}


def test_only_living_nodes_that_are_marked_may_fall_and_never_the_head_nor_the_runs_own() -> None:
    nodes = [node("a"), node("b", alive=False), node("c", mark="no"), node("d", head=True), node("home")]
    nodes.append({"NodeID": "e", "Alive": True, "Resources": {}})
    assert expendable_nodes(nodes, "home") == {"a"}


def test_a_node_falls_where_its_replica_is_alone_and_another_stays() -> None:
    assert may_fall(HERE, [HERE, ELSEWHERE], MARKED)


@pytest.mark.parametrize(
    "actors",
    [
        [HERE],
        [HERE, LivingActor("replica-0", "b", "ours")],
        [HERE, ELSEWHERE, LivingActor("model", "b", "theirs")],
        [HERE, LivingActor("replica-0", "a", "theirs")],
        [HERE, LivingActor("replica-0", "c", "ours")],  # whose node may fall instead
    ],
)
def test_a_node_stays_where_others_would_suffer_or_nothing_of_the_run_were_left(actors: list[LivingActor]) -> None:
    assert not may_fall(HERE, actors, MARKED)


def test_a_node_that_is_not_marked_stays_and_lets_all_others_fall() -> None:
    assert not may_fall(HERE, [HERE, ELSEWHERE], frozenset("a"))
    assert may_fall(HERE, [HERE, LivingActor("replica-0", "c", "ours")], frozenset("b"))


@given(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=8), st.frozensets(st.sampled_from("abcdef")))
def test_all_that_may_fall_at_once_leave_one_replica_standing(places: list[str], marked: frozenset[str]) -> None:
    actors = [LivingActor(str(number), place, "ours") for number, place in enumerate(places)]
    fallen = {actor.node for actor in actors if may_fall(actor, actors, marked)}
    assert fallen <= marked
    assert set(places) - fallen


def test_a_rehearsal_that_could_strike_no_raylet_is_refused() -> None:
    check_expendable([node("a"), node("home", head=True)], "home", 2)
    with pytest.raises(BadFaultPlan, match=r"no node of this cluster may lose its raylet.*lingshu-expendable=yes"):
        check_expendable([node("home")], "home", 2)
    with pytest.raises(BadFaultPlan, match="one replica has to stay"):
        check_expendable([node("a")], "home", 1)
