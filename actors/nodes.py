"""What the pool remembers of nodes: on which replicas fail again and again, and which are about to go."""

import time
from collections.abc import Callable
from typing import Any

LOSSES_TO_AVOID = 2
AVOIDED_SECONDS = 600.0


class Nodes:
    """Nodes to keep away from.

    One replica that is lost says little about its node. A second one on the same node, with no success on it in
    between, makes it a node to avoid: new replicas start elsewhere while there is room, for ten minutes.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._losses: dict[str, int] = {}
        self._avoided_until: dict[str, float] = {}

    def saw_success(self, node: str) -> None:
        """A task was committed on this node."""
        self._losses.pop(node, None)

    def saw_loss(self, node: str) -> None:
        """A replica on this node was lost or given up."""
        self._losses[node] = self._losses.get(node, 0) + 1
        if self._losses[node] >= LOSSES_TO_AVOID:
            self._avoided_until[node] = self._clock() + AVOIDED_SECONDS

    def avoided(self) -> tuple[str, ...]:
        """Give the nodes to avoid now, sorted."""
        now = self._clock()
        self._avoided_until = {node: until for node, until in self._avoided_until.items() if until > now}
        return tuple(sorted(self._avoided_until))


def placed_elsewhere(nodes: tuple[str, ...]) -> dict[str, Any]:
    """Give the option of an actor that keeps it away from nodes while others have room; Ray has to be imported."""
    if not nodes:
        return {}
    from ray.util.scheduling_strategies import NodeLabelSchedulingStrategy, NotIn

    return {"scheduling_strategy": NodeLabelSchedulingStrategy(hard={}, soft={"ray.io/node-id": NotIn(*nodes)})}


def draining_nodes() -> frozenset[str]:
    """Return the ids of nodes that are being drained, or whose machine is about to be taken away.

    Ray tells this only through a module that is not public, as its own libraries ask it. A version without it tells
    nothing: then a node that goes is simply lost.
    """
    try:
        from ray._private.state import state

        return frozenset(state.get_draining_nodes())
    except (ImportError, AttributeError):
        return frozenset()
