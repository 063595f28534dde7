"""The results of a screen, opened for a notebook: tables as polars, effects and cells as AnnData, plots as figures."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import polars as pl

from screening.errors import ResultsError
from screening.notebook.shown_errors import shown

if TYPE_CHECKING:
    from anndata import AnnData

    from actors.blobs import Blobs
    from screening.following_up.evidence_page import EvidencePage
    from screening.notebook.screen_plots import ScreenPlots
    from screening.publishing.published_campaign import PublishedCampaign

DECISIONS = ("hit", "not", "undecided", "failed", "refused")
_PARQUET = ".parquet"


class Screen:
    """A screen that ran, as it stands where it was published; open it again to see a newer version.

    Made by `screening.screen` and `screening.open_results`.
    """

    def __init__(self, published: PublishedCampaign, blobs: Blobs) -> None:
        self._published, self._blobs = published, blobs
        self._tables: dict[str, pl.DataFrame] = {}

    @classmethod
    def open(cls, url: str) -> Screen:
        """Read ranked table, manifest and plan; further tables are read when they are asked for.

        Raises
        ------
        ResultsError, StoreError
            If there are no results of a screen, or they can't be read.
        """
        from screening.publishing.publication import open_results
        from screening.publishing.published_campaign import read_campaign

        return cls(read_campaign(url), open_results(url))

    @property
    def url(self) -> str:
        """Where the results are."""
        return self._published.url

    @property
    def question(self) -> str:
        """The objective in words."""
        return str(self._published.manifest["question"])

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Content of ``manifest.json``: run, model and its digest, gates, versions, files with their digests."""
        return MappingProxyType(dict(self._published.manifest))

    @property
    def plan(self) -> Mapping[str, Any]:
        """Content of ``plan.json`` without its conditions and blocks."""
        return MappingProxyType(dict(self._published.plan))

    @property
    def campaign(self) -> Mapping[str, Any]:
        """Content of ``campaign.yaml``, every default written out."""
        return MappingProxyType(dict(self._published.spec))

    @shown
    def hits(
        self,
        *,
        context: str | Iterable[str] | None = None,
        decision: str | Iterable[str] | None = None,
        top: int | None = None,
    ) -> pl.DataFrame:
        """Return the ranked table, best first (docs/hit-table.md says what each column means).

        Parameters
        ----------
        context
            A factor's value (``"B cells"``) or a whole context; of several, the rows of any of them.
        decision
            ``hit``, ``not``, ``undecided``, ``failed`` or ``refused``; or several of them.
        top
            Only the best rows of these.

        Raises
        ------
        ResultsError
            If the context is not in these results, or there is no such decision.
        """
        from screening.publishing.publication import filter_hits

        wanted = _listed(decision)
        if unknown := [each for each in wanted if each not in DECISIONS]:
            raise ResultsError(f"no decision {unknown[0]!r}; there are: {', '.join(DECISIONS)}")
        rows = filter_hits(self._published.hits, _listed(context), None)
        if wanted:
            rows = rows.filter(pl.col("decision").is_in(wanted))
        return rows if top is None else rows.head(top)

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the published tables, for `table`."""
        files = self._published.manifest.get("files", {})
        return tuple(sorted(name.removesuffix(_PARQUET) for name in files if name.endswith(_PARQUET)))

    @shown
    def table(self, name: str) -> pl.DataFrame:
        """Return a published table: ``doses``, ``evidence``, ``null``, …; `tables` lists what there is.

        Raises
        ------
        ResultsError
            If this screen has no such table.
        """
        if name not in self.tables:
            raise ResultsError(f"{self.url}: no table {name!r}; there are: {', '.join(self.tables)}")
        if name not in self._tables:
            from screening.publishing.publication import read_table

            self._tables[name] = read_table(self._blobs, name + _PARQUET, ())
        return self._tables[name]

    @shown
    def effects(self) -> AnnData:
        """Return the effects of single genes, conditions × genes, in log1p counts per 10k (docs/results.md).

        Raises
        ------
        ResultsError
            If the screen has none: every condition failed.
        """
        import anndata

        from actors.errors import BlobNotFound
        from screening.publishing.publication import EFFECTS, read_published

        try:
            data = read_published(self._blobs, EFFECTS)
        except BlobNotFound as error:
            raise ResultsError(f"{self.url}: no {EFFECTS} here: every condition failed, see `hits()`") from error
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / EFFECTS
            path.write_bytes(data)
            return anndata.read_h5ad(path)

    @shown
    def cells(self) -> AnnData:
        """Return the drawn cells, raw counts, controls included.

        Raises
        ------
        ResultsError
            If the campaign didn't keep them.
        """
        from screening.folding.cells_export import read_cells

        if not self._published.manifest.get("cells"):
            cure = "set `estimator: {kind: sampled, store_cells: true}` and run it again, or use screening.draw_cells"
            raise ResultsError(f"{self.url}: this screen kept no cells; {cure}")
        return read_cells(self._blobs)

    @shown
    def evidence(self, perturbation: str, context: str | Iterable[str] | None = None) -> EvidencePage:
        """Return what speaks for a condition and against it: the best-ranked one that fits.

        Parameters
        ----------
        perturbation
            As the table of hits names it.
        context
            A factor's value or a whole context.

        Raises
        ------
        ResultsError
            If there is no such condition, or no evidence of it.
        """
        from screening.following_up.evidence_page import read_evidence

        return read_evidence(self.url, perturbation, _listed(context))

    @cached_property
    def plot(self) -> ScreenPlots:
        """The plots: ``screen.plot.rank()``, and so on."""
        from screening.notebook.screen_plots import ScreenPlots

        return ScreenPlots(self)

    def __repr__(self) -> str:
        """Say what it is in a line."""
        return f"<Screen {self._published.manifest.get('campaign', '')!r}: {self.question}; {self.counts}; {self.url}>"

    def _repr_html_(self) -> str:
        from screening.notebook.notebook_html import screen_html

        return screen_html(self)

    @property
    def counts(self) -> str:
        """How many conditions there are, and how many of each decision."""
        found = self._published.hits
        if "decision" not in found.columns:
            return f"{found.height:,} conditions"
        counts = dict(found["decision"].value_counts().iter_rows())
        return f"{found.height:,} conditions: " + ", ".join(
            f"{counts[each]:,} {each}" for each in DECISIONS if each in counts
        )


def _listed(value: str | Iterable[str] | None) -> list[str]:
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)
