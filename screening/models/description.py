"""``lingshu describe``: what a named configuration would be, and what a trained model is.

A description is plain data, so that ``--json`` prints all of it; the text keeps the longest lists short.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from campaigns.plan import ensemble_digest
from lingshu_core.checkpoint import Checkpoint, CheckpointHeader, is_baseline, load_checkpoint, load_header
from lingshu_core.denoiser import CONFIGURATIONS, Denoiser, DenoiserConfig, configuration
from lingshu_core.errors import ConfigurationError
from lingshu_core.parameter_count import PUBLISHED_GENES, build_shape, count_parameters
from lingshu_core.predictor import open_predictor
from lingshu_core.vocabulary import Vocabulary
from screening.models.card_text import privacy_lines, verdict_counts
from screening.models.model_card import read_card
from screening.planning.ensemble_file import EnsembleMember, read_ensemble

Description = dict[str, Any]
MOST_SHOWN = 12
"""Names of a list that the text shows; ``--json`` has all."""


def describe_model(what: str, genes: int | None = None, patch_size: int | None = None) -> Description:
    """Describe a named configuration or a checkpoint.

    Parameters
    ----------
    what
        Name of a configuration, or folder or URL of a checkpoint. A folder with the name of a configuration is
        written ``./paper``.
    genes, patch_size
        Size of a configuration: number of genes (18,080 by default) and genes per patch.

    Raises
    ------
    CheckpointError, CardError
        If the checkpoint can't be used, or the model card beside it can't be trusted.
    ConfigurationError
        If it is neither, or a size is given for a checkpoint, which has its own, or the configuration has no such size.
    """
    if what in CONFIGURATIONS:
        overrides = {} if patch_size is None else {"patch_size": patch_size}
        return _configuration(what, configuration(what, overrides), genes or PUBLISHED_GENES)
    if genes is not None or patch_size is not None:
        raise ConfigurationError(
            f"{what}: --genes and --patch-size are for a configuration ({', '.join(CONFIGURATIONS)}); a trained model"
            " has its own"
        )
    if what.isidentifier() and not Path(what).exists():
        raise ConfigurationError(
            f"{what!r} is neither a configuration ({', '.join(CONFIGURATIONS)}) nor the folder of a checkpoint"
        )
    members = read_ensemble(what)
    if members is not None:
        return _ensemble(what, members)
    header = load_header(what)
    found = _baseline(what, header) if is_baseline(header.card) else _checkpoint(what, load_checkpoint(what))
    return {**found, "model_cards": [_model_card(what, header)]}


def _model_card(folder: str, header: CheckpointHeader) -> Description | None:
    card = read_card(folder, header.digest)
    return None if card is None else {"sha256": card.digest, **card.content}


def _configuration(name: str, config: DenoiserConfig, genes: int) -> Description:
    return {"configuration": name, "genes": genes, **_shape(build_shape(config, genes))}


def _shape(denoiser: Denoiser) -> Description:
    """Describe what every denoiser has: paths, settings, tokens of the transformer, parameters."""
    config, counted = denoiser.config, count_parameters(denoiser)
    return {
        "paths": config.paths,
        "settings": config.to_json(),
        "patch_tokens": denoiser.backbone.patches if denoiser.backbone else None,
        "parameters": {"trained": counted.trained, "by_part": dict(counted.parts), "switched_off": counted.unused},
    }


def _baseline(folder: str, header: CheckpointHeader) -> Description:
    """Describe a baseline: what it is, and what it has in common with every checkpoint."""
    card = open_predictor(folder).header.card  # reads and checks all files, as for a cell model
    return {
        "checkpoint": folder,
        "digest": header.digest,
        "baseline": card["kind"],
        "paths": card["paths"],
        "settings": card["settings"],
        "choices": card["choices"],
        "low_rank": card["low_rank"],
        **({"plugin": card["plugin"]} if card.get("plugin") else {}),
        **_known(header),
    }


def _checkpoint(folder: str, checkpoint: Checkpoint) -> Description:
    name, changed = nearest_configuration(checkpoint.denoiser.config)
    return {
        "checkpoint": folder,
        "digest": checkpoint.digest,
        "configuration": name,
        "overrides": changed,
        **_shape(checkpoint.denoiser),
        **_known(checkpoint),
    }


def _known(header: CheckpointHeader) -> Description:
    """Describe what every checkpoint has: where it comes from, and what it has words for."""
    card, words = header.card, header.vocabulary
    return {
        "data": {key: card.get(key) for key in ("data", "data_digest", "cells", "held_out", "licence", "source")},
        "genes": len(words.genes),
        "contexts": [asdict(context) for context in words.contexts],
        "factors": {factor: list(values) for factor, values in words.factors.items()},
        "control": words.control,
        "perturbations": _perturbations(words),
        "pseudo_perturbations": list(words.pseudo),
        "described": dict(Counter(words.described.values())),
        "features": card.get("features", []),
        "adapted": card.get("adapted", []),
        "training": card.get("training", {}),
        "history": card.get("history", []),
        "versions": card.get("versions", {}),
    }


def _ensemble(folder: str, members: Sequence[EnsembleMember]) -> Description:
    """Describe the members one by one, and once what they share."""
    places = [f"{folder.rstrip('/')}/{member.folder}" for member in members]
    headers = [load_header(place) for place in places]
    return {
        **_checkpoint(places[0], load_checkpoint(places[0])),
        "ensemble": folder,
        "digest": ensemble_digest(member.digest for member in members),
        "members": [
            {**asdict(member), "validation_loss": _best_loss(header.card.get("history", []))}
            for member, header in zip(members, headers, strict=True)
        ],
        "model_cards": [_model_card(place, header) for place, header in zip(places, headers, strict=True)],
    }


def _best_loss(history: Iterable[Mapping[str, float]]) -> float | None:
    return min((epoch["validation_loss"] for epoch in history if "validation_loss" in epoch), default=None)


def _perturbations(words: Vocabulary) -> dict[str, dict[str, int]]:
    """Return the cells of every perturbation, by type."""
    by_type: dict[str, dict[str, int]] = {}
    for label, seen in words.perturbations.items():
        by_type.setdefault(seen.type, {})[label] = seen.cells
    return by_type


def nearest_configuration(config: DenoiserConfig) -> tuple[str, dict[str, Any]]:
    """Return the named configuration that a model's settings differ least from, and the settings that differ."""
    wanted = _flat(config)
    differences = {
        name: {key: value for key, value in wanted.items() if _flat(known).get(key) != value}
        for name, known in CONFIGURATIONS.items()
        if (known.backbone is None) == (config.backbone is None)
    }
    nearest = min(differences, key=lambda name: len(differences[name]))
    return nearest, differences[nearest]


def _flat(config: DenoiserConfig) -> dict[str, Any]:
    content = config.to_json()
    backbone = content.pop("backbone") or {}
    return {**content, **backbone}


def render_description(description: Mapping[str, Any]) -> str:
    """Write a description as text, one thing a line."""
    width = max(len(label) for label, _ in _lines(description))
    return "\n".join(f"{label:<{width}}  {text}".rstrip() for label, text in _lines(description))


def _lines(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if "ensemble" in found:
        yield "ensemble", found["ensemble"]
        yield "digest", found["digest"]
        for member in found["members"]:
            loss = (
                "" if member["validation_loss"] is None else f", best validation loss {member['validation_loss']:.4f}"
            )
            yield f"  {member['folder']}", f"seed {member['seed']}, {member['digest'][:12]}{loss}"
        yield "first member", found["checkpoint"]
    elif "checkpoint" in found:
        yield "checkpoint", found["checkpoint"]
        yield "digest", found["digest"]
    if "baseline" in found:
        yield from _baseline_lines(found)
        return
    changed = ", ".join(f"{name}: {value}" for name, value in found.get("overrides", {}).items())
    yield "configuration", f"{found['configuration']}{f' with {changed}' if changed else ''}"
    yield "paths", found["paths"]
    yield from _shape_lines(found)
    yield from _parameter_lines(found["parameters"])
    if "checkpoint" in found:
        yield from _card_lines(found)


def _baseline_lines(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "baseline", f"{found['baseline']}: means of real cells, no network"
    yield "settings", ", ".join(f"{name} {value}" for name, value in found["settings"].items())
    for kind, (value, error) in found["choices"].items():
        name = "neighbours" if found["baseline"] == "knn" else "ridge strength"
        chosen = "infinite" if value < 0 else f"{value:g}"
        yield f"  features, kind {kind}", f"{name} {chosen}; error {error:.2f} of the mean's, leaving one out"
    if found["low_rank"]:
        yield "  low rank", f"rank {found['low_rank']['rank']}, penalty {found['low_rank']['penalty']:g} cells"
    yield "genes", f"{found['genes']:,}"
    yield from _card_lines(found)


def _shape_lines(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "genes", f"{found['genes']:,}"
    backbone = found["settings"]["backbone"]
    if backbone is None:
        yield "transformer", "none"
        return
    yield (
        "transformer",
        f"{backbone['blocks']} blocks, width {backbone['width']}, {backbone['heads']} heads,"
        f" SwiGLU {backbone['feed_forward']:,}",
    )
    yield "patches", f"{backbone['patch_size']} genes each: {found['patch_tokens']:,} tokens a cell, and the prefix"


def _parameter_lines(parameters: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "parameters", f"{parameters['trained']:,} ({parameters['trained'] / 1e6:.1f}M)"
    for part, count in parameters["by_part"].items():
        yield f"  {part}", f"{count:,} ({count / 1e6:.1f}M)"
    if parameters["switched_off"]:
        yield "  switched off", f"{parameters['switched_off']:,}, of paths that are not used"


def _card_lines(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    data = found["data"]
    yield "data", f"{data['data']} ({data['cells'] or 0:,} cells, sha256 {str(data['data_digest'])[:12]})"
    if data["held_out"] not in ("", "[]", None):
        yield "held out", data["held_out"]
    yield "licence", data["licence"]
    yield "source", data["source"]
    yield from _word_lines(found)
    yield from _training_lines(found)
    yield "versions", ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    for card in found["model_cards"]:
        yield from _measured_lines(card)


def _measured_lines(card: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    """Say what the model card says, in short."""
    if card is None:
        yield "model card", "none; `lingshu card` compares the model's cells with real ones and writes it"
        return
    yield "model card", f"of {card['model_digest'][:12]}, sha256 {card['sha256'][:12]}"
    gates = card["gates"] or []
    for title, chosen in (
        ("  gates of controls", [gate for gate in gates if not gate["parts"]]),
        ("  of perturbed cells", [gate for gate in gates if gate["parts"]]),
    ):
        if chosen:
            yield title, verdict_counts(chosen)
    for line in privacy_lines(card["privacy"]) if card["privacy"] else ():
        yield "  privacy", line
    if card["scores"]:
        yield "  scores", f"{card['scores']['of']}: {card['scores']['verdict']}"
    for limit in card["limits"]:
        yield "  limit", limit


def _word_lines(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for factor, values in found["factors"].items():
        yield factor, _some(values)
    controls = sum(context["control_cells"] for context in found["contexts"])
    yield "contexts", f"{len(found['contexts']):,}, with {controls:,} cells of {found['control']!r}"
    for kind, cells in found["perturbations"].items():
        most_first = [name for name, _ in Counter(cells).most_common()]
        yield kind, f"{len(cells):,} perturbations, {sum(cells.values()):,} cells: {_some(most_first)}"
    if found["pseudo_perturbations"]:
        cells = sum(sum(context["pseudo_cells"].values()) for context in found["contexts"])
        count = len(found["pseudo_perturbations"])
        yield "null", f"{count:,} pseudo-perturbations, {cells:,} of the control cells"
    if found["described"]:
        yield "features of", ", ".join(f"{count:,} {kind}" for kind, count in found["described"].items())
    for origin in found["features"]:
        file = f"{origin['file']} (sha256 {origin['sha256'][:12]}, {origin['licence']})" if origin["file"] else ""
        yield f"  {origin['kind']}", f"{origin['names']:,} names in {origin['dimensions']} dimensions {file}".rstrip()
    for step in found["adapted"]:
        values = "; ".join(f"{factor} {_some(new)}" for factor, new in step["values"].items()) or "new combinations"
        yield "added later", f"{values}, from {step['cells']:,} control cells of {step['data']}"


def _training_lines(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    history, training = found["history"], found["training"]
    if history:
        lowest = _best_loss(history)
        best = "" if lowest is None else f", best validation loss {lowest:.4f}"
        yield "trained", f"{len(history)} epochs, loss {history[-1]['loss']:.4f}{best} nats per gene"
    shown = ("batch_size", "learning_rate", "weight_decay", "balance", "few_visible", "seed")
    if training:
        yield "training", ", ".join(f"{name} {training[name]:g}" for name in shown if name in training)


def _some(names: Iterable[str]) -> str:
    known = list(names)
    more = f" and {len(known) - MOST_SHOWN:,} more" if len(known) > MOST_SHOWN else ""
    return ", ".join(known[:MOST_SHOWN]) + more
