"""Publishing 100,000 conditions × 18,080 genes, and reading one condition and one gene of it, lazily.

The effects of all conditions (`publish: {effects: all}`) go through what the fold uses (`EffectStore`), with effects
made up (a pool of random numbers of realistic sizes, so that making them costs nothing), into a folder, beside a plain
write of as many bytes to the same disk, which is the floor:

- folding: the store takes every condition and writes its shards;
- finishing: what is left when the last condition is folded, rows and columns described (the hit table);
- the hit table itself, as Parquet and CSV;
- reading one condition and one gene through zarr, files as warm as the machine has them: medians of five;
- `effects.h5ad` of the best conditions, at its limit of 20 million entries.

LINGSHU_CONDITIONS asks for another number of conditions; a tenth of it is measured too, for the growth of memory.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import anndata
import numpy as np
import polars as pl
import zarr

from actors.blobs import open_blobs
from benchmarks.memory import resident
from benchmarks.report import RESULTS, Figures, main, table
from campaigns.conditions import Condition, Context, Perturbation
from screening.deciding.hits import COLUMNS, Scored
from screening.folding.effect_matrix import EffectMatrix
from screening.folding.effect_store import EFFECTS_STORE, ROWS, EffectStore
from screening.publishing.publication import anndata_to_bytes, hits_to_parquet

CONDITIONS = int(os.environ.get("LINGSHU_CONDITIONS", "100000"))
GENES = 18_080
READS = 5
FOLDER = RESULTS / "store"


@dataclass(frozen=True)
class Timed:
    """Seconds of a part of the work, and the resident memory behind it, in MB."""

    wall: float
    cpu: float
    memory: float


def measure() -> Figures:
    """Write a tenth and the whole, read, and say what it took; all figures."""
    figures: dict[str, Any] = {"conditions": CONDITIONS, "genes": GENES}
    start = resident() / 1e6
    small = _write(CONDITIONS // 10)
    whole = _write(CONDITIONS)
    figures |= {f"{part}_{name}": value for part, each in whole.items() for name, value in vars(each).items()}
    figures["memory_growth"] = whole["folding"].memory / small["folding"].memory
    figures["memory_at_start"] = start
    figures["gigabytes"] = sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) / 1e9
    figures |= _copied()
    figures |= {f"read_{name}": seconds for name, seconds in _reads().items()}
    shutil.rmtree(FOLDER)
    figures |= {f"best_{name}": value for name, value in vars(_best()).items()}
    figures["store_gigabytes_a_second"] = figures["gigabytes"] / figures["folding_wall"]
    table(["figure", "value"], list(figures.items()))
    return figures


def _write(conditions: int) -> dict[str, Timed]:
    """Publish so many conditions into an empty folder."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    store = EffectStore(open_blobs(str(FOLDER)), genes())
    found = {"folding": _timed(lambda: _add(store, conditions))}
    table = hits(conditions)
    found["finishing"] = _timed(lambda: store.finish(table, np.ones(GENES, dtype=bool)))
    found["hits"] = _timed(lambda: (hits_to_parquet(table), table.write_csv()))
    return found


def _add(store: EffectStore, conditions: int) -> None:
    """Add the effects of so many conditions, one by one, as the fold does."""
    for scored in scored_conditions(conditions):
        store.add(scored)


def _timed(work: Any) -> Timed:
    wall, cpu = time.monotonic(), time.process_time()
    work()
    return Timed(time.monotonic() - wall, time.process_time() - cpu, resident() / 1e6)


def genes() -> tuple[str, ...]:
    """Return names."""
    return tuple(f"GENE{number}" for number in range(GENES))


def scored_conditions(number: int) -> Iterator[Scored]:
    """Yield conditions as the fold scores them: `ROWS` different effects, over and over."""
    rng = np.random.default_rng(0)
    size = np.exp(2.0 * rng.standard_normal(GENES) - 4.0)
    pool = [size * rng.standard_normal((ROWS, GENES)), 0.1 * size * np.ones((ROWS, GENES))]
    for place in range(number):
        log1p, log1p_se = (each[place % ROWS] for each in pool)
        planned = SimpleNamespace(key=f"{place:064x}", condition=_condition(place))
        effect = SimpleNamespace(log1p=log1p, log1p_se=log1p_se)
        made = SimpleNamespace(effect=effect, score=SimpleNamespace(score=0.0), folded=SimpleNamespace(planned=planned))
        yield cast("Scored", made)


def _condition(place: int) -> Condition:
    context = Context.of({"cell_type": f"type {place % 50}"})
    return Condition(context, Perturbation.parse(f"TARGET{place // 50}", "genetic", None))


def hits(number: int) -> pl.DataFrame:
    """Return a table with all columns of the ranked one."""
    labels = [_condition(place) for place in range(number)]
    filled: dict[str, Any] = {"perturbation": [each.perturbation.label for each in labels]}
    filled["context"] = [each.context.label for each in labels]
    rng = np.random.default_rng(1)
    for name, (kind, _) in COLUMNS.items():
        if name not in filled:
            values = rng.standard_normal(number) if kind.is_float() else np.arange(number)
            filled[name] = (
                pl.Series([f"{name} {place % 7}" for place in range(number)]) if kind == pl.String else values
            )
    return pl.DataFrame({name: pl.Series(name, filled[name]).cast(kind) for name, (kind, _) in COLUMNS.items()})


def _copied() -> dict[str, float]:
    """Write a gigabyte into one file: what the disk gives, as seconds for as many bytes as the store has."""
    target, block = FOLDER / "copy", np.random.default_rng(0).bytes(1 << 25)
    size = sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file())
    started = time.monotonic()
    with target.open("wb") as file:
        for _ in range(32):
            file.write(block)
    seconds = (time.monotonic() - started) * size / (32 * len(block))
    target.unlink()
    return {"plain_copy_wall": seconds}


def _reads() -> dict[str, float]:
    """Read conditions and genes, each alone, at random; and describe the rows."""
    rng = np.random.default_rng(2)
    effect = cast("zarr.Array[Any]", zarr.open_group(FOLDER / EFFECTS_STORE, mode="r")["X"])
    conditions = [_seconds(lambda: effect[int(rng.integers(CONDITIONS))]) for _ in range(READS)]
    columns = [_seconds(lambda: effect[:, int(rng.integers(GENES))]) for _ in range(READS)]
    opened = zarr.open_group(FOLDER / EFFECTS_STORE, mode="r")
    rows = [_seconds(lambda: anndata.io.read_elem(opened["obs"])) for _ in range(READS)]
    found = {"condition": conditions, "gene": columns, "obs": rows}
    return {name: float(np.median(each)) for name, each in found.items()}


def _seconds(work: Any) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


def _best() -> Timed:
    """Write ``effects.h5ad`` at its limit, with ten layers."""
    most = EffectMatrix(genes()).most
    made = np.random.default_rng(3).standard_normal((most, GENES)).astype(np.float32)
    best = anndata.AnnData(made, layers={f"layer {number}": made for number in range(9)})
    return _timed(lambda: anndata_to_bytes(best))


if __name__ == "__main__":
    main(measure, __doc__ or "")
