import dataclasses
import itertools
import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.errors import BadFaultPlan
from actors.fault_plan import WORKER_FAULTS, FaultPlan, target
from actors.faulty_blobs import FAULTS

TASKS = [f"{number:064x}" for number in range(3000)]
ALL = FaultPlan(worker=dict.fromkeys(WORKER_FAULTS, 0.05), store=dict.fromkeys(FAULTS, 0.05))


def struck(plan: FaultPlan) -> list[tuple[str, ...]]:
    return [tuple(plan.worker_faults(task)) for task in TASKS]


def test_a_plan_strikes_the_same_again_and_other_seeds_strike_others() -> None:
    again = FaultPlan(**json.loads(json.dumps(ALL.to_data())))
    assert again == ALL
    assert again.digest == ALL.digest
    assert struck(again) == struck(ALL) != struck(dataclasses.replace(ALL, seed=1))


def test_faults_strike_as_often_as_they_should() -> None:
    first = Counter(faults[0] for faults in struck(ALL) if faults)
    assert first.keys() == set(WORKER_FAULTS)
    assert all(abs(count / len(TASKS) - 0.05) < 0.015 for count in first.values())


def test_a_refusal_of_the_store_takes_one_of_the_strikes() -> None:
    assert max(map(len, struck(ALL))) == 1
    assert max(map(len, struck(dataclasses.replace(ALL, store={"403": 0.0, "503": 0.5})))) == 2


def test_what_is_slow_ends_well() -> None:
    plan = FaultPlan(worker={"slow": 0.5, "raise": 0.5}, strikes=5)
    faults = struck(plan)
    assert all("slow" not in each[:-1] for each in faults)
    assert ("raise", "raise", "slow") in faults


def test_what_is_struck_always_is_struck_alike() -> None:
    plan = FaultPlan(worker={"raise": 0.2, "nan": 0.2}, strikes=None)
    taken = [tuple(itertools.islice(plan.worker_faults(task), 9)) for task in TASKS[:100]]
    assert set(taken) == {(), ("raise",) * 9, ("nan",) * 9}


@given(st.sampled_from(["get", "put", "create", "swap", "list"]), st.sampled_from(TASKS), st.booleans())
def test_operations_are_let_through_after_two_strikes(operation: str, task: str, of_replica: bool) -> None:
    plan = FaultPlan(store=dict.fromkeys(FAULTS, 1 / 9))
    faults = list(plan.store_faults(operation, f"data/{task}/{'a' * 32}", of_replica=of_replica))
    assert len(faults) <= 2
    assert faults.count("403") <= (of_replica and operation == "put")
    assert {"409", "412"}.isdisjoint(faults) or operation in ("create", "swap")


def test_all_attempts_at_an_operation_are_one_target() -> None:
    assert target("put", f"data/{TASKS[0]}/{'a' * 32}") == target("put", f"data/{TASKS[0]}/{'b' * 32}")
    assert target("put", f"data/{TASKS[0]}/{'a' * 32}") != target("put", f"data/{TASKS[1]}/{'a' * 32}")
    assert target("put", "runs/00/00000001-0123456789ab/hits.csv") == "put/runs/00/00000001/hits.csv"
    assert target("get", f"commits/{TASKS[0]}.json") == f"get/commits/{TASKS[0]}.json"


def test_which_faults_need_a_process_of_their_own() -> None:
    assert ALL.deadly == ("exit", "kill", "hang", "raylet kill")
    assert FaultPlan(worker={"kill": 0.0, "raise": 0.5}).deadly == ()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"worker": {"boom": 0.1}}, "'boom' is none; there are exit, kill, hang"),
        ({"store": {"404": 0.1}}, "faults of the store: '404' is none"),
        ({"worker": {"kill": -0.1}}, "shares go from 0 to 1"),
        ({"worker": {"kill": 0.6, "exit": 0.6}}, "all together to 1 at most"),
        ({"worker": {"raylet kill": 0.1}, "strikes": None}, "raylet kill would take node after node down"),
        ({"worker": {"kill": 0.1}, "store": {"403": 0.1}, "strikes": 1}, "no room for faults of workers"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(BadFaultPlan, match=said):
        FaultPlan(**wrong)  # type: ignore[arg-type]
