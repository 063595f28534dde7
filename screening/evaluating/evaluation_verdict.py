"""The verdict in words: does a model earn its place on these cells, against whom, and where does it lose?

The rule is fixed before anything is run. Two metrics of effects decide, one of direction and one of size; a third where
there are enough perturbations to tell apart. A model *earns its place* if, against every baseline that was run, it is
better in at least one of them and worse in none. It *does not* if any baseline is better in one and worse in none.
Whatever its interval crosses zero is undecided, and undecided is never counted as won.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl

from lingshu_core.metric_catalogue import METRICS
from screening.evaluating.evaluation_tables import DONE, Tables, deciding_metrics

Standing = Literal["better", "worse", "mixed", "undecided"]
Judgement = Literal["earns its place", "does not earn its place", "undecided", "mixed", "not run"]


@dataclass(frozen=True)
class Against:
    """A model beside one baseline: the metrics in which it is better, worse, or not told apart."""

    baseline: str
    better: tuple[str, ...]
    worse: tuple[str, ...]
    undecided: tuple[str, ...]

    @property
    def standing(self) -> Standing:
        """All of them taken together."""
        if self.better and self.worse:
            return "mixed"
        return "better" if self.better else "worse" if self.worse else "undecided"


@dataclass(frozen=True)
class Verdict:
    """What is to be said of one model.

    ``decided`` of ``asked`` is how many conditions tell it from the strongest baseline at all.
    """

    model: str
    judgement: Judgement
    metrics: tuple[str, ...]
    against: tuple[Against, ...]
    not_run: tuple[str, ...]
    strongest: str
    decided: int
    asked: int
    unit: str
    reason: str = ""

    @property
    def words(self) -> str:
        """The verdict as a few sentences."""
        return " ".join(_sentences(self))


def verdicts(tables: Tables, unit: str) -> tuple[Verdict, ...]:
    """Judge every model, in the order of the file."""
    models = tables.runs.filter(pl.col("role") == "model")["model"].unique(maintain_order=True)
    return tuple(_verdict(model, tables, unit) for model in models)


def _verdict(model: str, tables: Tables, unit: str) -> Verdict:
    metrics = deciding_metrics(tables.scores["metric"])
    mine = tables.comparisons.filter((pl.col("model") == model) & pl.col("deciding"))
    baselines = tables.runs.filter(pl.col("role") == "baseline")["model"].unique(maintain_order=True).to_list()
    run = [name for name in baselines if name in set(mine["baseline"])]
    against = tuple(_against(name, mine.filter(pl.col("baseline") == name)) for name in run)
    strongest = strongest_of(run, metrics, tables)
    counts = _counts(mine.filter((pl.col("baseline") == strongest) & pl.col("metric").is_in(metrics[:1])))
    scored = tables.runs.filter((pl.col("model") == model) & (pl.col("status") == DONE))
    reason = "" if scored.height else tables.runs.filter(pl.col("model") == model)["reason"][0]
    judgement: Judgement = _judgement(against) if scored.height else "not run"
    not_run = tuple(name for name in baselines if name not in run)
    return Verdict(model, judgement, metrics, against, not_run, strongest, *counts, unit, reason)


def strongest_of(baselines: Sequence[str], metrics: Sequence[str], tables: Tables) -> str:
    """Return the baseline with the best mean of the first metric that decides; nothing where none was run."""
    means = tables.summary.filter(pl.col("model").is_in(baselines) & (pl.col("metric") == (metrics or ("",))[0]))
    rows = means.drop_nulls("mean").select("model", "mean").rows()
    return max(rows, key=lambda row: METRICS[metrics[0]].goodness(row[1]))[0] if rows else ""


def _counts(comparison: pl.DataFrame) -> tuple[int, int]:
    decided = comparison.drop_nulls("decided").select("decided", "decided_of")
    return decided.row(0) if decided.height else (0, 0)


def _against(baseline: str, rows: pl.DataFrame) -> Against:
    found = {verdict: rows.filter(pl.col("verdict") == verdict)["metric"] for verdict in ("better", "worse")}
    undecided = rows.filter(~pl.col("verdict").is_in(["better", "worse"]))["metric"]
    return Against(baseline, *(tuple(names) for names in (found["better"], found["worse"], undecided)))


def _judgement(against: Sequence[Against]) -> Judgement:
    standings = {each.standing for each in against}
    if "worse" in standings:
        return "does not earn its place"
    if standings == {"better"}:
        return "earns its place"
    return "mixed" if "mixed" in standings else "undecided"


def _sentences(verdict: Verdict) -> Iterable[str]:
    yield _opening(verdict)
    if verdict.judgement == "not run":
        return
    for standing, said in (("better", "It is better than"), ("worse", "It is worse than")):
        found = [each for each in verdict.against if each.standing == standing]
        if found:
            yield f"{said} {_listed(f'{each.baseline} ({_metrics(each, standing)})' for each in found)}."
    mixed = [each for each in verdict.against if each.standing == "mixed"]
    for each in mixed:
        yield f"Beside {each.baseline} it is better in {_listed(each.better)} and worse in {_listed(each.worse)}."
    level = [each.baseline for each in verdict.against if each.standing == "undecided"]
    if level:
        yield f"It can't be told from {_listed(level)}: the intervals of their differences cross zero."
    if verdict.not_run:
        yield f"Not run: {_listed(verdict.not_run)}."
    if verdict.asked:
        yield (
            f"Beside {verdict.strongest}, the strongest, {verdict.decided} of {verdict.asked} conditions are decided at"
            f" all ({verdict.metrics[0]})"
            + ("." if verdict.decided == verdict.asked else "; in the others the noise of the real cells is larger.")
        )


def _opening(verdict: Verdict) -> str:
    name = verdict.model
    if verdict.judgement == "not run":
        return f"{name} was not run ({verdict.reason})." if verdict.reason else f"{name} was not run."
    if not verdict.against:
        return f"{name} is undecided: no baseline was run, so there is nothing to compare it with."
    ends = {
        "earns its place": "earns its place on these cells: it is better than every baseline",
        "does not earn its place": "does not earn its place on these cells: a baseline predicts better",
        "mixed": "is better in some ways and worse in others than a baseline",
        "undecided": "is undecided: on these cells it can't be told from at least one baseline",
    }
    return f"{name} {ends[verdict.judgement]} (judged by {_listed(verdict.metrics)})."


def _metrics(against: Against, standing: str) -> str:
    won = against.better if standing == "better" else against.worse
    return ", ".join(won) + (f"; {', '.join(against.undecided)} undecided" if against.undecided else "")


def _listed(names: Iterable[str]) -> str:
    found = list(names)
    return found[0] if len(found) == 1 else f"{', '.join(found[:-1])} and {found[-1]}"
