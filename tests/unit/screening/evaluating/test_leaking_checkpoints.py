"""A model that is trained already: what it has seen of what is asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from campaigns.split_spec import SplitSpec
from lingshu_core.cells import Cells, CellSource, read_cells
from lingshu_core.checkpoint import CheckpointHeader, load_header
from lingshu_core.leak_finding import Finding
from lingshu_core.preparation import build_vocabulary
from lingshu_core.prior_genes import LoweredGenes, PriorGenes
from lingshu_core.relations import Relations
from lingshu_core.splits import Split
from screening.evaluating.leak_checker import check_leaks
from screening.evaluating.leaking_checkpoints import checkpoint_leaks
from screening.evaluating.splitting import make_split

ROLES = ("perturbation", "perturbation_type", "dose", "cell_type", "donor")
TYPE_1 = {"cell_type": "type_1", "donor": "donor_1"}
TYPE_2 = {"cell_type": "type_2", "donor": "donor_1"}
HeaderOf = Callable[..., CheckpointHeader]


@pytest.fixture(scope="module")
def cells(tiny: Path) -> Cells:
    return read_cells(CellSource(str(tiny / "cells.h5ad"), {role: role for role in ROLES}))


@pytest.fixture(scope="module")
def split(cells: Cells) -> Split:
    return split_of(cells, kind="combination", perturbations=["REG05"], values=["type_1"])


def split_of(cells: Cells, **content: Any) -> Split:
    block = {"minimum_cells": 5, "pool": ["donor"], **content}
    return make_split(TypeAdapter(SplitSpec).validate_python(block), cells)


@pytest.fixture
def header_of() -> HeaderOf:
    """The head of a checkpoint that says it was trained on some cells: `header_of(cells, data="", held_out=[], …)`."""

    def make(trained: Cells, priors: PriorGenes | None = None, **card: Any) -> CheckpointHeader:
        content = {"data": trained.source, "data_digest": trained.digest(), "held_out": "[]", "features": []}
        return CheckpointHeader(build_vocabulary(trained), (), {**content, **card}, "0" * 64, priors=priors)

    return make


def leaks(findings: list[Finding]) -> set[str]:
    return {finding.kind for finding in findings if finding.severity == "leak"}


def test_a_model_of_the_training_cells_is_proven_clean(cells: Cells, split: Split, header_of: HeaderOf) -> None:
    header = header_of(cells.select(split.folds[0].train))
    assert checkpoint_leaks(header, split, cells, "model") == []


def test_a_model_of_all_cells_is_found_by_its_digest(cells: Cells, split: Split, header_of: HeaderOf) -> None:
    header = header_of(cells, data="s3://elsewhere/cells.h5ad")
    findings = checkpoint_leaks(header, split, cells, "model")
    assert leaks(findings) == {"combinations", "same_cells"}
    assert "it was trained on all cells of the data" in "\n".join(map(str, findings))


def test_the_checkpoint_itself_is_read(tiny: Path, cells: Cells, split: Split) -> None:
    report = check_leaks(split, cells, checkpoints={"mine": load_header(str(tiny / "model"))})
    assert leaks(list(report.findings)) == {"combinations", "same_cells"}
    assert all(finding.where.startswith("mine") for finding in report.leaks)


def test_cells_of_another_file_are_compared(cells: Cells, split: Split, header_of: HeaderOf) -> None:
    """The file is the same, the digest is not: some cells are missing."""
    header = header_of(cells.select(np.arange(len(cells)) % 7 != 0))
    (finding,) = [one for one in checkpoint_leaks(header, split, cells, "model") if one.kind == "same_cells"]
    question = split.folds[0].questions[0]
    assert finding.count == int((question.perturbed | question.controls).sum())


def test_what_the_card_says_was_held_out_is_believed(cells: Cells, header_of: HeaderOf) -> None:
    shared = split_of(cells, kind="combination", perturbations=["REG05"], values=["type_1"], controls="shared")
    held_out = [{"cell_type": ["type_1"], "perturbation": ["REG05"]}]
    kept = cells.select(~shared.folds[0].questions[0].perturbed)
    assert checkpoint_leaks(header_of(kept, held_out=json.dumps(held_out)), shared, cells, "model") == []
    # The words of the vocabulary are enough: no such cell was seen.
    assert checkpoint_leaks(header_of(kept), shared, cells, "model") == []


def test_controls_that_were_learnt_are_found_unless_they_are_shared(
    cells: Cells, split: Split, header_of: HeaderOf
) -> None:
    kept = cells.select(~split.folds[0].questions[0].perturbed)
    (finding,) = checkpoint_leaks(header_of(kept), split, cells, "model")
    assert finding.kind == "same_cells"
    assert finding.count == int(split.folds[0].questions[0].controls.sum())
    assert "controls: shared" in finding.cure


def test_cells_that_are_not_here_are_noted(cells: Cells, split: Split, header_of: HeaderOf) -> None:
    trained = cells.select(split.folds[0].train & (np.arange(len(cells)) % 7 != 0))
    (finding,) = checkpoint_leaks(header_of(trained, data="gone.h5ad"), split, cells, "model")
    assert finding.severity == "note"
    assert "it was trained on gone.h5ad, which isn't here" in str(finding)


def test_cells_that_a_model_was_adapted_to_are_compared(cells: Cells, split: Split, header_of: HeaderOf) -> None:
    trained = cells.select(split.folds[0].train & (np.arange(len(cells)) % 7 != 0))
    header = header_of(trained, data="gone.h5ad", adapted=[{"data": cells.source}])
    assert leaks(checkpoint_leaks(header, split, cells, "model")) == {"same_cells"}


def test_a_perturbation_seen_in_any_data_is_not_unseen(cells: Cells, header_of: HeaderOf) -> None:
    split = split_of(cells, kind="unseen_perturbation", perturbations=["REG04"])
    other = cells.select(np.isin(cells.obs["perturbation"].to_numpy(dtype=str), ["control", "REG04+REG08"]))
    header = header_of(other, data="gone.h5ad")
    assert "targets" in leaks(checkpoint_leaks(header, split, cells, "model"))


def test_relatives_that_a_model_saw_are_found(cells: Cells, header_of: HeaderOf) -> None:
    split = replace(split_of(cells, kind="unseen_perturbation", perturbations=["REG05"]), kind="gene_family")
    header = header_of(cells.select(split.folds[0].train))
    relations = Relations(groups=(("REG05", "REG09"),))
    assert leaks(checkpoint_leaks(header, split, cells, "model", relations)) == {"paralogues"}


@pytest.mark.parametrize(
    ("context", "label", "leaking"), [(TYPE_1, "REG05", True), (TYPE_2, "REG05", False), (TYPE_1, "REG09", False)]
)
def test_priors_of_the_context_that_is_asked_are_found(
    cells: Cells, split: Split, header_of: HeaderOf, context: dict[str, str], label: str, leaking: bool
) -> None:
    priors = PriorGenes({label: (LoweredGenes(context, ("G1",)),)})
    header = header_of(cells.select(split.folds[0].train), priors)
    findings = checkpoint_leaks(header, split, cells, "model")
    assert leaks(findings) == ({"priors"} if leaking else set())


def test_priors_of_an_unseen_perturbation_are_found_in_any_context(cells: Cells, header_of: HeaderOf) -> None:
    split = split_of(cells, kind="unseen_perturbation", perturbations=["REG04"])
    priors = PriorGenes({"REG04+REG08": (LoweredGenes({"cell_type": "elsewhere"}, ("G1",)),)})
    header = header_of(cells.select(split.folds[0].train), priors)
    (finding,) = checkpoint_leaks(header, split, cells, "model")
    assert finding.examples == ("REG04+REG08 in elsewhere",)


def test_a_factor_that_a_model_does_not_tell_is_noted(cells: Cells, header_of: HeaderOf) -> None:
    split = split_of(cells, kind="replicate", column="donor")
    trained = replace(cells.select(split.folds[0].train), context_roles=("cell_type",))
    findings = checkpoint_leaks(header_of(trained), replace(split, folds=split.folds[:1]), cells, "model")
    assert "it can't be told which donor the cells had" in str(findings[0])
