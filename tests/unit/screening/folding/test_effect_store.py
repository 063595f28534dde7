"""Effects of every condition as zarr: the same numbers as effects.h5ad, shard by shard, and never half a store."""

from collections.abc import Callable
from pathlib import Path

import anndata
import numpy as np
import polars as pl
import pytest
import zarr

from actors.blobs import Blobs, open_blobs
from actors.ledger import Ledger
from campaigns.plan import Block
from lingshu_core.vocabulary import Vocabulary
from screening.deciding.hits import RunFacts, Scored, extra_columns, hit_table, score_folded
from screening.deciding.scoring import score
from screening.folding.aggregation import Folded, fold
from screening.folding.effect_store import EFFECTS_STORE, EffectStore
from screening.folding.effects import Moments
from screening.objective.objectives import signed_readout
from screening.planning.campaign import PlannedCampaign

LABELS = ("A", "B", "A+B", "E", "F")


@pytest.fixture
def scored(
    words: Vocabulary, facts: RunFacts, fold_of: Callable[..., Folded], moments: Callable[..., Moments]
) -> list[Scored]:
    """Five conditions; the last but one failed."""

    def one(number: int, label: str) -> Scored:
        condition, control = (None, None) if label == "E" else (moments([3.0 + number] * 4), moments([2.0] * 4))
        folded = fold_of(label, condition, control, reason="it broke" if label == "E" else "")
        return score_folded(folded, signed_readout(words.genes, {"D": 1}, ""), words, facts, exclude_own_targets=True)

    return [one(number, label) for number, label in enumerate(LABELS)]


def _finish(store: EffectStore, scored: list[Scored], words: Vocabulary) -> pl.DataFrame:
    for each in scored:
        store.add(each)
    hits = hit_table([each.row for each in scored], extra_columns(words.factors, ()))
    store.finish(hits, np.array([False, False, False, True]))
    return hits


@pytest.mark.parametrize("rows", [1, 3, 4, 512])
def test_every_effect_is_read_back_as_it_was(
    tmp_path: Path, scored: list[Scored], words: Vocabulary, rows: int
) -> None:
    hits = _finish(EffectStore(open_blobs(str(tmp_path)), words.genes, rows), scored, words)
    found = anndata.read_zarr(tmp_path / EFFECTS_STORE)
    done = [each for each in scored if each.effect is not None]
    assert found.obs_names.to_list() == [each.folded.planned.key for each in done]
    assert found.obs["perturbation"].to_list() == ["A", "B", "A+B", "F"]
    assert set(found.obs) == set(hits.columns)
    assert found.var["in_objective"].to_list() == [False, False, False, True]
    for row, each in enumerate(done):
        assert each.effect is not None
        np.testing.assert_array_equal(found.X[row], each.effect.log1p.astype(np.float32))
        np.testing.assert_array_equal(found.layers["effect_se"][row], each.effect.log1p_se.astype(np.float32))


def test_one_condition_and_one_gene_are_read_alone(tmp_path: Path, scored: list[Scored], words: Vocabulary) -> None:
    _finish(EffectStore(open_blobs(str(tmp_path)), words.genes, rows=2), scored, words)
    effect = zarr.open_group(tmp_path / EFFECTS_STORE, mode="r")["X"]
    assert isinstance(effect, zarr.Array)
    whole = np.asarray(effect[:])
    np.testing.assert_array_equal(effect[2], whole[2])
    np.testing.assert_array_equal(effect[:, 3], whole[:, 3])
    assert len(list((tmp_path / EFFECTS_STORE / "X/c").iterdir())) == 2  # four rows in shards of two


def test_a_store_that_is_not_finished_cannot_be_opened(tmp_path: Path, scored: list[Scored], words: Vocabulary) -> None:
    blobs: Blobs = open_blobs(str(tmp_path))
    _finish(EffectStore(blobs, words.genes, rows=1), scored, words)
    again = EffectStore(blobs, words.genes, rows=1)
    again.add(scored[0])
    with pytest.raises(FileNotFoundError):
        zarr.open_group(tmp_path / EFFECTS_STORE, mode="r")
    _finish(again, scored[1:2], words)  # fewer conditions than before: what is left over goes
    assert anndata.read_zarr(tmp_path / EFFECTS_STORE).n_obs == 2
    assert len([path for path in (tmp_path / EFFECTS_STORE / "X/c").rglob("*") if path.is_file()]) == 2


def test_the_fold_fills_the_store_beside_the_matrix(
    tmp_path: Path,
    planned: PlannedCampaign,
    made_up_block: Callable[[Block], bytes],
    fresh_ledger: Callable[[], Ledger],
) -> None:
    ledger = fresh_ledger()
    for block in planned.plan.blocks:
        ledger.commit(block.id, made_up_block(block), replica="replica-0")
    genes = planned.campaign.model.vocabulary.genes
    store = EffectStore(open_blobs(str(tmp_path)), genes)
    screen = score(planned, fold(planned.plan, ledger, {}), every_effect=store)
    assert store.finish(screen.hits, np.ones(len(genes), dtype=bool)) == screen.hits.height
    found = anndata.read_zarr(tmp_path / EFFECTS_STORE)
    for key, layers in screen.effects.by_key.items():
        np.testing.assert_array_equal(np.ravel(found[key].X), layers["effect"])
        np.testing.assert_array_equal(np.ravel(found[key].layers["effect_se"]), layers["effect_se"])


def test_of_no_condition_there_is_a_store_without_rows(tmp_path: Path, scored: list[Scored], words: Vocabulary) -> None:
    _finish(EffectStore(open_blobs(str(tmp_path)), words.genes), scored[3:4], words)
    assert anndata.read_zarr(tmp_path / EFFECTS_STORE).shape == (0, 4)
