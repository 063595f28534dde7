"""A model card in words, as Markdown that reads as plain text too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

VERDICTS = ("pass", "warn", "fail", "undecided", "not measured")
MOST_ROWS = 40


def render_card(content: Mapping[str, Any]) -> str:
    """Write a card in words."""
    return "\n".join(_lines(content))


def _lines(content: Mapping[str, Any]) -> Iterator[str]:
    yield f"# Model card of {content['model_digest'][:12]}"
    yield ""
    yield f"The model with the digest `{content['model_digest']}`."
    for title, part in (
        ("Limits", _limits),
        ("Gates", _gates),
        ("Privacy", _privacy),
        ("Scores", _scores),
        ("Data", _data),
        ("Training", _training),
    ):
        yield from ("", f"## {title}", "", *part(content))


def _limits(content: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"- {limit}" for limit in content["limits"])


def _gates(content: Mapping[str, Any]) -> Iterator[str]:
    gates = content["gates"]
    if gates is None:
        yield "Not measured. `lingshu card MODEL --data cells.h5ad` compares the model's cells with real ones."
        return
    yield _measured(content["measured"])
    for title, chosen in (
        ("Controls", [gate for gate in gates if not gate["parts"]]),
        ("Perturbed cells", [gate for gate in gates if gate["parts"]]),
    ):
        if chosen:
            yield from ("", f"{title}: {verdict_counts(chosen)}.", "", *_gate_table(chosen))


def _measured(measured: Mapping[str, Any]) -> str:
    sampler = measured["sampler"]
    which = {True: "the training's cells among them", False: "not the cells of the training"}[measured["of_training"]]
    return (
        f"Measured on {measured['cells']:,} real cells ({', '.join(measured['data'])}, {which}), with"
        f" {sampler['steps']} {sampler['schedule']} steps, guidance {sampler['guidance']:g}, seed {measured['seed']}."
    )


def verdict_counts(gates: Sequence[Mapping[str, Any]]) -> str:
    """Say how many gates there are of each verdict."""
    counted = Counter(gate["verdict"] for gate in gates)
    return ", ".join(f"{counted[verdict]:,} {verdict}" for verdict in VERDICTS if counted[verdict])


def _gate_table(gates: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a table, the worst first; gates that were not decided are counted above and left out."""
    order = {verdict: place for place, verdict in enumerate(("fail", "warn", "pass"))}
    decided = sorted((gate for gate in gates if gate["verdict"] in order), key=lambda gate: order[gate["verdict"]])
    if not decided:
        return
    yield "| cells | real cells | compared | gate | why |"
    yield "|---|---|---|---|---|"
    for gate in decided[:MOST_ROWS]:
        yield f"| {gate_name(gate)} | {gate['cells']:,} | {gate['compared']:,} | {gate['verdict']} | {gate['reason']} |"
    if len(decided) > MOST_ROWS:
        yield ""
        yield f"And {len(decided) - MOST_ROWS:,} more in `model_card.json`."


def gate_name(gate: Mapping[str, Any]) -> str:
    """Name the cells of a gate."""
    where = ", ".join(gate["context"].values()) or "all cells"
    unseen = "" if gate["trained"] else " (no training cell)"
    return (f"{gate['perturbation']} in {where}" if gate["parts"] else where) + unseen


def _privacy(content: Mapping[str, Any]) -> Iterator[str]:
    privacy = content["privacy"]
    if privacy is None:
        yield "Not measured. It needs the training's cells: `lingshu card MODEL --data cells.h5ad`."
        return
    yield from (f"- {line}" for line in privacy_lines(privacy))


def privacy_lines(privacy: Mapping[str, Any]) -> Iterator[str]:
    """Say a line a measure."""
    titles = {
        "membership": "donor-level membership inference, area under the curve",
        "distance_ratio": "distance to training cells over distance to held-out donors",
        "duplicates": "exact duplicates of training cells",
    }
    for name, title in titles.items():
        measure = privacy[name]
        if measure["value"] is None:
            yield f"{title}: {measure['words']}"
            continue
        number = f"{measure['value']:,.0f}" if name == "duplicates" else f"{measure['value']:.2f}"
        interval = "" if measure["low"] is None else f" (90 % interval {measure['low']:.2f}–{measure['high']:.2f})"
        yield f"{title}: {number}{interval}; {measure['words']}"


def _scores(content: Mapping[str, Any]) -> Iterator[str]:
    scores = content["scores"]
    if scores is None:
        yield "None. `lingshu card MODEL --evaluation RESULTS` takes those of `lingshu evaluate`."
        return
    yield f"Evaluation {scores['name']!r} ({scores['evaluation']}), split {scores['split']['kind']}: {scores['of']}."
    yield ""
    yield scores["verdict"]
    yield ""
    yield "| metric | mean | 95 % interval | over |"
    yield "|---|---|---|---|"
    for row in scores["summary"]:
        if row["mean"] is not None:
            interval = "" if row["mean_low"] is None else f"{row['mean_low']:.3f} to {row['mean_high']:.3f}"
            yield f"| {row['metric']} | {row['mean']:.3f} | {interval} | {row['units']} |"


def _data(content: Mapping[str, Any]) -> Iterator[str]:
    data = content["data"]
    yield f"- {data['cells']:,} cells of {data['path']} (sha256 {str(data['digest'])[:12]}), {data['genes']:,} genes"
    yield (
        f"- contexts: {data['contexts']:,} ({', '.join(data['factors']) or 'no factors'}), with"
        f" {data['control_cells']:,} control cells; perturbations: {data['perturbations']:,}"
    )
    held = [", ".join(f"{key} {_value(value)}" for key, value in match.items()) for match in data["held_out"]]
    yield f"- held out: {'; '.join(held) or 'nothing'}"
    yield f"- licence: {data['licence']}"
    yield f"- source: {data['source']}"


def _value(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _training(content: Mapping[str, Any]) -> Iterator[str]:
    training = content["training"]
    yield f"- {training['paths']}" + (f", {training['parameters']:,} parameters" if training["parameters"] else "")
    settings = ", ".join(f"{name} {value}" for name, value in training["settings"].items())
    if settings:
        yield f"- {settings}"
    if training["validation_loss"] is not None:
        yield f"- best validation loss {training['validation_loss']:.4f} nats per gene, {training['epochs']} epochs"
    yield f"- {', '.join(f'{name} {version}' for name, version in training['versions'].items())}"
