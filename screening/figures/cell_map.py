"""Real and generated cells in two dimensions: UMAP (McInnes et al. 2018), or the first two principal components."""

from __future__ import annotations

import importlib.util
import warnings
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl
import scipy.sparse as sp
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from campaigns.conditions import CONTROL_LABEL
from screening.errors import FigureError
from screening.figures.canvas import blank, give_legend, give_title, short, tidy
from screening.figures.marks import PALETTE

Method = Literal["umap", "pca"]
COMPONENTS = 20
"""Principal components that UMAP sees."""
NEIGHBOURS = 15
LEAST_CELLS = 16
SHAPES = {"real": "o", "generated": "^"}
CONTROL = "#8c8c8c"
_NAMES = {"umap": "UMAP", "pca": "principal component"}
Array = npt.NDArray[np.float64]


def cell_map(
    generated: AnnData,
    real: AnnData | None = None,
    *,
    by: str = "perturbation",
    method: Method = "umap",
    most: int = 2_000,
    seed: int = 0,
) -> Figure:
    """Draw generated cells (triangles) over real ones (circles), in colours of a column of ``obs``, controls in grey.

    Both go through log1p counts per 10k and the principal components of all of them together. Distances on a UMAP have
    no unit, and its clusters are no proof of anything.

    Parameters
    ----------
    generated, real
        Cells × genes, raw counts in ``X``; genes that both have are used.
    by
        Column of ``obs`` of both.
    method
        ``umap`` needs the extra ``notebook``; ``pca`` needs nothing.
    most
        Cells of each kind at most; of more, a random choice.
    seed
        Of that choice and of UMAP.

    Raises
    ------
    FigureError
        If they share no genes or lack the column, there are too few of them, or umap-learn is not installed.
    """
    kinds = {"generated": generated} if real is None else {"real": real, "generated": generated}
    for kind, cells in kinds.items():
        _check(kind, cells, by)
    chosen = {kind: _chosen(cells, most, seed) for kind, cells in kinds.items()}
    places = _places(_components(list(chosen.values())), method, seed)
    figure = blank(6.4, 5.6)
    panel = figure.subplots()
    groups = _groups(list(chosen.values()), by)
    first = 0
    for kind, cells in chosen.items():
        _draw(panel, places[first : first + cells.n_obs], cells.obs[by].astype(str).to_numpy(), groups, kind)
        first += cells.n_obs
    panel.set_xlabel(f"{_NAMES[method]} 1 (no unit)", fontsize=8)
    panel.set_ylabel(f"{_NAMES[method]} 2 (no unit)", fontsize=8)
    tidy(panel)
    numbers = ", ".join(f"{cells.n_obs:,} of {kinds[kind].n_obs:,} {kind}" for kind, cells in chosen.items())
    what = "Generated cells" if real is None else "Real cells and generated ones"
    give_title(figure, what, f"{numbers} cells; log1p counts per 10k of {chosen['generated'].n_vars:,} genes")
    give_legend(figure, [*_legend(groups), *_shapes(list(kinds))], columns=4)
    return figure


def _check(kind: str, cells: AnnData, by: str) -> None:
    if by not in cells.obs:
        raise FigureError(f"the {kind} cells have no column {by!r} in obs; there are: {', '.join(cells.obs.columns)}")
    if cells.n_obs < LEAST_CELLS:
        raise FigureError(f"there are {cells.n_obs:,} {kind} cells, and a map needs {LEAST_CELLS}")


def _chosen(cells: AnnData, most: int, seed: int) -> AnnData:
    if cells.n_obs <= most:
        return cells
    return cells[np.sort(np.random.default_rng(seed).choice(cells.n_obs, most, replace=False))]


def _components(parts: list[AnnData]) -> Array:
    """Return principal components of log1p counts per 10k over the genes that all have, (cells, components)."""
    from sklearn.decomposition import PCA

    genes = parts[0].var_names[parts[0].var_names.isin(parts[-1].var_names)]
    if len(genes) < 2:
        raise FigureError("real and generated cells share fewer than two genes; compare var_names")
    counts = sp.vstack([sp.csr_matrix(part[:, genes].X) for part in parts]).astype(float)
    depth = np.maximum(np.asarray(counts.sum(axis=1)).ravel(), 1.0)
    logs = np.log1p((sp.diags_array(1e4 / depth) @ counts).toarray())
    number = min(COMPONENTS, len(genes), logs.shape[0] - 1)
    return np.asarray(PCA(number, svd_solver="full").fit_transform(logs), dtype=np.float64)


def _places(components: Array, method: Method, seed: int) -> Array:
    """Return where each cell goes, (cells, 2)."""
    if method == "pca":
        return components[:, :2]
    if method != "umap":
        raise FigureError(f"method is {method!r}; it can be 'umap' or 'pca'")
    if importlib.util.find_spec("umap") is None:
        cure = "pip install 'lingshu-screen[notebook]', or method=\"pca\""
        raise FigureError(f"a UMAP needs the package umap-learn, which isn't installed: {cure}")
    number = min(NEIGHBOURS, len(components) - 1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Tensorflow not installed", category=ImportWarning)
        warnings.filterwarnings("ignore", message="IProgress not found")  # tqdm, in a notebook without widgets
        # Exact neighbours: umap-learn takes longer to compile its own search than these take for thousands of cells.
        warnings.filterwarnings("ignore", message="precomputed_knn", category=UserWarning)
        from umap import UMAP

        # One job: with more of them umap-learn ignores the seed, and says so in a warning.
        umap = UMAP(n_neighbors=number, random_state=seed, n_jobs=1, precomputed_knn=_neighbours(components, number))
        return np.asarray(umap.fit_transform(components), dtype=np.float64)


def _neighbours(components: Array, number: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32], None]:
    """Return the nearest cells of each, itself first, and how far they are, (cells, number) each."""
    from sklearn.neighbors import NearestNeighbors

    distances, places = NearestNeighbors(n_neighbors=number).fit(components).kneighbors(components)
    return places.astype(np.int32), distances.astype(np.float32), None


def _groups(parts: list[AnnData], by: str) -> dict[str, str]:
    """Return the colour of each value of a column, the most frequent ones first; the rest is ``other``."""
    values = pl.Series([value for part in parts for value in part.obs[by].astype(str)])
    names = values.value_counts().sort(["count", ""], descending=[True, False])[""].to_list()
    control = {CONTROL_LABEL: CONTROL} if CONTROL_LABEL in names else {}
    names = [name for name in names if name not in control]
    if len(names) > len(PALETTE):
        return control | dict(zip(names, PALETTE[:-1], strict=False)) | {"other": PALETTE[-1]}
    return control | dict(zip(sorted(names), PALETTE, strict=False))


def _draw(panel: Axes, places: Array, values: npt.NDArray[np.object_], groups: dict[str, str], kind: str) -> None:
    colours = [groups.get(value, PALETTE[-1]) for value in values]
    face = colours if kind == "generated" else "none"
    panel.scatter(
        places[:, 0],
        places[:, 1],
        s=14,
        marker=SHAPES[kind],
        c=face,
        edgecolors=colours,
        lw=0.6,
        alpha=0.7,
        rasterized=True,
    )


def _legend(groups: dict[str, str]) -> list[Line2D]:
    return [Line2D([], [], ls="", marker="s", color=colour, label=short(name)) for name, colour in groups.items()]


def _shapes(kinds: list[str]) -> list[Line2D]:
    return [Line2D([], [], ls="", marker=SHAPES[kind], color="#6b6b6b", mfc="none", label=kind) for kind in kinds]
