"""Plans a screen of a million conditions and finds what is missing of it; a process of its own, for its memory's sake.

Names of perturbations and contexts are made up, and no model is there: what a model adds to planning (its vocabulary,
the depths of its control cells) depends on the model and hardly on the number of conditions.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from types import SimpleNamespace
from typing import Any, cast

from actors.ledger import Ledger
from benchmarks.memory import resident
from campaigns import Plan, ScreenSpec, Vocabulary, make_plan
from campaigns.digests import digest
from campaigns.validation import validate
from campaigns.yaml_source import Source
from screening.planning.campaign import PlannedCampaign
from screening.running.wanted_blocks import missing_tasks

PERTURBATIONS, CONTEXTS = 20_000, 50


def vocabulary(perturbations: int, contexts: int) -> Vocabulary:
    """Give a model that knows so many genes, each of them knocked out in each cell type."""
    genes = [f"GENE{number:05d}" for number in range(perturbations)]
    types = [f"type {number:02d}" for number in range(contexts)]
    return Vocabulary.from_json(
        {
            "format": 1,
            "genes": genes,
            "factors": {"cell_type": types},
            "contexts": [{"factors": {"cell_type": name}, "control_cells": 500, "cells": 10_000} for name in types],
            "perturbations": {name: {"type": "genetic", "cells": 50, "doses": []} for name in genes},
            "control": "control",
        }
    )


def screen(genes: tuple[str, ...]) -> ScreenSpec:
    """Ask for all of it."""
    content = {
        "kind": "screen",
        "name": "million",
        "model": "model",
        "contexts": "all_seen",
        "perturbations": {"genetic": "all_seen"},
        "objective": {"kind": "signature", "up": list(genes[:50])},
        "output": "output",
    }
    return validate(ScreenSpec, Source("million.yaml", content))


def plan_it(known: Vocabulary) -> Plan:
    return make_plan(
        screen(known.genes),
        known,
        model_digest=digest("model"),
        control_set_digest=lambda context: digest(context.as_dict()),
        panel_digest=digest("panel"),
        sampler_version="1",
    )


def measure(perturbations: int, contexts: int) -> dict[str, Any]:
    before, known = resident(), vocabulary(perturbations, contexts)
    started, cpu = time.monotonic(), time.process_time()
    plan = plan_it(known)
    planned, cpu, after_plan = time.monotonic(), time.process_time() - cpu, resident()
    done = frozenset(block.id for place, block in enumerate(plan.blocks) if place % 2)
    looked = time.monotonic()
    ledger = cast(Ledger, SimpleNamespace(committed=lambda: done))
    missing = missing_tasks(cast(PlannedCampaign, SimpleNamespace(plan=plan)), ledger)
    found = time.monotonic()
    payloads = sum(len(task.payload) for task in missing)
    made = time.monotonic()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    text = plan.to_json()
    return {
        "conditions": len(plan.conditions),
        "plan_seconds": planned - started,
        "plan_cpu_seconds": cpu,
        "missing_seconds": found - looked,
        "payload_seconds": made - found,
        "payload_bytes": payloads / len(missing),
        "mb_before": before / 1e6,
        "mb_of_the_plan": (after_plan - before) / 1e6,
        "peak_mb": peak / 1e6,
        "plan_json_mb": len(text) / 1e6,
        "plan_json_seconds": time.monotonic() - made,
        "peak_mb_with_plan_json": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
    }


if __name__ == "__main__":
    sizes = [int(argument) for argument in sys.argv[1:]] or [PERTURBATIONS, CONTEXTS]
    print(json.dumps(measure(*sizes)))
