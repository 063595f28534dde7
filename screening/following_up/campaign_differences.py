"""What is not the same in two campaigns: question, model, estimator, null, gates, grid, versions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from campaigns.errors import CampaignError
from lingshu_core.checkpoint import CheckpointHeader, load_header
from lingshu_core.errors import LingshuCoreError
from screening.planning.ensemble_file import read_ensemble
from screening.publishing.published_campaign import PublishedCampaign

SHOWN_DIGEST = 12
_HEAD = ("sampler_version", "panel_digest", "shards", "seed")
_MODEL = ("data", "data_digest", "cells", "held_out", "kind", "paths")


@dataclass(frozen=True)
class Difference:
    """One thing that is not the same; an empty text where one of the two doesn't have it."""

    what: str
    a: str
    b: str


def different_questions(a: PublishedCampaign, b: PublishedCampaign) -> str:
    """Say that two campaigns ask different questions; empty if they ask the same.

    It is the same question if the file asks in the same words, or if the same genes are to go the same ways.
    """
    asked, other = a.plan["objective"], b.plan["objective"]
    if _words(asked) == _words(other) or (_genes(asked) is not None and _genes(asked) == _genes(other)):
        return ""
    said = [str(each.manifest["question"]) for each in (a, b)]
    told = f"{a.url} asks for {said[0]!r} and {b.url} for {said[1]!r}"
    if said[0] == said[1]:  # the same words of other cells or files
        told = f"both say {said[0]!r}, but " + "; ".join(
            f"{each.what} is {each.a or 'not set'} in A and {each.b or 'not set'} in B"
            for each in _unlike("objective", _words(asked), _words(other))
        )
    return f"these are different questions, and scores of one say nothing of the other: {told}"


def _words(objective: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in objective.items() if name != "resolved"}


def _genes(objective: Mapping[str, Any]) -> tuple[Any, ...] | None:
    resolved = objective.get("resolved")
    if not isinstance(resolved, Mapping):
        return None
    ways = (sorted(resolved.get("up", ())), sorted(resolved.get("down", ())))
    return (objective.get("exclude_own_targets"), *ways)


def differences(a: PublishedCampaign, b: PublishedCampaign) -> tuple[Difference, ...]:
    """List what is not the same in two campaigns that ask the same question."""
    return (*_unlike("model", _model(a), _model(b)), *_trainings(a, b), *_settings(a, b))


def _settings(a: PublishedCampaign, b: PublishedCampaign) -> Iterator[Difference]:
    for name, of in _PARTS:
        yield from _unlike(name, of(a), of(b))


def _trainings(a: PublishedCampaign, b: PublishedCampaign) -> Iterator[Difference]:
    """Compare how two models were trained, where both still lie where they were screened."""
    if a.manifest["model_digest"] == b.manifest["model_digest"]:
        return
    found = (_training(a), _training(b))
    if any(isinstance(each, str) for each in found):
        yield Difference("model.training", *(each if isinstance(each, str) else "known" for each in found))
    else:
        yield from _unlike("model", *found)


def _unlike(name: str, a: Any, b: Any) -> Iterator[Difference]:
    """Go through two trees together, and yield the leaves that differ."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for key in dict.fromkeys([*a, *b]):
            yield from _unlike(f"{name}.{key}".strip("."), a.get(key), b.get(key))
    elif a != b:
        yield Difference(name, _shown(a), _shown(b))


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_shown(each)}" for key, each in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_shown, value))
    text = str(value)
    is_digest = len(text) == 64 and set(text) <= set("0123456789abcdef")
    return text[:SHOWN_DIGEST] if is_digest else text


def _model(campaign: PublishedCampaign) -> dict[str, Any]:
    manifest = campaign.manifest
    members = {each["name"]: each["digest"] for each in manifest.get("members", ())}
    return {"": campaign.spec.get("model"), "digest": manifest["model_digest"], "members": members or None}


def _training(campaign: PublishedCampaign) -> dict[str, Any] | str:
    """Return what the checkpoint says of its training; a word where the model isn't there any more."""
    try:
        header = _header(campaign)
    except (LingshuCoreError, CampaignError) as error:
        return f"not known: {' '.join(str(error).split())}"
    if header is None:
        return "not known: another model lies there by now"
    card = header.card
    features = [f"{each['kind']} ({each['perturbation_type']})" for each in card.get("features", ())]
    known = {name: card.get(name) for name in _MODEL}
    return {
        **known,
        **{name: card.get(name) or {} for name in ("configuration", "settings", "training")},
        "features": features,
        "pseudo_perturbations": len(header.vocabulary.pseudo),
        "perturbations": len(header.vocabulary.perturbations),
        "contexts": len(header.vocabulary.contexts),
    }


def _header(campaign: PublishedCampaign) -> CheckpointHeader | None:
    """Read the model, or the first member of the ensemble, where it still is the one that was screened."""
    model = campaign.spec.get("model")
    place = model if isinstance(model, str) else str((model or [""])[0])
    listed = read_ensemble(place) if isinstance(model, str) else None
    if listed:
        place = f"{place.rstrip('/')}/{listed[0].folder}"
    header = load_header(place)
    known = {campaign.manifest["model_digest"], *(each["digest"] for each in campaign.manifest.get("members", ()))}
    return header if header.digest in known else None


def _null(campaign: PublishedCampaign) -> dict[str, Any]:
    shown = ("blocks", "centre", "sd", "minimum_effect")
    found = campaign.manifest.get("null") or ()
    return {each["context"]: {name: each.get(name) for name in shown} for each in found}


def _head(campaign: PublishedCampaign) -> dict[str, Any]:
    return {name: campaign.plan.get(name) for name in _HEAD}


def _grid(campaign: PublishedCampaign) -> dict[str, Any]:
    hits = campaign.hits
    sizes = {"conditions": hits.height, "failed": int((hits["status"] != "done").sum())}
    return sizes | {"perturbations": hits["perturbation"].n_unique(), "contexts": sorted(hits["context"].unique())}


def _gates(campaign: PublishedCampaign) -> dict[str, Any]:
    counts = campaign.hits["gate"].value_counts() if "gate" in campaign.hits.columns else None
    verdicts = {} if counts is None else {str(gate): count for gate, count in sorted(counts.iter_rows(), key=str)}
    return {"card": campaign.manifest.get("model_card"), **verdicts}


_PARTS = (
    ("estimator", lambda campaign: campaign.spec.get("estimator")),
    ("allocation", lambda campaign: campaign.spec.get("allocation")),
    ("", _head),
    ("hits", lambda campaign: campaign.spec.get("hits")),
    ("null", _null),
    ("gates", _gates),
    ("grid", _grid),
    ("control cells", lambda campaign: _control_sets(campaign.plan)),
    ("versions", lambda campaign: campaign.manifest.get("versions")),
)


def _control_sets(plan: Mapping[str, Any]) -> dict[str, Any]:
    sets = plan.get("control_sets", ())
    return {", ".join(f"{name}={value}" for name, value in each["context"].items()): each["digest"] for each in sets}
