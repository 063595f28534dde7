"""Scores of a model card, out of the results of ``lingshu evaluate``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from screening.errors import CardError
from screening.json_file import read_json_file

FACTS = "evaluation.json"
_SUMMARY = ("metric", "units", "mean", "mean_low", "mean_high", "better")


def scores_of(evaluation: str, model_digest: str, trained_like: str | None = None) -> dict[str, Any]:
    """Return what an evaluation found of a model.

    Parameters
    ----------
    evaluation
        Folder or URL of its results.
    model_digest
        The model.
    trained_like
        Name of a model of the evaluation that was trained in the same way: its scores are taken, and the card says so.

    Raises
    ------
    CardError
        If there are no results, or the model is not among those that were scored.
    """
    facts = _read(f"{evaluation.rstrip('/')}/{FACTS}")
    try:
        return _scores(evaluation, facts, model_digest, trained_like)
    except (KeyError, TypeError) as error:
        raise CardError(
            f"{evaluation}/{FACTS}: lacks {error}; evaluate again with this version of lingshu-screen"
        ) from error


def _read(name: str) -> Mapping[str, Any]:
    try:
        facts = read_json_file(name)
    except ValueError as error:
        raise CardError(f"{name}: is no JSON ({error}); evaluate again") from error
    except OSError as error:
        raise CardError(f"{name}: {error}") from error
    if not isinstance(facts, dict):
        raise CardError(f"{name}: no results of an evaluation here; give the `output:` of one that ran")
    return facts


def _scores(evaluation: str, facts: Mapping[str, Any], model_digest: str, trained_like: str | None) -> dict[str, Any]:
    name, of = _scored_model(evaluation, facts, model_digest, trained_like)
    verdict = next((each["words"] for each in facts["verdicts"] if each["model"] == name), "")
    return {
        "evaluation": evaluation,
        "name": facts["name"],
        "facts_digest": hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest(),
        "model": name,
        "of": of,
        "data": facts["data"],
        "split": facts["split"],
        "leaks": facts["leaks"],
        "verdict": verdict or f"No verdict on {name}.",
        "summary": [
            {column: row.get(column) for column in _SUMMARY} for row in facts["summary"] if row["model"] == name
        ],
    }


def _scored_model(
    evaluation: str, facts: Mapping[str, Any], model_digest: str, trained_like: str | None
) -> tuple[str, str]:
    """Return the name of the model in the evaluation, and whether it is this one."""
    runs = facts["models"]
    names = list(dict.fromkeys(run["model"] for run in runs))
    if trained_like is not None:
        if trained_like not in names:
            raise CardError(f"{evaluation}: scored no {trained_like!r}; it scored: {', '.join(names)}")
        return (
            trained_like,
            f"scores of {trained_like}, which was trained as this model was, on parts of the cells",
        )
    own = [run["model"] for run in runs if run.get("digest") == model_digest]
    if not own:
        raise CardError(
            f"{evaluation}: the model {model_digest[:12]} is not among those that were scored ({', '.join(names)}); if"
            " one of them was trained in the same way, name it with --trained-like"
        )
    return own[0], "scores of this very model"
