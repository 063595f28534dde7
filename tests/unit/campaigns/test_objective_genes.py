from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from campaigns import Loaded, ScreenSpec, Vocabulary, VocabularyError, load_screen, resolve_objective
from campaigns.objective_genes import ObjectiveGenes

OBJECTIVE = "  kind: signature\n  down: [IRF1, GBP1]\n"


@pytest.fixture
def load(write: Callable[..., Path], screen_text: str, tmp_path: Path) -> Callable[[str], Loaded[ScreenSpec]]:
    content = "SET\tx\tIRF1\tGBP1\tTNF\nOUTSIDE\tx\tTNF\n"
    (tmp_path / "sets.gmt.gz").write_bytes(gzip.compress(content.encode()))

    def load_objective(objective: str) -> Loaded[ScreenSpec]:
        text = screen_text.replace(OBJECTIVE, objective)
        return load_screen(write(text), {"LINGSHU_SETS": str(tmp_path / "sets.gmt.gz")})

    return load_objective


GENE_SET = "  kind: signature\n  gene_set:\n    file: ${LINGSHU_SETS}\n    name: %s\n    direction: %s\n"
DATA = "data: {path: a.h5ad, columns: {perturbation: p, donor: d}}"


@pytest.mark.parametrize(
    ("objective", "genes"),
    [
        (OBJECTIVE, ObjectiveGenes((), ("IRF1", "GBP1"))),
        ("  kind: signature\n  up: [CD14, CD14]\n", ObjectiveGenes(("CD14",), ())),
        ("  kind: markers\n  genes: {CD14: up, IRF1: down}\n", ObjectiveGenes(("CD14",), ("IRF1",))),
        (GENE_SET % ("SET", "down"), ObjectiveGenes((), ("IRF1", "GBP1"), 1)),
        (GENE_SET % ("SET", "up"), ObjectiveGenes(("IRF1", "GBP1"), (), 1)),
        (f"  kind: target_state\n  {DATA}\n  group: {{donor: 1}}\n", None),
        (f"  kind: signature\n  reference: {{mode: mimic, {DATA}, from: {{donor: 1}}, to: {{donor: 2}}}}\n", None),
    ],
)
def test_objectives_become_genes_of_the_panel(
    load: Callable[[str], Loaded[ScreenSpec]], vocabulary: Vocabulary, objective: str, genes: ObjectiveGenes | None
) -> None:
    loaded = load(objective)
    assert resolve_objective(loaded.spec.objective, vocabulary, loaded.source)[0] == genes


def test_the_panel_s_share_of_a_set_is_told(load: Callable[[str], Loaded[ScreenSpec]], vocabulary: Vocabulary) -> None:
    _, notices = resolve_objective(load(GENE_SET % ("SET", "up")).spec.objective, vocabulary)
    assert notices == ("gene set SET: 2 of its 3 genes are among the model's 6",)


@pytest.mark.parametrize(
    ("objective", "line", "said"),
    [
        ("  kind: signature\n  up: [CD14,\n    IRF2]\n", 10, "objective.up[1]: unknown gene 'IRF2'; nearest: IRF1"),
        ("  kind: markers\n  genes:\n    CD14: up\n    STAT: down\n", 11, "objective.genes.STAT: unknown gene 'STAT'"),
        ("  kind: markers\n  genes: [A]\n  direction: up\n", 9, "objective.genes[0]: unknown gene 'A'"),
        (GENE_SET % ("SETT", "up"), 11, "objective.gene_set.name: unknown gene set 'SETT'"),
        (GENE_SET % ("OUTSIDE", "up"), 11, "sets.gmt.gz:2: none of the 1 genes of 'OUTSIDE' is among the model's 6"),
        ((GENE_SET % ("SET", "up")).replace("${LINGSHU_SETS}", "no.gmt"), 10, "gene_set.file: no.gmt can't be read"),
    ],
)
def test_what_the_panel_lacks_is_told_with_line_and_field(
    load: Callable[[str], Loaded[ScreenSpec]], vocabulary: Vocabulary, objective: str, line: int, said: str
) -> None:
    loaded = load(objective)
    with pytest.raises(VocabularyError) as caught:
        resolve_objective(loaded.spec.objective, vocabulary, loaded.source)
    assert any(said in str(problem) and problem.line == line for problem in caught.value.problems), caught.value
