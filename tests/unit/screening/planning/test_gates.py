import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from campaigns.conditions import Condition, Context, Perturbation
from lingshu_core.checkpoint import load_header
from screening.errors import CardError
from screening.models.model_card import PARTS, ModelCard, read_card, write_card
from screening.planning.campaign import load_campaign, plan_campaign
from screening.planning.gates import NOT_MEASURED, Gates
from screening.run import run_campaign

B = {"cell_type": "B", "donor": "D1"}
SAMPLER = {"steps": 6, "schedule": "geometric", "guidance": 0.0}


def gate(verdict: str, context: dict[str, str], *parts: tuple[str, float | None]) -> dict[str, Any]:
    return {"context": context, "parts": [list(part) for part in parts], "verdict": verdict}


def card(*gates: dict[str, Any]) -> ModelCard:
    content: dict[str, Any] = dict.fromkeys(PARTS)
    return ModelCard({**content, "gates": list(gates), "measured": {"sampler": SAMPLER}}, "cafe" * 16)


def asked(label: str | None = None, dose: float | None = None, **context: str) -> Condition:
    perturbation = Perturbation((), "none") if label is None else Perturbation.parse(label, "drug", dose)
    return Condition(Context.of(context or B), perturbation)


@pytest.mark.parametrize(
    ("of_context", "of_condition", "expected"),
    [
        ("pass", None, "pass"),
        ("fail", None, "fail"),
        ("pass", "fail", "fail"),
        ("fail", "pass", "fail"),
        ("warn", "pass", "warn"),
        ("pass", "undecided", "pass"),
        ("undecided", "warn", "warn"),
        ("undecided", None, "undecided"),
        ("undecided", "not measured", "not measured"),
        (None, None, "not measured"),
    ],
)
def test_the_worse_of_context_and_condition_counts_as_far_as_they_are_decided(
    of_context: str | None, of_condition: str | None, expected: str
) -> None:
    gates = [gate(of_context, B)] if of_context else []
    gates += [gate(of_condition, B, ("A", None))] if of_condition else []
    assert Gates((card(*gates),)).verdict(asked("A")) == expected


def test_a_gate_is_of_its_own_factors_dose_and_combination() -> None:
    found = Gates(
        (
            card(
                gate("pass", {}),
                gate("warn", {"donor": "D1"}),
                gate("fail", B, ("X", 0.1)),
                gate("fail", B, ("A", None), ("C", None)),
            ),
        )
    )
    assert found.of_context(Context.of({})) == "pass"
    assert found.of_context(Context.of({"donor": "D1"})) == "warn"
    assert found.of_context(Context.of(B)) == NOT_MEASURED
    assert found.verdict(asked("X", 0.1)) == "fail"
    assert found.verdict(asked("X", 1.0)) == NOT_MEASURED
    assert found.verdict(asked("C+A")) == "fail"
    assert found.verdict(asked("A")) == NOT_MEASURED


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [(("pass", "pass"), "pass"), (("pass", "warn"), "warn"), (("pass", None), NOT_MEASURED), (("fail", None), "fail")],
)
def test_of_several_members_the_worst_counts(verdicts: tuple[str | None, ...], expected: str) -> None:
    cards = tuple(card(gate(verdict, B)) if verdict else None for verdict in verdicts)
    assert Gates(cards).verdict(asked("A")) == expected
    assert Gates(cards).facts == {"model_card": [each.digest if each else None for each in cards]}


def test_a_line_says_which_contexts_pass_and_with_which_sampler() -> None:
    found = Gates((card(gate("pass", B), gate("fail", {"cell_type": "T"}), gate("pass", {})),))
    contexts = [Context.of(each) for each in (B, {"cell_type": "T"}, {})]
    assert found.describe(contexts) == "gates of 3 contexts: 2 pass, 1 fail; failed: (cell_type=T)"
    assert "6 geometric steps" not in found.describe(contexts, (6, "geometric", 0.0))
    other = found.describe(contexts, (3, "cosine", 2.0))
    assert other.endswith("(measured with 6 geometric steps, guidance 0, this screen takes 3 cosine steps, guidance 2)")
    assert found.facts == {"model_card": "cafe" * 16}


def test_without_a_measurement_the_cure_is_named() -> None:
    unmeasured = ModelCard(dict.fromkeys(PARTS), "")
    for cards in ((None,), (unmeasured,), (None, unmeasured)):
        assert "not measured; `lingshu card`" in Gates(cards).describe([Context.of(B)])


@pytest.fixture
def gated(tiny: Path, tmp_path: Path) -> Path:
    """A copy of the small model whose card fails type_1 and passes REG04 in type_2."""
    model = tmp_path / "gated"
    shutil.copytree(tiny / "model", model)
    gates = [gate("fail", {"cell_type": "type_1"}), gate("pass", {"cell_type": "type_2"}, ("REG04", None))]
    parts: dict[str, Any] = dict.fromkeys(PARTS)
    content = {**parts, "gates": gates, "measured": {"sampler": SAMPLER}}
    write_card(str(model), {"model_digest": load_header(str(model)).digest, **content}, "words")
    return model


def test_a_run_writes_the_gates_into_its_table(
    gated: Path, write_screen: Callable[..., Path], listener: Any, lingshu: Callable[..., tuple[int, str, str]]
) -> None:
    screen = write_screen(model=str(gated), perturbations={"genetic": ["REG04", "REG05"]})
    result = run_campaign(screen, listener)
    found = {(row["perturbation"], row["cell_type"]): row["gate"] for row in result.hits.iter_rows(named=True)}
    assert found == {
        ("REG04", "type_1"): "fail",
        ("REG05", "type_1"): "fail",
        ("REG04", "type_2"): "pass",
        ("REG05", "type_2"): "not measured",
    }
    assert "1 not measured, 1 fail; failed: (cell_type=type_1) (measured with 6" in result.gates
    stored = read_card(str(gated), load_header(str(gated)).digest)
    assert stored is not None
    manifest = json.loads((Path(result.output) / "manifest.json").read_text())
    assert manifest["model_card"] == stored.digest
    again = run_campaign(screen, listener)
    assert again.hits.equals(result.hits)
    code, text, _ = lingshu("hits", result.output)
    assert code == 0
    assert "gate" in text.splitlines()[0]
    assert "not measured" in text
    assert "gates of 2 contexts" in lingshu("plan", screen)[1]
    assert "gates of 2 contexts" in lingshu("run", screen)[1]


def test_a_run_without_a_card_says_so(write_screen: Callable[..., Path], listener: Any) -> None:
    screen = write_screen(contexts={"cell_type": "type_1"}, perturbations={"genetic": ["REG04"]})
    result = run_campaign(screen, listener)
    assert result.hits["gate"].to_list() == [NOT_MEASURED]
    assert result.gates.startswith("gates: not measured")
    assert json.loads((Path(result.output) / "manifest.json").read_text())["model_card"] is None


def test_failed_conditions_have_a_gate_too(gated: Path, write_screen: Callable[..., Path], listener: Any) -> None:
    """REG04's own target is all that the objective has."""
    objective = {"kind": "signature", "down": ["REG04"]}
    screen = write_screen(
        model=str(gated),
        perturbations={"genetic": ["REG04", "REG05"]},
        contexts={"cell_type": "type_1"},
        objective=objective,
    )
    hits = run_campaign(screen, listener).hits
    assert hits.filter(pl.col("status") == "failed")["gate"].to_list() == ["fail"]


def test_a_card_of_another_model_stops_the_plan(
    gated: Path, tiny_ensemble: Path, write_screen: Callable[..., Path], tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(tiny_ensemble / "member-1", other)
    shutil.copy(gated / "model_card.json", other)
    with pytest.raises(CardError, match="is the card of the model"):
        plan_campaign(load_campaign(write_screen(model=str(other))))
