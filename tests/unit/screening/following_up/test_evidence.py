from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from screening.answers.analyses import ScoredScreen, analyse
from screening.deciding.hits import Scored, extra_columns, hit_table, score_folded
from screening.folding.effect_matrix import EffectMatrix
from screening.following_up.evidence import ALIKE, GENES, Evidence, chosen, gather
from screening.following_up.evidence_columns import CONDITION_COLUMNS, EVIDENCE, EVIDENCE_ITEMS, ITEM_COLUMNS
from screening.planning.campaign import PlannedCampaign, load_campaign, plan_campaign

Gather = Callable[..., tuple[pl.DataFrame, Evidence]]


@pytest.fixture
def screen(
    write_screen: Callable[..., Path], tmp_path: Path, moments: Callable[..., Any], fold_of: Callable[..., Any]
) -> Callable[..., tuple[PlannedCampaign, pl.DataFrame, EffectMatrix]]:
    """Score made-up moments of knock-outs and a drug in one cell type: nothing is predicted."""

    def make(most: int | None = None, **changes: Any) -> tuple[PlannedCampaign, pl.DataFrame, EffectMatrix]:
        perturbations = {"genetic": ["REG04", "REG05", "REG04+REG08"], "drug": ["DRUG01"]}
        asked = {"contexts": {"cell_type": "type_1"}, "perturbations": perturbations} | changes
        planned = plan_campaign(load_campaign(write_screen(**asked)))
        words = planned.campaign.model.vocabulary
        effects = EffectMatrix(words.genes, most)
        control = moments([1.0] * len(words.genes))
        rows = []
        for number, condition in enumerate(planned.plan.conditions):
            if condition.role != "perturbation":
                continue
            shift = np.random.default_rng(number).normal(0, 0.3, len(words.genes))
            found = replace(control, log1p=control.log1p + shift)
            folded = replace(fold_of("A", found, control), planned=condition)
            scored: Scored = score_folded(
                folded,
                planned.readouts[condition.condition.context],
                words,
                planned.facts,
                exclude_own_targets=True,
            )
            effects.add(scored)
            rows.append(scored.row)
        return planned, hit_table(rows, extra_columns(words.factors, ())), effects

    return make


def of(evidence: Evidence, kind: str, label: str) -> pl.DataFrame:
    return evidence.items.filter((pl.col("kind") == kind) & (pl.col("perturbation") == label))


def test_hits_come_first_and_then_the_best() -> None:
    rows = [
        {"perturbation": p, "context": "T", "status": "done", "score": s}
        for p, s in zip("ABCD", (4, 3, 2, 1), strict=True)
    ]
    table = hit_table([*rows, {"perturbation": "E", "context": "T", "status": "failed"}], {})
    table = table.with_columns(decision=pl.when(pl.col("perturbation") == "C").then(pl.lit("hit")))
    assert chosen(table, 3)["perturbation"].to_list() == ["C", "A", "B"]
    assert chosen(table, 9)["perturbation"].to_list() == ["C", "A", "B", "D"]


def test_tables_have_their_columns_and_a_row_a_condition(screen: Any) -> None:
    planned, hits, effects = screen()
    found = gather(planned, hits, effects)
    assert found is not None
    assert dict(found.conditions.schema) == {name: kind for name, (kind, _) in CONDITION_COLUMNS.items()}
    assert dict(found.items.schema) == {name: kind for name, (kind, _) in ITEM_COLUMNS.items()}
    assert found.conditions["rank"].to_list() == hits["rank"].to_list()
    assert found.conditions["refutation"].null_count() == 0
    assert found.conditions["direct_links"].null_count() == hits.height  # no network


def test_no_more_than_asked_for(screen: Any) -> None:
    planned, hits, effects = screen(evidence={"top": 2})
    found = gather(planned, hits, effects)
    assert found is not None
    assert found.conditions.height == 2
    planned, hits, effects = screen(evidence={"top": 0})
    assert gather(planned, hits, effects) is None


def test_genes_are_the_extremes_with_their_intervals(screen: Any) -> None:
    planned, hits, effects = screen()
    found = gather(planned, hits, effects)
    key = next(p.key for p in planned.plan.conditions if p.condition.perturbation.label == "REG04")
    layers = effects.by_key[key]
    up = of(found, "gene_up", "REG04")
    order = np.argsort(-layers["effect"])[:GENES]
    assert up["name"].to_list() == [effects.genes[i] for i in order]
    assert up["value"].to_list() == pytest.approx(layers["effect"][order].tolist())
    assert (up["low"] <= up["value"]).all()
    assert (up["value"] <= up["high"]).all()
    down = of(found, "gene_down", "REG04")
    assert (down["value"] < 0).all()
    assert down["value"].is_sorted()
    used = {
        gene for gene, is_used in zip(effects.genes, next(iter(planned.readouts.values())).used, strict=True) if is_used
    }
    noted = up.filter(pl.col("note").fill_null("").str.contains("in the objective"))["name"].to_list()
    assert set(noted) == used & set(up["name"])


def test_likeness_is_the_correlation_with_other_perturbations(screen: Any) -> None:
    planned, hits, effects = screen()
    found = gather(planned, hits, effects)
    label = "DRUG01@1"
    near = of(found, "alike_in_effect", label)
    assert not near["name"].str.starts_with("DRUG01").any()  # another dose is no other perturbation
    assert near.height <= ALIKE
    keys = {p.condition.perturbation.label: p.key for p in planned.plan.conditions}
    values = {name: effects.by_key[keys[name]]["effect"] for name in (label, near["name"][0])}
    assert near["value"][0] == pytest.approx(np.corrcoef(*values.values())[0, 1], abs=1e-5)
    assert of(found, "alike_on_objective", label).height


def test_effects_that_were_not_kept_are_said_to_be_missing(screen: Any) -> None:
    planned, hits, effects = screen(most=2)
    found = gather(planned, hits, effects)
    assert found.conditions["has_effects"].to_list() == [True, True, *[False] * (hits.height - 2)]
    last = found.conditions.row(-1, named=True)
    assert "not kept" in last["refutation"]
    assert last["claim"] is None
    assert of(found, "gene_up", last["perturbation"]).is_empty()


def test_sets_and_links_of_the_user_are_tested(screen: Any, tmp_path: Path) -> None:
    planned, _, _ = screen()
    genes = planned.campaign.model.vocabulary.genes
    used = np.flatnonzero(next(iter(planned.readouts.values())).weights)
    sets, links = tmp_path / "sets.gmt", tmp_path / "links.tsv"
    sets.write_text("first\t\t" + "\t".join(genes[:6]) + "\nsecond\t\t" + "\t".join(genes[6:16]) + "\n")
    direct, between = genes[used[0]], genes[used[1]]
    links.write_text(f"source\ttarget\tsign\nREG04\t{direct}\t1\nREG04\tX\t-1\nX\t{between}\t1\n")
    evidence = {"gene_sets": str(sets), "network": {"file": str(links), "sign": "sign"}}
    planned, hits, effects = screen(evidence=evidence)
    found = gather(planned, hits, effects)
    assert set(of(found, "gene_set", "REG04")["name"]) == {"first", "second"}
    assert of(found, "gene_set", "REG04")["p"].is_sorted()
    ways = of(found, "link", "REG04")
    assert ways["name"].to_list() == [f"REG04 → {direct}", f"REG04 → X → {between}"]
    assert ways["value"].to_list() == [1.0, -1.0]
    row = found.conditions.filter(pl.col("perturbation") == "REG04").row(0, named=True)
    assert (row["direct_links"], row["indirect_links"]) == (1, 1)
    effect = effects.by_key[next(p.key for p in planned.plan.conditions if p.label.startswith("REG04 in"))]["effect"]
    falls = effect[used[0]] < 0  # a knock-out of an activator lowers
    assert ways["note"][0] == ("fits the predicted change" if falls else "against the predicted change")


def test_what_the_training_saw_is_said(screen: Any) -> None:
    planned, hits, effects = screen()
    seen = dict(gather(planned, hits, effects).conditions.select("perturbation", "seen").iter_rows())
    cells = {row["perturbation"]: row for row in hits.iter_rows(named=True)}
    for label, told in seen.items():
        row = cells[label]
        assert told == ("here" if row["training_cells"] else "elsewhere" if row["training_cells_all"] else "parts")


def test_own_targets_are_checked_for_genes_only(screen: Any) -> None:
    planned, hits, effects = screen()
    found = gather(planned, hits, effects).conditions
    verdicts = dict(found.select("perturbation", "on_target").iter_rows())
    assert verdicts["DRUG01@1"] == ""
    for row in found.filter(pl.col("perturbation") == "REG04").iter_rows(named=True):
        expected = "unclear" if row["on_target_low"] <= 0 <= row["on_target_high"] else None
        expected = expected or ("as expected" if row["on_target_high"] < 0 else "against expectation")
        assert row["on_target"] == expected


def test_both_tables_are_among_the_analyses(screen: Any) -> None:
    planned, hits, effects = screen()
    tables = analyse(ScoredScreen(planned, hits, None, effects=effects))
    assert {EVIDENCE, EVIDENCE_ITEMS} <= set(tables)
    assert set(tables[EVIDENCE].meanings) == set(CONDITION_COLUMNS)
