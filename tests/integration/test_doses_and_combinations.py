"""Doses, combinations and pairs, as a user meets them: campaigns of the small simulation, run in this process."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from screening.answers.dose_response import COLUMNS as DOSE_COLUMNS
from screening.answers.interactions import COLUMNS as INTERACTION_COLUMNS
from screening.notebook.progress_lines import Quiet
from screening.run import run_campaign

WriteScreen = Callable[..., Path]


def read(folder: Path, name: str) -> pl.DataFrame:
    return pl.read_parquet(folder / name)


def test_doses_that_were_not_seen_make_a_curve(write_screen: WriteScreen, tmp_path: Path) -> None:
    drugs = [{"name": "DRUG01", "doses": [0.01, 0.1, 1, 10]}, "DRUG02"]
    path = write_screen(contexts={"cell_type": "type_1"}, perturbations={"drug": drugs})
    files = run_campaign(path, Quiet()).files
    assert "doses.parquet" in files
    assert "interactions.parquet" not in files
    rows = {row["perturbation"]: row for row in read(tmp_path / "screen", "doses.parquet").iter_rows(named=True)}
    assert (rows["DRUG01"]["doses"], rows["DRUG01"]["highest_dose"]) == (4, 10.0)
    assert (rows["DRUG02"]["outcome"], rows["DRUG02"]["ec50"]) == ("too_few_doses", None)
    told = json.loads(pl.read_parquet_metadata(tmp_path / "screen" / "doses.parquet")["lingshu.columns"])
    assert told == {name: text for name, (_, text) in DOSE_COLUMNS.items()}


@pytest.fixture
def singles(write_screen: WriteScreen, tmp_path: Path) -> Path:
    """Results of a screen of singles, with a cache beside them."""
    genetic = ["REG04", "REG05", "REG08", "REG09", "REG10"]
    changes: dict[str, Any] = {"perturbations": {"genetic": genetic}, "cache": str(tmp_path / "cache")}
    run_campaign(write_screen("singles.yaml", output=str(tmp_path / "singles"), **changes), Quiet())
    return tmp_path / "singles"


def test_pairs_of_the_best_singles_and_their_interactions(
    singles: Path, write_screen: WriteScreen, tmp_path: Path
) -> None:
    changes: dict[str, Any] = {"perturbations": {"pairs": {"from": str(singles), "top": 3}}}
    path = write_screen("pairs.yaml", cache=str(tmp_path / "cache"), **changes)
    result = run_campaign(path, Quiet())
    means = read(singles, "hits.parquet").group_by("perturbation").agg(pl.col("score").mean())
    best = sorted(means.sort("score", descending=True)["perturbation"][:3])
    asked = {row["perturbation"] for row in result.hits.iter_rows(named=True)}
    expected = {*best, f"{best[0]}+{best[1]}", f"{best[0]}+{best[2]}", f"{best[1]}+{best[2]}"}
    assert asked == expected
    assert (result.reused, result.computed) == (16, 12)  # 2 contexts x 2 blocks x (control + 3), and x 3 pairs
    notices = json.loads((tmp_path / "screen" / "manifest.json").read_text())["notices"]
    assert any(
        "3 pairs of the top 3 of 5 genetic singles" in text and "7 pairs were skipped" in text for text in notices
    )
    table = read(tmp_path / "screen", "interactions.parquet")
    assert table.height == 6
    assert set(table["origin"]) == {"counts"}
    told = json.loads(pl.read_parquet_metadata(tmp_path / "screen" / "interactions.parquet")["lingshu.columns"])
    assert told == {name: text for name, (_, text) in INTERACTION_COLUMNS.items()}


def test_a_pair_beside_its_singles_has_less_noise_than_any_of_them(
    singles: Path, write_screen: WriteScreen, tmp_path: Path
) -> None:
    changes: dict[str, Any] = {"perturbations": {"genetic": ["REG04", "REG08", "REG04+REG08"]}}
    hits = run_campaign(write_screen("pair.yaml", **changes), Quiet()).hits
    table = read(tmp_path / "screen", "interactions.parquet")
    joined = table.join(hits, on=["perturbation", "context"], suffix="_hit")
    # Own targets aside, the score of the combination is that of the ranked table.
    assert joined["score"].to_list() == pytest.approx(joined["score_hit"].to_list())
    independent = 3**0.5 * hits["score_se"].mean()
    assert table["interaction_se"].max() < independent


def test_a_pair_screen_before_its_singles_is_refused(
    write_screen: WriteScreen, tmp_path: Path, lingshu: Callable[..., tuple[int, str, str]]
) -> None:
    pairs = {"from": str(tmp_path / "nowhere"), "top": 3}
    path = write_screen(perturbations={"pairs": pairs})
    for command in ("validate", "plan"):
        code, _, said = lingshu(command, path)
        assert code == 2
        assert "perturbations.pairs.from" in said
        assert "no such folder" in said


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        ({"from": "x", "top": 1}, "perturbations.pairs.top"),
        ({"top": 3}, "missing field 'from'"),
        ({"from": "x", "top": 3, "of": "genes"}, "perturbations.pairs.of"),
        ({"from": "x", "top": 3, "doses": "some"}, "perturbations.pairs.doses"),
        ([["A", "B"]], "perturbations.pairs"),
    ],
)
def test_what_is_no_choice_of_pairs_is_told(
    write_screen: WriteScreen, lingshu: Callable[..., tuple[int, str, str]], pairs: Any, said: str
) -> None:
    code, _, error = lingshu("validate", write_screen(perturbations={"pairs": pairs}))
    assert code == 2
    assert said in error
    assert "Traceback" not in error
