"""``lingshu new``: look at a file of cells and write a first campaign, commented, beside the schemas for an editor."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

from campaigns.json_schema import shipped_schema
from campaigns.source import load_screen, load_training
from screening.confounders import find_confounders
from screening.drafting.campaign_draft import CampaignDraft, Wishes, data_spec, draft
from screening.drafting.cell_file_survey import survey
from screening.drafting.draft_text import screen_text, training_text
from screening.errors import DraftError

TRAIN, SCREEN, SCHEMAS = "train.yaml", "screen.yaml", "schemas"


@dataclass(frozen=True)
class NewCampaign:
    """What was written, and what it was decided from."""

    files: tuple[Path, ...]
    draft: CampaignDraft


def new_campaign(
    data: str, folder: str | None = None, wishes: Wishes | None = None, name: str | None = None, *, force: bool = False
) -> NewCampaign:
    """Write ``train.yaml`` and ``screen.yaml`` for the cells of a file.

    Parameters
    ----------
    data
        An ``.h5ad`` or ``.zarr``, as the files will name it.
    folder
        Where the files go; by default a folder here, named like the data.
    wishes
        What the user has said of columns and question.
    name
        Of the campaign; by default that of the folder.
    force
        Whether files that are there are written over.

    Returns
    -------
    NewCampaign

    Raises
    ------
    DraftError
        If the cells can't be screened, or there are files already.
    DataError
        If a training would refuse the cells.
    CampaignError
        If the data lie at a place that a campaign can't name.
    """
    place = Path(folder if folder is not None else campaign_name(PurePath(data.rstrip("/")).stem))
    _refuse_existing(place, force)
    wishes = wishes or Wishes()
    made = draft(survey(data, wishes.layer), wishes)
    called = campaign_name(name or place.resolve().name)
    texts = {
        TRAIN: training_text(made, called, str(place), find_confounders(data_spec(made))),
        SCREEN: screen_text(made, called, str(place)),
        **{f"{SCHEMAS}/{kind}.json": shipped_schema(kind) for kind in ("train", "screen")},
    }
    files = _write(place, texts)
    # What was written is read as a user's file is: a mistake of ours is no file to go on with.
    load_training(place / TRAIN, {})
    load_screen(place / SCREEN, {})
    return NewCampaign(files, made)


def campaign_name(text: str) -> str:
    """Make a name that a campaign may have: letters, digits, dot, underscore and hyphen."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")[:80] or "campaign"


def _refuse_existing(place: Path, force: bool) -> None:
    there = [name for name in (TRAIN, SCREEN) if (place / name).exists()]
    if there and not force:
        raise DraftError(
            f"{place}: {' and '.join(there)} exist already; --force writes over them, or name another folder"
        )


def _write(place: Path, texts: Mapping[str, str]) -> tuple[Path, ...]:
    files = []
    for name, text in texts.items():
        file = place / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        files.append(file)
    return tuple(files)


def describe_new(made: NewCampaign) -> str:
    """Say what was found, what was unsure, what was written, and what comes next."""
    found = made.draft
    controls = int((found.obs["perturbation"] == found.control).sum())
    perturbations = found.obs["perturbation"].nunique() - 1
    train, screen = made.files[:2]
    notes = [f"  unsure: {part}: {note}" for part, notes in found.notes.items() for note in notes]
    return "\n".join(
        (
            f"{len(found.obs):,} cells × {len(found.survey.genes):,} genes in {len(found.contexts):,} contexts"
            f" ({' × '.join(found.context) or 'all cells'}); {perturbations:,} perturbation{'s' * (perturbations > 1)},"
            f" {controls:,} control cells ({found.columns['perturbation']} = {found.control})",
            *notes,
            f"wrote {train} and {screen}; their comments say what was decided and what else there is",
            f"next: lingshu train {train}; lingshu plan {screen} --pilot; lingshu run {screen}",
        )
    )
