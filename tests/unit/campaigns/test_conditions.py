from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.conditions import CONTROL, Condition, Context, Perturbation, PerturbationPart, split_combination

NAMES = st.lists(st.text("ABC12", min_size=1, max_size=4), min_size=1, max_size=4, unique=True)
DOSES = st.none() | st.floats(1e-6, 1e6)


@given(NAMES, st.randoms(use_true_random=False), DOSES)
def test_a_combination_does_not_depend_on_the_order_of_its_parts(names: list[str], random: object, dose: float) -> None:
    shuffled = sorted(names, key=lambda _: random.random())  # type: ignore[attr-defined]
    assert Perturbation.parse("+".join(names), "drug", dose) == Perturbation.parse(" + ".join(shuffled), "drug", dose)


@given(NAMES, DOSES, st.dictionaries(st.text(min_size=1), st.text(min_size=1)))
def test_a_condition_survives_plain_data(names: list[str], dose: float, factors: dict[str, str]) -> None:
    condition = Condition(Context.of(factors), Perturbation.of(names, "drug", dose))
    assert Condition.from_dict(condition.as_dict()) == condition


@pytest.mark.parametrize("label", ["A+A", "A+", "+A", "", " ", "A++B"])
def test_empty_and_double_parts_are_refused(label: str) -> None:
    with pytest.raises(ValueError, match=r"part"):
        Perturbation.parse(label, "genetic")


@pytest.mark.parametrize(
    ("label", "names"),
    [("A+B", ("A", "B")), ("B + A", ("B", "A")), ("(+)-JQ1", ("(+)-JQ1",)), ("(+)-JQ1+A", ("(+)-JQ1", "A"))],
)
def test_a_plus_in_brackets_belongs_to_the_name(label: str, names: tuple[str, ...]) -> None:
    assert split_combination(label) == names


def test_parts_have_to_be_sorted() -> None:
    with pytest.raises(ValueError, match="sorted"):
        Perturbation((PerturbationPart("B"), PerturbationPart("A")), "genetic")


@pytest.mark.parametrize(
    ("perturbation", "label"),
    [
        (CONTROL, "control"),
        (Perturbation.parse("STAT1", "genetic"), "STAT1"),
        (Perturbation.parse("B+A", "drug", 0.1), "A@0.1+B@0.1"),
        (Perturbation.parse("A", "drug", 10.0), "A@10"),
    ],
)
def test_labels_of_perturbations(perturbation: Perturbation, label: str) -> None:
    assert perturbation.label == label


def test_labels_of_contexts_and_conditions() -> None:
    context = Context.of({"donor": "D1", "cell_type": "B cells"})
    assert context.label == "cell_type=B cells, donor=D1"
    assert Context.of({}).label == "all cells"
    assert Condition(context, CONTROL).label == "control in cell_type=B cells, donor=D1"


def test_the_control_has_no_parts() -> None:
    assert CONTROL.is_control
    assert not Perturbation.parse("A", "genetic").is_control


def test_a_structure_travels_with_its_part() -> None:
    perturbation = Perturbation.of(["B", "A"], "drug", 1.0, {"B": "CCO", "C": "CCN"})
    assert perturbation.as_dict()["parts"] == [
        {"name": "A", "dose": 1.0},
        {"name": "B", "dose": 1.0, "smiles": "CCO"},
    ]
    assert [part.identity for part in perturbation.parts] == [["A", 1.0], ["B", 1.0, "CCO"]]
    assert perturbation.label == "A@1+B@1"
    assert Perturbation.from_dict(perturbation.as_dict()) == perturbation


def test_the_target_is_the_name_without_its_method() -> None:
    assert PerturbationPart("KLF1 (CRISPRa)").target == "KLF1"
    assert PerturbationPart("KLF1").target == "KLF1"
