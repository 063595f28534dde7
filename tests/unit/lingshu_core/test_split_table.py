import numpy as np
import pytest

from lingshu_core.errors import SplitError
from lingshu_core.split_table import CellTable, draw, listed, targets_of, united


def test_labels_are_taken_apart(split_experiment: CellTable) -> None:
    assert targets_of("IRF1 (CRISPRa)+JAK2") == {"IRF1", "JAK2"}
    assert split_experiment.singles["IRF1"] == ("IRF1", "IRF1 (CRISPRa)")
    assert "MYC" not in split_experiment.singles
    assert "MYC" in split_experiment.all_targets


def test_cells_of_a_target_are_those_of_its_combinations_too(split_experiment: CellTable) -> None:
    rows = split_experiment.having(["STAT1"])
    assert set(split_experiment.labels[rows]) == {"STAT1", "JAK2+STAT1"}
    assert (np.diff(rows) > 0).all()


def test_contexts_are_numbered_in_the_alphabet(split_experiment: CellTable) -> None:
    numbers, contexts = split_experiment.contexts(["cell_type", "donor"])
    assert contexts[0] == {"cell_type": "B", "donor": "ambiguous"}
    first = split_experiment.obs.iloc[int(np.flatnonzero(numbers == 0)[0])]
    assert (first["cell_type"], first["donor"]) == ("B", "ambiguous")
    assert split_experiment.contexts([])[1] == ({},)


@pytest.mark.parametrize("role", ["perturbation", "dose", "tissue"])
def test_what_is_no_column_of_labels_is_refused(split_experiment: CellTable, role: str) -> None:
    with pytest.raises(
        SplitError, match=f"{role!r} isn't named under data.columns; named are: cell_type, donor, batch"
    ):
        split_experiment.column(role, "split")


def test_what_is_drawn_depends_on_what_it_is_for() -> None:
    assert draw(1, "folds").random() == draw(1, "folds").random()
    assert draw(1, "folds").random() != draw(1, "controls").random()
    assert draw(1, "folds").random() != draw(2, "folds").random()


def test_small_helpers() -> None:
    assert listed(["a", "b", "c"], 2) == "a, b and 1 more"
    assert listed([]) == "none"
    assert united([np.array([3, 5]), np.array([1, 5])]).tolist() == [1, 3, 5]
    assert united([]).tolist() == []
