"""Where a result comes from: versions, digests, seeds, settings of the computation, dates, files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from screening.report.source import ReportSource
from screening.report.wording import NONE, count


@dataclass(frozen=True)
class Provenance:
    """Terms with their values, and the files of the version with size and SHA-256."""

    facts: tuple[tuple[str, str], ...]
    files: tuple[tuple[str, str, str], ...]


def provenance(source: ReportSource) -> Provenance:
    """Say where a result comes from."""
    files = source.campaign.manifest.get("files") or {}
    rows = ((name, f"{file['size']:,}", str(file["sha256"])) for name, file in files.items())
    return Provenance(tuple(_facts(source)), tuple(rows))


def day(moment: str) -> str:
    """Write a moment (ISO 8601) as a date with hour and minute in UTC; as it is, where it is none."""
    try:
        parsed = datetime.fromisoformat(moment)
    except ValueError:
        return moment
    return parsed.astimezone(UTC).strftime("%-d %B %Y, %H:%M UTC")


def _facts(source: ReportSource) -> Iterator[tuple[str, str]]:
    manifest, spec = source.campaign.manifest, source.campaign.spec
    yield "Results", source.campaign.url
    yield "Published", day(source.created) if source.created else "not recorded: a copy without its ledger"
    yield "Run", manifest["run_id"]
    yield "Model", f"{_models(spec['model'])} ({manifest['model_digest']})"
    for member in manifest.get("members", []):
        yield "Member", f"{member['name']} ({member['digest']})"
    card = manifest.get("model_card")
    yield "Model card", ", ".join(filter(None, card)) if isinstance(card, list) else card or "none"
    yield "Paths", str(manifest.get("paths") or NONE)
    yield "Estimator", _estimator(spec["estimator"])
    yield "Seed", str(spec["seed"])
    yield "Allocation", _allocation(spec)
    yield "Genes", f"panel {source.campaign.plan.get('panel_digest', NONE)}"
    yield "Versions", ", ".join(f"{name} {version}" for name, version in manifest.get("versions", {}).items())
    yield "Cache", str(spec.get("cache") or "none: blocks lie in the results")


def _models(model: Any) -> str:
    return model if isinstance(model, str) else ", ".join(map(str, model))


def _allocation(spec: Any) -> str:
    precision = spec["estimator"].get("precision")  # older campaigns have none
    return str(spec.get("allocation", {}).get("kind", "uniform")) if precision is None else f"precision {precision:g}"


def _estimator(estimator: Any) -> str:
    return (
        f"{estimator['kind'].replace('_', ' ')}, T = {estimator['steps']} {estimator['schedule']} steps,"
        f" w = {estimator['guidance']:g}, {count(estimator['shards'], 'shard')} ×"
        f" {count(estimator['depth_strata'], 'cell')}, prior {estimator['prior']}"
    )
