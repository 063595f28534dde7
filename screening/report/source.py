"""What a report is made of: the published campaign, its further tables, the day it was published, the model's card."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from actors.blobs import Blobs
from actors.history import History
from screening.answers import pan_context, patients, selective
from screening.answers.across_contexts import PAN_CONTEXT, PATIENTS, SELECTIVE
from screening.answers.dose_response import COLUMNS as DOSE_COLUMNS
from screening.answers.dose_response import DOSES
from screening.answers.interactions import COLUMNS as INTERACTION_COLUMNS
from screening.answers.interactions import INTERACTIONS
from screening.answers.safety import COLUMNS as SAFETY_COLUMNS
from screening.answers.safety import SAFETY
from screening.errors import CardError
from screening.following_up.evidence_columns import CONDITION_COLUMNS, EVIDENCE, EVIDENCE_ITEMS, ITEM_COLUMNS
from screening.models.model_card import read_card
from screening.publishing.publication import NULL, location, open_results, read_table
from screening.publishing.published_campaign import PublishedCampaign, read_campaign

TABLES: Mapping[str, Iterable[str]] = {
    NULL: ("perturbation", "context", "status", "score"),
    DOSES: tuple(DOSE_COLUMNS),
    EVIDENCE: tuple(CONDITION_COLUMNS),
    EVIDENCE_ITEMS: tuple(ITEM_COLUMNS),
    SAFETY: tuple(SAFETY_COLUMNS),
    INTERACTIONS: tuple(INTERACTION_COLUMNS),
    PAN_CONTEXT: tuple(pan_context.COLUMNS),
    SELECTIVE: tuple(selective.COLUMNS),
    PATIENTS: tuple(patients.COLUMNS),
}
"""Further tables that a report shows, with the columns that it needs."""


@dataclass(frozen=True)
class CardFound:
    """A model card that was looked for: its content, or why there is none to show."""

    content: Mapping[str, Any] | None
    reason: str = ""


@dataclass(frozen=True)
class ReportSource:
    """Everything that a report tells.

    Attributes
    ----------
    campaign
        The results as they were published.
    tables
        Further tables by the name of their file, those that there are.
    created
        When this version was published (ISO 8601); empty where the results are a copy without their ledger.
    cards
        The cards of the models, by their folder.
    """

    campaign: PublishedCampaign
    tables: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    created: str = ""
    cards: Mapping[str, CardFound] = field(default_factory=dict)

    @property
    def hits(self) -> pl.DataFrame:
        """The ranked table."""
        return self.campaign.hits

    def table(self, name: str) -> pl.DataFrame:
        """Return a further table; an empty one where there is none."""
        return self.tables.get(name, pl.DataFrame())


def read_source(url: str) -> ReportSource:
    """Read what a report is made of.

    Raises
    ------
    ResultsError
        If there are no results of a screen, or they can't be read.
    """
    campaign = read_campaign(url)
    blobs = open_results(url)
    files = campaign.manifest.get("files") or {}
    tables = {name: read_table(blobs, name, columns) for name, columns in TABLES.items() if name in files}
    return ReportSource(campaign, tables, _created(blobs), _cards(campaign))


def _created(blobs: Blobs) -> str:
    published = History(blobs, patience_seconds=0).published()
    return "" if published is None else published.created


def _cards(campaign: PublishedCampaign) -> dict[str, CardFound]:
    """Look for the cards that the run went by; the model may be elsewhere by now, which is no mistake."""
    asked = campaign.spec["model"]
    folders = [asked] if isinstance(asked, str) else list(asked)
    known = campaign.manifest.get("model_card")
    digests = known if isinstance(known, list) else [known]
    models = [member["digest"] for member in campaign.manifest.get("members", [])] or [
        campaign.manifest["model_digest"]
    ]
    if not len(digests) == len(folders) == len(models):
        reason = "the members of an ensemble have cards of their own, in their folders"
        return {folder: CardFound(None, reason) for folder in folders}
    return {folder: _card(*each) for folder, *each in zip(folders, folders, models, digests, strict=True)}


def _card(folder: str, model_digest: str, digest: str | None) -> CardFound:
    if digest is None:
        return CardFound(None, "the model had no card when it was screened; `lingshu card` writes one")
    try:
        card = read_card(location(folder), model_digest)
    except CardError as error:
        return CardFound(None, f"the card can't be shown: {error}")
    if card is None:
        return CardFound(None, f"the screen went by the card {digest[:12]}, which can't be found from here")
    if card.digest != digest:
        return CardFound(None, f"the screen went by the card {digest[:12]}, and another one is there now")
    return CardFound(card.content)
