"""Where a mistake stands that only the cells or the model show: file, line and field come first."""

from collections.abc import Callable

import pytest

Refused = Callable[..., None]
Edited = Callable[[str, str, str], None]

CASES = {
    "a column": ("train", "train.yaml", "    donor: donor", "    donor: doner", "13: data.columns.donor"),
    "a donor": (
        *("train", "train.yaml", "hold_out: []"),
        *("hold_out:\n  - donor: [donor_1, donor_9]", "16: hold_out[0].donor[1]"),
    ),
    "a model": ("plan", "screen.yaml", "model: model", "model: none", "4: model"),
    "the cells": ("evaluate", "evaluate.yaml", "  path: cells.h5ad", "  path: none.h5ad", "5: data.path"),
    "those of a reference": (
        *("plan", "screen.yaml", "  gene_set: {file: program.gmt, name: SIMULATED_PROGRAM, direction: down}"),
        "  reference:\n    mode: mimic\n    data: {path: none.h5ad, columns: {perturbation: perturbation}}\n"
        "    from: {perturbation: control}\n    to: {perturbation: REG04}",
        "13: objective.reference.data.path",
    ),
}


@pytest.mark.parametrize(("command", "file", "line", "instead", "place"), CASES.values(), ids=CASES)
def test_the_place_of_a_mistake_comes_first(
    edited: Edited, refused: Refused, command: str, file: str, line: str, instead: str, place: str
) -> None:
    edited(file, line, instead)
    refused(command, file, says=f"{file}:{place}: [...]")
