"""What a model must not be trusted with, in sentences made of facts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from lingshu_core.checkpoint import CheckpointHeader, is_baseline
from lingshu_core.gate import FEWEST_CELLS

FEW_PERTURBED = 20
MOST_NAMED = 8


def limits(header: CheckpointHeader, content: Mapping[str, Any]) -> list[str]:
    """Return the limits of a model, the gravest first.

    Parameters
    ----------
    header
        The checkpoint.
    content
        Of its card: ``gates``, ``privacy`` and ``scores``.
    """
    return [*_of_gates(content), *_of_privacy(content), *_of_cells(header), *_of_words(header), *_of_scores(content)]


def _of_gates(content: Mapping[str, Any]) -> Iterator[str]:
    gates = content["gates"]
    if gates is None:
        yield "Whether its cells look like real ones was not measured."
        return
    failed = [_name(gate) for gate in gates if gate["verdict"] == "fail"]
    if failed:
        yield f"Cells of {_some(failed)} are not like real ones: the gate failed."
    undecided = sum(gate["verdict"] == "undecided" for gate in gates)
    if undecided:
        yield f"{_count(undecided, 'gate')} could not be decided, mostly for want of real cells."


def _of_privacy(content: Mapping[str, Any]) -> Iterator[str]:
    privacy = content["privacy"]
    if privacy is None:
        yield "What its cells give away of the training's donors was not measured."
        return
    told: dict[str, list[str]] = {}
    for name, measure in privacy.items():
        if measure["alarm"] or measure["value"] is None:
            told.setdefault(measure["words"], []).append(name.replace("_", " "))
    for words, names in told.items():
        yield f"Privacy ({', '.join(names)}): {words}."


def _of_cells(header: CheckpointHeader) -> Iterator[str]:
    contexts = header.vocabulary.contexts
    few = [", ".join(seen.factors.values()) for seen in contexts if seen.control_cells < FEWEST_CELLS]
    if few:
        yield (
            f"{len(few):,} of {_count(len(contexts), 'context')} have fewer than {FEWEST_CELLS} control cells:"
            f" {_some(few)}."
        )
    scarce = [label for label, seen in header.vocabulary.perturbations.items() if seen.cells < FEW_PERTURBED]
    if scarce:
        yield f"{_count(len(scarce), 'perturbation')} with fewer than {FEW_PERTURBED} cells in all: {_some(scarce)}."
    adapted = [", ".join(seen.factors.values()) for seen in contexts if seen.adapted]
    if adapted:
        yield f"Known by their control cells alone: {_some(adapted)}."


def _of_words(header: CheckpointHeader) -> Iterator[str]:
    words = header.vocabulary
    labels = list(words.perturbations)
    missing = sum(label not in seen.perturbed_cells for seen in words.contexts for label in labels)
    if missing and len(words.contexts) > 1:
        yield (
            f"{missing:,} of {len(words.contexts) * len(labels):,} pairs of context and perturbation have no training"
            " cell; those are predicted from other contexts."
        )
    unseen = [name for name in words.described if name not in words.parts]
    if unseen:
        yield f"{_count(len(unseen), 'perturbation')} known by features alone: {_some(unseen)}."
    if header.card.get("licence") in (None, "", "not stated"):
        yield "The licence of its data is not stated."
    if is_baseline(header.card):
        yield "A baseline: measured means and no cell model; the cells that it draws are changed control cells."


def _of_scores(content: Mapping[str, Any]) -> Iterator[str]:
    if content["scores"] is None:
        yield "It has not been scored against baselines on held-out cells."
    yield "It predicts populations of cells at the time when its data were measured; nothing in it is causal by itself."


def _name(gate: Mapping[str, Any]) -> str:
    where = ", ".join(gate["context"].values()) or "all cells"
    return f"{gate['perturbation']} in {where}" if gate["parts"] else where


def _some(names: Iterable[str]) -> str:
    known = list(names)
    more = f" and {len(known) - MOST_NAMED:,} more" if len(known) > MOST_NAMED else ""
    return "; ".join(known[:MOST_NAMED]) + more


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
