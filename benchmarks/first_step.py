"""The first pass of a walk computed once where it comes again: CPU seconds of a shard with and without.

Untrained models of Papalexi's 299 genes, 16 cells a shard, on one thread; a screen's order of work: all conditions of a
context in the same shard. Both sides in turn, medians of 5 rounds. ``direct`` and ``small`` are told the depth of a
cell, so only the control's branch of a guided walk comes again; ``small``, not told it (as ``paper``), shares both.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import replace

import numpy as np

from benchmarks.report import EXAMPLES, Figures, main, table
from campaigns.source import load_training
from lingshu_core.conditioning import Condition
from lingshu_core.denoiser import Denoiser, DenoiserConfig, configuration
from lingshu_core.estimator import ShardRequest, estimate_shard
from lingshu_core.preparation import build_vocabulary, gene_statistics
from lingshu_core.randomness import RandomRoot
from lingshu_core.reveal import RevealSettings
from lingshu_core.vocabulary import Vocabulary
from screening.objective.readouts import read_data

CELLS, SHARDS, CONDITIONS, ROUNDS = 16, 1, 6, 5
CASES: dict[str, tuple[DenoiserConfig, RevealSettings]] = {
    "direct, T = 6": (configuration("direct"), RevealSettings(steps=6, guidance=2.0)),
    "small, T = 6": (configuration("small"), RevealSettings(steps=6, guidance=2.0)),
    "small, T = 3": (configuration("small"), RevealSettings(steps=3, schedule="cosine", guidance=2.0)),
    "small without depth, T = 3": (
        replace(configuration("small"), depth_token=False),
        RevealSettings(steps=3, schedule="cosine", guidance=2.0),
    ),
}


def measure() -> Figures:
    """Measure all cases; all figures."""
    cells = read_data(load_training(EXAMPLES / "papalexi/train.yaml").spec.data)
    vocabulary = build_vocabulary(cells)
    depths = np.asarray(cells.depth[cells.is_control], dtype=float)
    figures: dict[str, float] = {}
    for name, (config, settings) in CASES.items():
        sizes = tuple(len(values) for values in vocabulary.factors.values())
        statistics_ = gene_statistics(cells, vocabulary, config)
        model = Denoiser(config, sizes, len(vocabulary.parts), statistics_).fold()
        before, after = _both(model, vocabulary, depths, settings)
        figures |= {f"{name}: {word}": value for word, value in (("before", before), ("after", after))}
        figures[f"{name}: ratio"] = before / after
    names = ("before", "after", "ratio")
    rows = [[case, *(figures[f"{case}: {name}"] for name in names)] for case in CASES]
    table(["case", "CPU s a shard before", "after", "ratio"], rows)
    return figures


def _both(model: Denoiser, vocabulary: Vocabulary, depths: np.ndarray, settings: RevealSettings) -> tuple[float, float]:
    """Return CPU seconds of a shard of a perturbed condition without and with passes that are kept."""
    context = {name: values[0] for name, values in vocabulary.factors.items()}
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for number in range(ROUNDS + 1):
        for keeps in (False, True):
            model.fold()
            if not keeps:
                model.first_steps = None
            root = RandomRoot(number, "first step", "")
            requests = [
                ShardRequest(each, root, shard, CELLS, settings)
                for each in _conditions(vocabulary, context)
                for shard in range(SHARDS)
            ]
            started = time.process_time()
            for request in requests:
                estimate_shard(model, vocabulary, depths, request)
            if number:  # the first round warms up
                seconds[keeps].append((time.process_time() - started) / len(requests))
    return statistics.median(seconds[False]), statistics.median(seconds[True])


def _conditions(vocabulary: Vocabulary, context: dict[str, str]) -> list[Condition]:
    return [Condition(context, ((name, None),)) for name in sorted(vocabulary.parts)[:CONDITIONS]]


if __name__ == "__main__":
    main(measure, __doc__ or "")
