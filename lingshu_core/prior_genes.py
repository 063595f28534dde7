"""Prior injection: genes of which it is known, before a cell is drawn, that a perturbation lowers them.

As published (arXiv 2603.25240): the target and the genes that the same perturbation lowers in the *other* contexts
where it was measured are pre-filled with one count and kept; all others are drawn given them. The context that is
asked about is left out by construction, so nothing of what is to be predicted comes in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from lingshu_core.errors import CheckpointError
from lingshu_core.methods import split_method, target_of
from lingshu_core.vocabulary import Vocabulary, join_parts

if TYPE_CHECKING:
    from lingshu_core.cells import Cells

PRIORS_FORMAT = 1
INJECTED_COUNT = 1
"""Count of a pre-filled gene, and its token: tokens below 100 are counts."""

MOST_FALSE, LEAST_DIFFERENCE, LEAST_LOG2_FOLD, LEAST_REFERENCE, MOST_TARGET = 0.05, 1.0, 1.0, 2.0, 1.0
"""The published thresholds: false discovery rate, mean difference, |log2 fold change|, mean of the controls and of
the perturbed cells. Means are raw counts per cell."""


@dataclass(frozen=True)
class LoweredGenes:
    """Genes that a perturbation lowers in one seen context, in the order of the vocabulary."""

    context: Mapping[str, str]
    genes: tuple[str, ...]


@dataclass(frozen=True)
class PriorGenes:
    """What each perturbation lowers in each context of the training cells; label → contexts where it is any gene."""

    lowered: Mapping[str, tuple[LoweredGenes, ...]]

    def elsewhere(self, label: str, context: Mapping[str, str]) -> frozenset[str]:
        """Return what a perturbation lowers in any context that is not the one asked about.

        Parameters
        ----------
        label
            The perturbation; of a combination only what was measured of that combination counts.
        context
            Factor to value. A context that names only some factors leaves out every seen context that matches them.
        """
        wanted = set(context.items())
        others = (seen for seen in self.lowered.get(label, ()) if not wanted <= set(seen.context.items()))
        return frozenset(gene for seen in others for gene in seen.genes)

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``priors.json``."""
        lowered = {
            label: [{"context": dict(seen.context), "genes": list(seen.genes)} for seen in contexts]
            for label, contexts in self.lowered.items()
        }
        return {"format": PRIORS_FORMAT, "lowered": lowered}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> PriorGenes:
        """Read the content of ``priors.json``.

        Raises
        ------
        CheckpointError
            If the format is newer than this version reads or a part is missing.
        """
        if content.get("format") != PRIORS_FORMAT:
            raise CheckpointError(
                f"priors.json has format {content.get('format')!r}; this version reads format {PRIORS_FORMAT}: train"
                " again or use the version that wrote it"
            )
        try:
            return cls(
                {
                    label: tuple(LoweredGenes(dict(seen["context"]), tuple(seen["genes"])) for seen in contexts)
                    for label, contexts in content["lowered"].items()
                }
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(f"priors.json is damaged: {error!r}; fetch the checkpoint again") from error


def measure_priors(cells: Cells, vocabulary: Vocabulary) -> PriorGenes:
    """Find what each perturbation lowers in each context of the training cells."""
    found: dict[str, list[LoweredGenes]] = {}
    labels = cells.obs["perturbation"].to_numpy()
    for context in vocabulary.contexts:
        here = cells.matching(context.factors)
        controls = cells.counts[here & cells.is_control]
        for label in context.perturbed_cells if controls.shape[0] else ():
            lowered = lowered_genes(cells.counts[here & (labels == label)], controls)
            if len(lowered):
                genes = tuple(cells.genes[gene] for gene in lowered)
                found.setdefault(label, []).append(LoweredGenes(context.factors, genes))
    return PriorGenes({label: tuple(contexts) for label, contexts in sorted(found.items())})


def lowered_genes(perturbed: sp.csr_matrix, controls: sp.csr_matrix) -> npt.NDArray[np.int64]:
    """Return the genes that pass all published thresholds, as columns of the counts, ascending.

    Parameters
    ----------
    perturbed, controls
        Raw counts, (cells, genes), with the same genes; at least one cell each.
    """
    target, reference = (np.asarray(counts.mean(axis=0)).ravel() for counts in (perturbed, controls))
    passed = (reference > LEAST_REFERENCE) & (target < MOST_TARGET) & (reference - target > LEAST_DIFFERENCE)
    passed &= target * 2.0**LEAST_LOG2_FOLD < reference
    if not passed.any():
        # Most perturbations lower nothing that far, and a test of every gene takes its time.
        return np.empty(0, dtype=np.int64)
    from scipy import stats  # slow to import, and of no use to who only reads priors

    rates = stats.false_discovery_control(rank_sum_p_values(perturbed, controls), method="bh")
    return np.flatnonzero(passed & (rates < MOST_FALSE))


def rank_sum_p_values(perturbed: sp.csr_matrix, controls: sp.csr_matrix) -> npt.NDArray[np.float64]:
    """Return the two-sided p-values of the Mann-Whitney U test of every gene, (genes,).

    A gene without a molecule in any cell has p = 1: it counts among the genes tested.
    """
    from lingshu_core.differential_expression import differential_expression  # as above

    cells = sp.csr_matrix(sp.vstack([controls, perturbed]))
    labels = np.repeat(["control", "perturbed"], [controls.shape[0], perturbed.shape[0]])
    names = list(map(str, range(cells.shape[1])))
    return differential_expression(cells, labels, names, scale="linear").p_values[0]


class PriorInjection:
    """Tells which genes of a condition are pre-filled; made once for a model.

    Parameters
    ----------
    vocabulary, priors
        Of the model.
    """

    def __init__(self, vocabulary: Vocabulary, priors: PriorGenes) -> None:
        self._priors = priors
        self._index = {gene: i for i, gene in enumerate(vocabulary.genes)}
        self._genetic = genetic_names(vocabulary)

    def genes(self, parts: Iterable[str], context: Mapping[str, str]) -> tuple[int, ...]:
        """Return the genes to pre-fill, as ascending indices of the vocabulary's genes.

        Parameters
        ----------
        parts
            Single perturbations of the condition; none for a control, which gets no prior.
        context
            The context asked about, factor to value.
        """
        names = tuple(parts)
        if not names:
            return ()
        targets = {target_of(name) for name in self._genetic.intersection(names)}
        wanted = targets | self._priors.elsewhere(join_parts(names), context)
        return tuple(sorted(self._index[gene] for gene in wanted if gene in self._index))


def genetic_names(vocabulary: Vocabulary) -> frozenset[str]:
    """Return the single perturbations that lower a gene; a cytokine has the name of one too, and is no target.

    CRISPRa raises its target, so there is nothing to pre-fill. A gene that was never seen is perturbed in the model's
    way, where it knows but one.
    """
    seen = (part for part, kind in vocabulary.part_types.items() if kind == "genetic")
    described = (name for name, kind in vocabulary.described.items() if kind == "genetic")
    names = frozenset(seen).union(described)
    ways = set(vocabulary.methods.values())
    usual = ways.pop() if len(ways) == 1 else None
    methods = {name: vocabulary.methods.get(name) or split_method(name)[1] or usual for name in names}
    return frozenset(name for name, method in methods.items() if method != "CRISPRa")
