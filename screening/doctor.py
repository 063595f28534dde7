"""``lingshu doctor``: is this machine fit, and is everything there that a campaign needs?"""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import numpy as np

from actors.blobs import open_blobs, probe_conditional_writes
from actors.errors import ActorsError
from campaigns.chaos_spec import ChaosSpec
from campaigns.data_spec import DataSpec
from campaigns.errors import CampaignError
from campaigns.evaluation_spec import CheckpointEntry, EvaluateSpec
from campaigns.generation_spec import GenerateSpec
from campaigns.plan import ensemble_digest
from campaigns.screen_spec import ReferenceSpec, ScreenSpec, SignatureSpec
from campaigns.source import load_any
from campaigns.training_spec import TrainSpec
from lingshu_core.cells import Cells
from lingshu_core.checkpoint import is_baseline, load_checkpoint, load_header
from lingshu_core.confounding import Confounding
from lingshu_core.devices import gpu_names
from lingshu_core.errors import LingshuCoreError
from lingshu_core.predictor import open_predictor
from screening.confounders import consequence, find_confounders, find_reference_confounders, is_warning
from screening.errors import ScreeningError, is_storage_error
from screening.objective.readouts import read_data
from screening.planning.members import Member, load_members
from screening.publishing.publication import ledger_url
from screening.tables.delivery import check_table
from screening.training.training_input import read_input

Verdict = Literal["good", "note", "warn", "bad"]
_PACKAGES = ("ray", "torch", "anndata", "polars", "obstore", "s3fs", "safetensors")
_SMALLEST_FREE = 2 * 1024**3


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    verdict: Verdict
    finding: str


def examine(campaign: Path | None) -> list[Check]:
    """Look at the machine, and at what a campaign file names."""
    checks = list(_machine())
    if campaign is not None:
        checks += _campaign(campaign)
    return checks


def _machine() -> Iterator[Check]:
    yield Check("python", "good", f"{platform.python_version()} on {platform.machine()}, {os.cpu_count()} CPUs")
    for name in _PACKAGES:
        try:
            yield Check(name, "good", version(name))
        except PackageNotFoundError:
            yield Check(name, "bad", "not installed; install lingshu-screen with its constraints file")
    if gpu_names():
        yield Check("gpu", "good", ", ".join(gpu_names()))
    else:
        yield Check("gpu", "note", "none; use configuration: direct and gpus_per_replica: 0")
    free = shutil.disk_usage(Path.cwd()).free
    verdict: Verdict = "good" if free > _SMALLEST_FREE else "bad"
    yield Check("disk", verdict, f"{free / 1024**3:.1f} GiB free here")
    s3 = "set" if os.environ.get("AWS_ACCESS_KEY_ID") else "not set (only needed for s3://)"
    yield Check("S3 credentials", "note", s3)


def _campaign(path: Path) -> Iterator[Check]:
    loaded: list[TrainSpec | ScreenSpec | GenerateSpec | EvaluateSpec | ChaosSpec] = []
    yield _attempt("campaign", lambda: _load(path, loaded))
    for spec in loaded:
        if isinstance(spec, ScreenSpec):
            yield from _models(spec, path)
            yield _attempt("output", lambda spec=spec: _store(spec.output))  # type: ignore[misc]
            if spec.cache is not None:
                yield _attempt("cache", lambda spec=spec: _store(spec.cache, spec.cache))  # type: ignore[misc]
            if spec.publish.delta is not None:
                yield _attempt("publish", lambda spec=spec: _table(spec.publish.delta))  # type: ignore[misc]
            if isinstance(spec.objective, SignatureSpec) and spec.objective.reference is not None:
                yield from _reference(spec.objective.reference)
            if spec.compute.gpus_per_replica and not spec.compute.address and not gpu_names():
                yield Check("compute", "bad", "gpus_per_replica is set, but this machine has no GPU; set it to 0")
        elif isinstance(spec, GenerateSpec):
            yield _attempt("model", lambda spec=spec: _model(spec.model))  # type: ignore[misc]
        elif isinstance(spec, EvaluateSpec):
            yield from _evaluation(spec)
        elif isinstance(spec, TrainSpec):
            yield _attempt("data", lambda spec=spec: _data(spec))  # type: ignore[misc]
            yield from _confounding(spec.data)


def _confounding(data: DataSpec) -> Iterator[Check]:
    """Name the factors that go with the perturbation."""
    if data.columns.perturbation is not None:
        checks = _factors(lambda: find_confounders(data), "no column of obs goes with the perturbation")
        yield from (check for check in checks if check.verdict != "bad")  # `data` has said what is wrong with the files


def _reference(reference: ReferenceSpec) -> Iterator[Check]:
    nothing = "no column of obs gives the groups of the reference away"
    yield from _factors(lambda: find_reference_confounders(reference), nothing)


def _factors(look: Callable[[], tuple[Confounding, ...]], nothing: str) -> Iterator[Check]:
    found: list[Confounding] = []

    def find() -> str:
        found.extend(look())
        return nothing

    found_nothing = _attempt("confounding", find)
    if found_nothing.verdict == "bad" or not found:
        yield found_nothing
    for each in found:
        yield Check("confounding", "warn" if is_warning(each) else "note", f"{each.text}; {consequence(each)}")


def _evaluation(spec: EvaluateSpec) -> Iterator[Check]:
    yield _attempt("data", lambda: _cells(read_data(spec.data)))
    yield from _confounding(spec.data)
    for entry in spec.models:
        if isinstance(entry, CheckpointEntry):
            look = _stored(entry.checkpoint)
            yield _attempt(f"model {entry.name}", look)
    yield _attempt("output", lambda: _store(spec.output))


def _stored(folder: str) -> Callable[[], str]:
    return lambda: _baseline(folder) if is_baseline(load_header(folder).card) else _model(folder)


def _models(spec: ScreenSpec, path: Path) -> Iterator[Check]:
    members: list[Member] = []
    together = _attempt("model", lambda: _headers(spec, path, members))
    if together.verdict == "bad" or len(members) > 1:
        yield together
    for member in members:
        name = "model" if len(members) == 1 else f"model {member.name}"
        look = _baseline if is_baseline(member.header.card) else _model
        yield _attempt(name, lambda look=look, member=member: look(member.location))  # type: ignore[misc]


def _headers(spec: ScreenSpec, path: Path, members: list[Member]) -> str:
    members += load_members(spec, load_any(path).source)
    digest = ensemble_digest(member.header.digest for member in members)
    return f"{digest[:12]}: an ensemble of {len(members)} members, of the same genes, vocabulary and cells"


def _attempt(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, "good", look())
    except (ActorsError, CampaignError, LingshuCoreError, ScreeningError) as error:
        return Check(name, "bad", str(error))
    except Exception as error:
        if not is_storage_error(error):
            raise
        return Check(name, "bad", str(error))


def _load(path: Path, loaded: list[TrainSpec | ScreenSpec | GenerateSpec | EvaluateSpec | ChaosSpec]) -> str:
    spec = load_any(path).spec
    loaded.append(spec)
    return f"{spec.name}, kind: {spec.kind}"


def _model(folder: str) -> str:
    checkpoint = load_checkpoint(folder)
    parameters = sum(parameter.numel() for parameter in checkpoint.denoiser.parameters())
    genes, contexts = len(checkpoint.vocabulary.genes), len(checkpoint.vocabulary.contexts)
    return f"{checkpoint.digest[:12]}: {parameters / 1e6:.1f}M parameters, {genes:,} genes, {contexts} contexts"


def _baseline(folder: str) -> str:
    predictor = open_predictor(folder)
    genes, contexts = len(predictor.vocabulary.genes), len(predictor.vocabulary.contexts)
    kind = predictor.header.card["kind"]
    return f"{predictor.header.digest[:12]}: the baseline {kind}, {genes:,} genes, {contexts} contexts"


def _store(url: str, cache: str | None = None) -> str:
    probe_conditional_writes(open_blobs(ledger_url(url, cache)))
    return f"{url}: can be written, and knows who was first"


def _table(url: str) -> str:
    check_table(url, ())
    return f"{url}: can be written, and knows who was first"


def _data(spec: TrainSpec) -> str:
    return _cells(read_input(spec.data, lambda cells: np.zeros(len(cells), dtype=bool))[0])


def _cells(cells: Cells) -> str:
    labels = cells.obs["perturbation"].nunique() - 1
    controls = int(cells.is_control.sum())
    return f"{len(cells):,} cells ({controls:,} controls), {len(cells.genes):,} genes, {labels} perturbations"
