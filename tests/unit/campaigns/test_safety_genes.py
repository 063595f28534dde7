from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from campaigns import Plan, Vocabulary, VocabularyError, load_screen, make_plan

Planned = Callable[[str], Plan]


@pytest.fixture
def planned(write: Callable[..., Path], screen_text: str, vocabulary: Vocabulary, tmp_path: Path) -> Planned:
    """Plan a screen with a `safety` block; `sets.gmt` has the sets STRESS and OUTSIDE."""
    (tmp_path / "sets.gmt").write_text("STRESS\tx\tCD14\tJAK2\tTNF\nOUTSIDE\tx\tTNF\n")

    def plan(block: str) -> Plan:
        loaded = load_screen(write(screen_text + block), {"LINGSHU_SETS": str(tmp_path / "sets.gmt")})
        return make_plan(
            loaded.spec,
            vocabulary,
            model_digest="m",
            control_set_digest=lambda context: context.label,
            panel_digest="p",
            sampler_version="1",
            source=loaded.source,
        )

    return plan


LISTED = "safety:\n  signatures:\n    - {name: stress, up: [CD14, JAK2], down: [GBP1], limit: 0.2}\n"
SET = "safety:\n  signatures:\n    - {name: stress, gene_set: {file: '${LINGSHU_SETS}', name: %s, direction: down}}\n"


def test_genes_and_contexts_are_in_the_plan_and_not_in_the_name_of_the_run(planned: Planned) -> None:
    plain, plan = planned(""), planned(LISTED + "  spare: [{cell_type: T cells}]\n")
    assert plain.safety is None
    assert plan.safety == {
        "signatures": [{"name": "stress", "up": ["CD14", "JAK2"], "down": ["GBP1"], "n_outside": 0}],
        "spare": ["cell_type=T cells, donor=D1"],
    }
    assert plan.run_id == plain.run_id
    assert Plan.from_json(plan.as_json()) == plan
    assert "safety" not in plain.as_json()


def test_a_set_is_cut_to_the_panel_and_that_is_said(planned: Planned) -> None:
    plan = planned(SET % "STRESS")
    assert plan.safety is not None
    assert plan.safety["signatures"] == [{"name": "stress", "up": [], "down": ["CD14", "JAK2"], "n_outside": 1}]
    assert "gene set STRESS: 2 of its 3 genes are among the model's 6" in plan.notices


@pytest.mark.parametrize(
    ("block", "said"),
    [
        (LISTED.replace("JAK2", "JAK3"), "13: safety.signatures[0].up[1]: unknown gene 'JAK3'; nearest: JAK2"),
        (LISTED.replace("GBP1", "X"), "13: safety.signatures[0].down[0]: unknown gene 'X'"),
        (SET % "STRES", "13: safety.signatures[0].gene_set.name: unknown gene set 'STRES'"),
        (SET % "OUTSIDE", "13: safety.signatures[0].gene_set.name: "),
        ((SET % "STRESS").replace("${LINGSHU_SETS}", "none.gmt"), "13: safety.signatures[0].gene_set.file: none.gmt"),
        ("safety:\n  spare: [{cell_type: NK cells}]\n", "12: safety.spare[0]: cell_type=NK cells isn't screened"),
        (
            "safety:\n  spare: [{tissue: skin}]\n",
            "12: safety.spare[0]: tissue=skin isn't screened; the screen has cell_",
        ),
        ("safety:\n  spare: [{donor: D1}]\n", "12: safety.spare: spares every context of the screen"),
    ],
)
def test_what_the_model_or_the_screen_lacks_is_one_clear_line(planned: Planned, block: str, said: str) -> None:
    with pytest.raises(VocabularyError) as raised:
        planned(block)
    (line,) = [f"{each.line}: {each.field}: {each.text}" for each in raised.value.problems]
    assert line.startswith(said)


def test_a_gene_that_is_listed_twice_counts_once(planned: Planned) -> None:
    plan = planned(LISTED.replace("JAK2", "CD14"))
    assert plan.safety is not None
    assert plan.safety["signatures"][0]["up"] == ["CD14"]
    assert "safety.signatures[0].up[1]: gene 'CD14' is listed twice and counts once" in plan.notices
