"""Nodes that a rehearsal may take down: those that were marked for it, and only while the run goes on elsewhere.

A raylet that is killed does not come back, and whatever is on its node ends with it. So a rehearsal kills the raylet of
a node only if whoever started the node has said so, by a label. Even then the head node is spared, without which there
is no cluster, and the node that the run's own process is connected to; a node with other actors than the replica that
is struck; and the last node of the run's replicas, where it goes on.
"""

import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from actors.errors import BadFaultPlan

LABEL, MARK = "lingshu-expendable", "yes"
_HEAD = "node:__internal_head__"


@dataclass(frozen=True, slots=True)
class LivingActor:
    """An actor of any job on the cluster."""

    id: str
    node: str
    job: str


def expendable_nodes(nodes: Sequence[Mapping[str, Any]], home: str) -> frozenset[str]:
    """Return the ids of the nodes that may be taken down.

    Parameters
    ----------
    nodes
        What `ray.nodes()` tells.
    home
        Id of the node that the run's own process is connected to.
    """
    return frozenset(
        node["NodeID"]
        for node in nodes
        if node["Alive"]
        and node.get("Labels", {}).get(LABEL) == MARK
        and _HEAD not in node["Resources"]
        and node["NodeID"] != home
    )


def check_expendable(nodes: Sequence[Mapping[str, Any]], home: str, replicas: int) -> None:
    """Refuse a rehearsal that could strike no raylet.

    Raises
    ------
    BadFaultPlan
        No node is marked, or there is one replica only, whose node has to stay.
    """
    if not expendable_nodes(nodes, home):
        raise BadFaultPlan(
            "raylet_kill: no node of this cluster may lose its raylet. Mark those that may when you start them, `ray "
            f"start --address=… --labels={LABEL}={MARK}`; the head node and the one that this command is connected to "
            "are never struck. Or leave raylet_kill out"
        )
    if replicas < 2:
        raise BadFaultPlan(
            "raylet_kill: one replica has to stay where it is, and there is no other; ask for more replicas, or leave "
            "raylet_kill out"
        )


def may_fall(here: LivingActor, actors: Sequence[LivingActor], expendable: frozenset[str]) -> bool:
    """Decide whether the node of a replica may be taken down.

    Replicas that ask at the same moment get answers that go together: of the marked nodes of a run the one with the
    smallest id stays.

    Parameters
    ----------
    here
        The replica that asks.
    actors
        All that live on the cluster.
    """
    alone = all(actor.id == here.id for actor in actors if actor.node == here.node)
    hosts = {actor.node for actor in actors if actor.job == here.job} - {here.node}
    return here.node in expendable and alone and any(node not in expendable or node < here.node for node in hosts)


def this_node_may_fall(home: str) -> bool:
    """Decide whether the node of this replica may be taken down; called in the replica's own process.

    Where Ray does not tell, the answer is no.
    """
    import ray

    context = ray.get_runtime_context()
    here = LivingActor(context.get_actor_id() or "", context.get_node_id(), context.get_job_id())
    actors = _living_actors()
    is_child = os.environ.get("RAY_RAYLET_PID") == str(os.getppid())
    return is_child and here in actors and may_fall(here, actors, expendable_nodes(ray.nodes(), home))


def kill_raylet() -> None:
    """Kill the raylet of this node, and this process with it, as when a node is lost."""
    os.kill(os.getppid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def _living_actors() -> list[LivingActor]:
    """List the actors of all jobs; none, where Ray's private module is not as it was in Ray 2.60."""
    try:
        from ray._private.state import state

        table = state.actor_table(None, None, "ALIVE")
        return [LivingActor(each["ActorID"], each["Address"]["NodeID"], each["JobID"]) for each in table.values()]
    except (ImportError, AttributeError, KeyError, TypeError):
        return []
