from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from campaigns import SpecError, load_screen

STRESS = "    - {name: stress, up: [CD14], limit: 0.2}\n"


@pytest.fixture
def refusal(write: Callable[..., Path], screen_text: str) -> Callable[[str], list[str]]:
    """Every line with which a screen with this `safety` block is refused."""

    def refused(block: str) -> list[str]:
        with pytest.raises(SpecError) as raised:
            load_screen(write(screen_text + block))
        return [f"{each.line}: {each.field}: {each.text}" for each in raised.value.problems]

    return refused


def test_a_screen_asks_for_no_safety_by_itself(write: Callable[..., Path], screen_text: str) -> None:
    assert load_screen(write(screen_text)).spec.safety is None


def test_everything_can_be_asked(write: Callable[..., Path], screen_text: str) -> None:
    block = f"safety:\n  signatures:\n{STRESS}  spare: [{{cell_type: T cells, donor: [1, D2]}}]\n  spare_limit: 0.3\n"
    safety = load_screen(write(screen_text + block)).spec.safety
    assert safety is not None
    assert (safety.signatures[0].name, safety.signatures[0].up, safety.signatures[0].limit) == (
        "stress",
        ("CD14",),
        0.2,
    )
    assert safety.spare == ({"cell_type": ("T cells",), "donor": ("1", "D2")},)
    assert safety.spare_limit == 0.3


@pytest.mark.parametrize("limit", ["0", "-0.1"])
def test_a_limit_is_above_zero(refusal: Callable[[str], list[str]], limit: str) -> None:
    (line,) = refusal(f"safety:\n  signatures:\n    - {{name: stress, up: [CD14], limit: {limit}}}\n")
    assert line.startswith("13: safety.signatures[0].limit: must be ")
    (line,) = refusal(f"safety:\n  spare: [{{donor: D1}}]\n  spare_limit: {limit}\n")
    assert line.startswith("13: safety.spare_limit: must be ")


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ("safety: {}\n", "11: safety: names no side effect and no context to spare"),
        ("safety:\n  spare: [{}]\n", "12: safety.spare[0]: matches every context"),
        (f"safety:\n  signatures:\n{STRESS}  spare_limit: 1\n", "14: safety.spare_limit: no context is to be spared"),
        (f"safety:\n  signatures:\n{STRESS}{STRESS}", "14: safety.signatures[1].name: 'stress' is the name of another"),
        ("safety:\n  signatures:\n    - {name: p53}\n", "13: safety.signatures[0]: needs exactly one source of genes"),
        (
            "safety:\n  signatures:\n    - {name: p53, up: [CD14], gene_set: {file: a, name: b, direction: up}}\n",
            "13: safety.signatures[0]: needs exactly one source of genes and has 2",
        ),
        (
            "safety:\n  signatures:\n    - name: p53\n      up: [CD14]\n      down: [JAK2, CD14]\n",
            "15: safety.signatures[0].down[1]: gene 'CD14' is under `up` too",
        ),
        (
            "safety:\n  signatures:\n    - {name: 'a[b]', up: [CD14]}\n",
            "13: safety.signatures[0].name: the text 'a[b]'",
        ),
        ("safety:\n  signature: []\n", "12: safety.signature: unknown key 'signature'; nearest: signatures"),
    ],
)
def test_what_is_wrong_is_one_clear_line(refusal: Callable[[str], list[str]], block: str, said: str) -> None:
    (line,) = refusal(block)
    assert line.startswith(said)
