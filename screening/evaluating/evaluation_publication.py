"""Results of an evaluation, written where its file says.

::

    output/
    ├── report.html, report.md, plots/   the verdict in words, tables, pictures; the page holds all of it by itself
    ├── scores.parquet                   metric × fold × model × seed × question
    ├── summary.parquet                  metric × model, with intervals
    ├── comparisons.parquet              metric × model × baseline: paired differences and verdicts
    ├── perturbations.parquet            question × model, a column per metric
    ├── runs.parquet, left_out.parquet   who was run on what, and what can't be scored, with reasons
    ├── coverage.parquet, abstention.parquet    of intervals, where they were asked for
    ├── effects.h5ad                     predicted and real effects, question × model
    ├── evaluation.json                  verdicts, summary and digests as plain data
    ├── evaluation.yaml, split.json, leaks.json  what was asked, and what was checked
    ├── manifest.json                    versions, and the digest of every file
    ├── models/<name>/<fold>/seed-<n>/   checkpoints
    ├── runs/<digest>/<version>/         the same files of every version; those above are copies of the one that stands
    └── ledger/                          HEAD, versions, commits and data of the units: what all of this is folded from
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import anndata
import numpy as np
import pandas as pd
import polars as pl

from actors.epoch import Epoch
from campaigns.source import dump_spec
from lingshu_core.cells import Cells
from lingshu_core.metric_catalogue import METRICS
from lingshu_core.splits import Split
from screening.evaluating.evaluation_plan import Evaluation
from screening.evaluating.evaluation_report import render_report
from screening.evaluating.evaluation_sections import Findings
from screening.evaluating.evaluation_tables import Tables
from screening.evaluating.leak_checker import LeakReport
from screening.folding.effect_matrix import LARGEST_EXPORT
from screening.publishing.publication import MANIFEST, anndata_to_bytes

FORMAT = 1
FACTS, EFFECTS = "evaluation.json", "effects.h5ad"
_LIBRARIES = ("lingshu-screen", "torch", "numpy", "scipy", "scikit-learn", "polars", "anndata")


def publish_evaluation(
    epoch: Epoch,
    evaluation: Evaluation,
    split: Split,
    cells: Cells,
    leaks: LeakReport,
    findings: Findings,
    commits: Mapping[str, str],
) -> dict[str, Any]:
    """Make the results the version that stands; ``manifest.json`` lists the digest of everything else.

    Parameters
    ----------
    commits
        Units that the results were made of, with the SHA-256 of their bytes.

    Returns
    -------
    The content of ``manifest.json``.

    Raises
    ------
    Fenced
        If another run has begun in this place since; nothing is published then.
    """
    markdown, page = render_report(findings)
    content = {
        "report.md": markdown.encode(),
        "report.html": page.encode(),
        **{f"plots/{name}": picture for name, picture in findings.pictures.items()},
        **{name: _parquet(table) for name, table in _tables(findings).items()},
        "evaluation.yaml": dump_spec(evaluation.spec).encode(),
        "split.json": json.dumps(split.to_json(cells)).encode(),
        "leaks.json": _json({"findings": leaks.as_data()}),
        FACTS: _json(facts(evaluation, split, cells, leaks, findings)),
    }
    effects = effect_table(findings, cells)
    if effects is not None:
        content[EFFECTS] = anndata_to_bytes(effects)
    manifest = {
        "format": FORMAT,
        "evaluation": evaluation.spec.name,
        "versions": {name: version(name).split("+")[0] for name in _LIBRARIES},
        "files": {
            name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in content.items()
        },
    }
    asked = hashlib.sha256(content["evaluation.yaml"] + content["split.json"]).hexdigest()
    epoch.publish(asked, {**content, MANIFEST: _json(manifest)}, commits, facts={"name": evaluation.spec.name})
    return manifest


def _tables(findings: Findings) -> dict[str, pl.DataFrame]:
    found = {**findings.tables.files(), "perturbations.parquet": perturbation_table(findings.tables)}
    uncertain = {"coverage.parquet": findings.coverage, "abstention.parquet": findings.abstention}
    return found | {name: table for name, table in uncertain.items() if table.width}


def perturbation_table(tables: Tables) -> pl.DataFrame:
    """Return a row per question and model, and a column per metric: means over the seeds."""
    keys = ["fold", "label", "perturbation", "context", "model", "role"]
    means = tables.scores.group_by([*keys, "metric"], maintain_order=True).agg(pl.col("value").mean())
    there = set(means["metric"])
    wide = means.pivot("metric", index=keys, values="value", maintain_order=True)
    return wide.select(*keys, *(name for name in METRICS if name in there))


def effect_table(findings: Findings, cells: Cells) -> anndata.AnnData | None:
    """Return predicted effects with the real ones beside them, (question × model, genes); None if they are too many.

    ``X`` and the layer ``real`` are in log1p counts per 10k; the layer ``counted`` tells which genes are scored.
    """
    rows = [
        (fold, label, model, effect)
        for fold, models in findings.effects.items()
        for model, labels in models.items()
        for label, effect in labels.items()
        if label in findings.truths[fold].answers
    ]
    if not rows or len(rows) * len(cells.genes) > LARGEST_EXPORT:
        return None
    answers = [findings.truths[fold].answers[label] for fold, label, _, _ in rows]
    table = pd.DataFrame([row[:3] for row in rows], columns=["fold", "label", "model"])
    table.index = table.index.astype(str)
    return anndata.AnnData(
        np.stack([row[3] for row in rows]).astype(np.float32),
        obs=table,
        var=pd.DataFrame(index=list(cells.genes)),
        layers={
            "real": np.stack([answer.raw for answer in answers]).astype(np.float32),
            "counted": np.stack([answer.used for answer in answers]),
        },
    )


def facts(evaluation: Evaluation, split: Split, cells: Cells, leaks: LeakReport, findings: Findings) -> dict[str, Any]:
    """Return what came out as plain data, for model cards and other programs."""
    spec, tables = evaluation.spec, findings.tables
    return {
        "format": FORMAT,
        "name": spec.name,
        "data": {
            "path": list(spec.data.paths),
            "digest": cells.digest(),
            "cells": len(cells),
            "genes": len(cells.genes),
            "licence": spec.licence,
            "source": spec.source,
        },
        "split": {
            "kind": split.kind,
            "seed": split.seed,
            "digest": split.digest,
            "folds": [fold.name for fold in split.folds],
            "questions": sum(len(fold.questions) for fold in split.folds),
        },
        "leaks": leaks.as_data(),
        "unit": findings.unit,
        "verdicts": [{**asdict(verdict), "words": verdict.words} for verdict in findings.verdicts],
        "summary": tables.summary.to_dicts(),
        "coverage": findings.coverage.to_dicts(),
        "models": tables.runs.to_dicts(),
    }


def _parquet(table: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.write_parquet(buffer)
    return buffer.getvalue()


def _json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, indent=1, default=str).encode()
