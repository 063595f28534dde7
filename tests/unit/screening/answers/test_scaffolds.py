from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from campaigns.screen_spec import ScreenSpec
from campaigns.validation import validate
from campaigns.yaml_source import Source
from screening.answers.scaffolds import COLUMNS, NO_RING, drug_structures, scaffold_table, scaffolds_of
from screening.planning.campaign import PlannedCampaign

SCHEMA = {
    **{"perturbation": pl.String, "context": pl.String, "status": pl.String, "decision": pl.String},
    **{"score": pl.Float64, "null_blocks": pl.Int64, "score_unit": pl.String, "run_id": pl.String},
}


def hits(*rows: tuple[str, str, float | None, str], null: int | None = 20) -> pl.DataFrame:
    content = [
        {"perturbation": label, "context": context, "score": score, "decision": decision, "null_blocks": null}
        | {"status": "failed" if score is None else "done", "score_unit": "u", "run_id": "r"}
        for label, context, score, decision in rows
    ]
    return pl.DataFrame(content, schema=SCHEMA)


def table(found: pl.DataFrame, scaffolds: dict[str, str]) -> pl.DataFrame:
    made = scaffold_table(found, {label: label.split("@")[0] for label in found["perturbation"]}, scaffolds)
    assert made is not None
    return made


def test_a_scaffold_that_has_all_hits_is_enriched() -> None:
    names = [f"D{number}" for number in range(40)]
    scaffolds = {name: "benzene" if number < 6 else f"ring{number % 4}" for number, name in enumerate(names)}
    rows = [(f"{name}@1", "x", 1.0 - number / 100, "hit" if number < 5 else "not") for number, name in enumerate(names)]
    found = table(hits(*rows), scaffolds)
    best = found.row(0, named=True)
    assert (best["scaffold"], best["drugs"], best["hits"]) == ("benzene", 6, 5)
    assert best["hit_share"] == pytest.approx(5 / 6)
    assert best["q_value"] < 0.001
    assert found.filter(pl.col("scaffold") != "benzene")["q_value"].min() == pytest.approx(1.0)
    assert best["best_drug"] == "D0@1"


def test_the_unit_is_the_drug_and_not_its_conditions() -> None:
    doses = [(f"A@{dose}", context, 0.1 * dose, "hit") for dose in (1, 2, 3) for context in ("x", "y")]
    found = table(hits(*doses, ("B@1", "x", 0.05, "not")), {"A": "s", "B": "s"})
    row = found.row(0, named=True)
    assert (row["drugs"], row["hits"]) == (2, 1)
    assert row["mean_score"] == pytest.approx((0.3 + 0.05) / 2)
    assert (row["best_drug"], row["best_context"]) == ("A@3", "x")
    assert row["names"] == "A, B"


def test_one_drug_is_no_test_and_without_a_null_there_are_no_hits() -> None:
    alone = table(hits(("A@1", "x", 1.0, "hit"), ("B@1", "x", 0.0, "not")), {"A": "s", "B": "t"})
    assert alone["p_fisher"].to_list() == [None, None]
    unknown = table(
        hits(("A@1", "x", 1.0, "undecided"), ("B@1", "x", 0.0, "undecided"), null=None), dict.fromkeys("AB", "s")
    )
    assert unknown.select("hits", "hit_share", "p_fisher", "q_value").row(0) == (None, None, None, None)
    assert unknown["drugs"].to_list() == [2]


def test_failed_conditions_and_drugs_without_a_structure_do_not_count() -> None:
    found = table(
        hits(("A@1", "x", 1.0, "hit"), ("B@1", "x", None, "failed"), ("C@1", "x", 0.5, "not")), {"A": "s", "B": "s"}
    )
    assert found.select("scaffold", "drugs").rows() == [("s", 1)]
    assert scaffold_table(hits(("C@1", "x", 0.5, "not")), {"C@1": "C"}, {}) is None


def test_every_column_has_its_type() -> None:
    found = table(hits(("A@1", "x", 1.0, "hit"), ("B@1", "x", 0.5, "not")), {"A": "s", "B": "s"})
    assert dict(found.schema) == {name: kind for name, (kind, _) in COLUMNS.items()}


def test_what_has_no_ring_is_named_and_not_tested() -> None:
    read = scaffolds_of({"aspirin": "CC(=O)Oc1ccccc1C(=O)O", "toluene": "Cc1ccccc1", "ethanol": "CCO"})
    assert read == {"aspirin": "c1ccccc1", "toluene": "c1ccccc1", "ethanol": NO_RING}
    rows = [("A@1", "x", 1.0, "hit"), ("B@1", "x", 0.9, "hit"), ("C@1", "x", 0.1, "not")]
    found = table(hits(*rows), {"A": NO_RING, "B": NO_RING, "C": "s"})
    assert found["p_fisher"].to_list() == [None, None]


@pytest.mark.parametrize("written", ["list", "library"])
def test_structures_come_from_the_campaign(
    planned: PlannedCampaign, tmp_path: Path, written: str, write_screen: Callable[..., Path]
) -> None:
    (tmp_path / "library.tsv").write_text("id\tsmiles\nDRUG01\tCCO\nDRUG02\t\n")
    drugs: Any = {
        "list": [{"name": "DRUG01", "smiles": "CCO"}, "DRUG02"],
        "library": {"file": str(tmp_path / "library.tsv"), "name": "id", "smiles": "smiles"},
    }[written]
    content = planned.campaign.spec.as_data() | {"perturbations": {"drug": drugs}}
    spec = validate(ScreenSpec, Source("screen.yaml", content))
    assert drug_structures(spec, planned.plan) == {"DRUG01": "CCO"}
