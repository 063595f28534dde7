from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from actors.errors import Cancelled
from actors.ledger import Ledger
from actors.progress import Progress
from campaigns.plan import Block
from campaigns.screen_spec import ScreenSpec
from campaigns.source import load_screen
from screening.running.spending import Spending

NOW = Progress(done=1, failed=0, total=9, replicas=4, leases=1, elapsed_seconds=1.0, seconds_per_task=1.0)


@pytest.fixture
def spec(write_screen: Callable[..., Path]) -> Callable[..., ScreenSpec]:
    compute = {"backend": "ray", "replicas": 4, "gpus_per_replica": 0.5}
    return lambda **budget: load_screen(write_screen(budget=budget, compute=compute)).spec


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("budget", "hours", "said"),
    [
        ({"gpu_hours": 2}, 1.0, "budget.gpu_hours: 2 hours of GPUs are spent"),  # 4 replicas of half a GPU
        ({"money": 12, "price_per_hour": 3}, 1.0, "budget.money: 12 is spent (4 hours of replicas)"),
    ],
)
def test_all_replicas_are_paid_for_from_the_beginning(
    spec: Callable[..., ScreenSpec], budget: dict[str, Any], hours: float, said: str
) -> None:
    clock, heard = Clock(), list[Progress]()
    spending = Spending(spec(**budget), clock=clock)
    watch = spending.watched(heard.append)
    clock.now += 3_600 * hours - 1
    watch(NOW)
    assert spending.spent == ""
    clock.now += 1
    with pytest.raises(Cancelled) as caught:
        watch(replace(NOW, done=2))
    assert str(caught.value) == said
    assert [each.done for each in heard] == [1, 2]


def test_without_a_budget_nothing_is_ever_spent(spec: Callable[..., ScreenSpec]) -> None:
    clock = Clock()
    spending = Spending(spec(), earlier_seconds=1e12, clock=clock)
    clock.now += 1e12
    spending.watched(lambda progress: None)(NOW)
    assert spending.spent == ""


def test_time_of_earlier_runs_counts(spec: Callable[..., ScreenSpec], fresh_ledger: Callable[[], Ledger]) -> None:
    ledger = fresh_ledger()
    blocks = [Block(f"{number:064x}", "key", 0, 8) for number in range(3)]
    for block in blocks[:2]:
        ledger.commit(block.id, b"result", replica="replica-0", seconds=1_800.0)
    limited = Spending.of(spec(money=1, price_per_hour=1), ledger, blocks)
    assert limited.hours == pytest.approx(1.0, abs=1e-2)
    assert limited.spent.startswith("budget.money")
    assert Spending.of(spec(), ledger, blocks).hours == pytest.approx(0.0, abs=1e-2)
