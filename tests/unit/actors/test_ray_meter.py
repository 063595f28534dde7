import sys
from typing import Any

import pytest
import ray.util.metrics

from actors.metrics import METRICS
from actors.ray_meter import RayMeter, is_connected


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What Ray's instruments were told, without a cluster."""
    told: list[tuple[Any, ...]] = []

    def instrument(kind: str, method: str) -> type:
        def open_it(self: Any, name: str, description: str, *rest: Any) -> None:
            self.name, self.tags = name, rest[-1]

        def tell(self: Any, value: float, tags: dict[str, str]) -> None:
            assert set(tags) == set(self.tags)
            told.append((kind, self.name, value, tags))

        return type(kind, (), {"__init__": open_it, method: tell})

    for kind, method in (("Counter", "inc"), ("Gauge", "set"), ("Histogram", "observe")):
        monkeypatch.setattr(ray.util.metrics, kind, instrument(kind, method))
    return told


def test_each_kind_finds_its_instrument(told: list[tuple[Any, ...]]) -> None:
    meter = RayMeter(METRICS, {"campaign": "kinases"})
    meter.count("lingshu_leases_total", 2, status="lost")
    meter.count("lingshu_leases_total", 0, status="lost")  # nothing, which Ray refuses to add
    meter.set("lingshu_replicas", 4)
    meter.observe("lingshu_commit_latency_seconds", 0.3)
    assert told == [
        ("Counter", "lingshu_leases_total", 2, {"campaign": "kinases", "status": "lost"}),
        ("Gauge", "lingshu_replicas", 4, {"campaign": "kinases"}),
        ("Histogram", "lingshu_commit_latency_seconds", 0.3, {"campaign": "kinases"}),
    ]


def test_a_process_without_ray_is_not_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "ray")
    assert not is_connected()
