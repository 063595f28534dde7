"""A campaign as its results tell it: ranked table, manifest, head of the plan, and the file as it was resolved."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from actors.blobs import Blobs
from actors.errors import BlobNotFound
from campaigns.errors import CampaignError
from campaigns.yaml_source import parse_yaml
from screening.errors import ResultsError
from screening.publishing.publication import CAMPAIGN, MANIFEST, PLAN, open_results, read_hits, read_published

_BLOCKS, _CONDITIONS = b',\n"blocks":[', b',\n"conditions":['
_ENTRIES: Mapping[str, type | tuple[type, ...]] = {"run_id": str, "model_digest": str, "question": str}
"""What every manifest of a screen has."""


@dataclass(frozen=True)
class PublishedCampaign:
    """What stands in a folder of results.

    Attributes
    ----------
    url
        Where, as it was given.
    hits
        The ranked table.
    manifest
        Content of ``manifest.json``.
    plan
        Content of ``plan.json`` without its conditions and blocks.
    spec
        Content of ``campaign.yaml``, every default written out.
    """

    url: str
    hits: pl.DataFrame
    manifest: Mapping[str, Any]
    plan: Mapping[str, Any]
    spec: Mapping[str, Any]


def read_campaign(url: str) -> PublishedCampaign:
    """Read the version that stands in a folder of results.

    Raises
    ------
    ResultsError
        If there are no results of a screen, or they can't be read.
    """
    blobs = open_results(url)
    hits = read_hits(blobs)
    manifest = _object(_read(blobs, MANIFEST), f"{url}/{MANIFEST}")
    for name, kind in _ENTRIES.items():
        if not isinstance(manifest.get(name), kind):
            raise ResultsError(f"{url}/{MANIFEST}: not of a screen: it has no text {name!r}; give another folder")
    plan = _object(plan_head(_read(blobs, PLAN)), f"{url}/{PLAN}")
    if not isinstance(plan.get("objective"), dict):
        raise ResultsError(f"{url}/{PLAN}: not the plan of a screen: it has no objective; run the campaign again")
    return PublishedCampaign(url, hits, manifest, plan, _spec(_read(blobs, CAMPAIGN), f"{url}/{CAMPAIGN}"))


def plan_head(data: bytes) -> bytes:
    """Cut the conditions and blocks out of ``plan.json``: of a large screen they are half a gigabyte of text."""
    head, found, _ = data.partition(_CONDITIONS)
    return head.partition(_BLOCKS)[0] + b"}" if found else data


def _read(blobs: Blobs, name: str) -> bytes:
    try:
        return read_published(blobs, name)
    except BlobNotFound as error:
        text = "it has a table of hits, but not what it came from"
        raise ResultsError(f"{blobs.url}: no {name} here: {text}; give the `output:` of a campaign that ran") from error


def _object(data: bytes, where: str) -> dict[str, Any]:
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ResultsError(f"{where}: not JSON ({error}); run the campaign again") from error
    if not isinstance(content, dict):
        raise ResultsError(f"{where}: not a JSON object; run the campaign again")
    return content


def _spec(data: bytes, where: str) -> dict[str, Any]:
    try:
        content = parse_yaml(data, where).data
    except CampaignError as error:
        raise ResultsError(f"{where}: damaged ({' '.join(str(error).split())}); run the campaign again") from error
    if not isinstance(content, dict) or content.get("kind") != "screen":
        raise ResultsError(f"{where}: not a `kind: screen` file; give the `output:` of a screen")
    return content
