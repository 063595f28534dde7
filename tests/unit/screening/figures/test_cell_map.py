import sys

import anndata
import numpy as np
import pytest
from anndata import AnnData

from screening.errors import FigureError
from screening.figures import cell_map
from screening.figures.marks import PALETTE


def cells(number: int, genes: tuple[str, ...] = ("A", "B", "C", "D"), *, seed: int = 0, groups: int = 2) -> AnnData:
    counts = np.random.default_rng(seed).poisson(3.0, (number, len(genes))).astype(np.float32)
    found = AnnData(counts)
    found.var_names = list(genes)
    found.obs["perturbation"] = ["control" if i % groups == 0 else f"P{i % groups:02d}" for i in range(number)]
    return found


def test_both_kinds_are_drawn_and_counted() -> None:
    figure = cell_map(cells(40), cells(60, seed=1), method="pca", most=50)
    real, generated = figure.axes[0].collections
    assert len(real.get_offsets()) == 50
    assert len(generated.get_offsets()) == 40
    assert "50 of 60 real, 40 of 40 generated cells" in figure.get_suptitle()
    assert "of 4 genes" in figure.get_suptitle()
    legend = {text.get_text() for text in figure.legends[0].get_texts()}
    assert legend == {"control", "P01", "real", "generated"}


def test_only_shared_genes_count_in_any_order() -> None:
    drawn, real = cells(40), cells(40, seed=1)
    extra = cells(40, ("E", "F"), seed=2)
    wide = anndata.concat([real[:, ["D", "C", "B", "A"]], extra], axis=1)
    wide.obs["perturbation"] = real.obs["perturbation"]
    one, other = (cell_map(drawn, each, method="pca").axes[0].collections[1].get_offsets() for each in (real, wide))
    np.testing.assert_allclose(np.asarray(one), np.asarray(other), atol=1e-6)


def test_many_groups_share_the_last_colour() -> None:
    figure = cell_map(cells(60, groups=20), method="pca")
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend[0] == "control"
    assert legend[-2:] == ["other", "generated"]
    assert len(legend) == len(PALETTE) + 2


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"by": "cell_type"}, "no column 'cell_type' in obs; there are: perturbation"),
        ({"method": "tsne"}, "it can be 'umap' or 'pca'"),
        ({"real": cells(5)}, "there are 5 real cells, and a map needs 16"),
        ({"real": cells(40, ("W", "X", "Y", "Z"))}, "share fewer than two genes"),
    ],
)
def test_what_can_not_be_drawn_is_told(asked: dict[str, object], told: str) -> None:
    with pytest.raises(FigureError, match=told):
        cell_map(cells(40), **{"method": "pca", **asked})  # type: ignore[arg-type]


def test_without_umap_the_cure_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(FigureError, match=r"pip install 'lingshu-screen\[notebook\]', or method=\"pca\""):
        cell_map(cells(40))
