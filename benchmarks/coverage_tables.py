"""Tables of the coverage benchmark, from the answers that are there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.coverage_rows import MEMBERS, Answers, Row, kang_rows, load_answers, simulation_rows
from benchmarks.report import table
from lingshu_core.abstention import abstention_curve
from lingshu_core.errors import CalibrationError
from lingshu_core.interval_coverage import Coverage, coverage, cross_coverage, stratum_coverage
from lingshu_core.uncertainty import Prediction, Rule, fit_conformal

LEVELS = (0.5, 0.9)
CASES = ("measured", "true", "true, from measured")
"""Calibrated and tested on measured effects; on true ones; calibrated on measured and tested on true ones."""
COLUMNS = tuple(f"{level:.0%}, {case}" for level in LEVELS for case in CASES)
Found = Mapping[tuple[str, float], Coverage]


def show_simulations() -> dict[str, Any]:
    """Print all tables of the simulated screens, a row a screen; returns the figures."""
    print("\n### Simulated screens: half of the knock-outs calibrate, the others are tested\n")
    figures = _show_coverage("genes")
    print("\nthe programme's score, one a condition, hierarchical rule\n")
    figures |= _show_coverage("score")
    print("\n90 %, measured, by the size of error that was expected: share inside (values)\n")
    _show_strata()
    print("\nabstention on genes, errors against true effects: gain, 0 random, 1 as if the errors were known\n")
    return figures | _show_abstention()


def _show_coverage(kind: str) -> dict[str, Any]:
    found = {row: _simulation_coverage(each, int(row.part), kind) for row, each in _there()}
    shown = [
        [row.words, *(_words(found[row]) if row in found else ["*not run*"] * len(COLUMNS))]
        for row in simulation_rows()
    ]
    for many in (1, len(MEMBERS)):
        some = [each for row, each in found.items() if len(row.members) == many]
        if some:
            shown.append([f"**mean, {'one model' if many == 1 else 'ensembles'}**", *_means(some)])
    table(["screen", *COLUMNS], shown)
    return {f"{row.name} {kind} {case} {level:g}": vars(c) for row in found for (case, level), c in found[row].items()}


def _there() -> Iterator[tuple[Row, Answers]]:
    for row in simulation_rows():
        if row.file.exists():
            yield row, load_answers(row.file)


def _simulation_coverage(found: Answers, seed: int, kind: str) -> Found:
    """Coverage of every case and level; genes are pooled, scores have the rule with the guarantee."""
    measured, true = (found.genes, found.true_genes) if kind == "genes" else (found.score, found.true_score)
    rule: Rule = "pooled" if kind == "genes" else "hierarchical"
    calibrating = half_of(found.groups, seed)
    measured_sides, true_sides = split(measured, calibrating), split(true, calibrating)
    by_measured, by_truth = fit_conformal(measured_sides[0], rule=rule), fit_conformal(true_sides[0], rule=rule)
    cases = dict(
        zip(
            CASES,
            [(by_measured, measured_sides[1]), (by_truth, true_sides[1]), (by_measured, true_sides[1])],
            strict=True,
        )
    )
    return {(case, level): coverage(*cases[case], level) for level in LEVELS for case in CASES}


def half_of(groups: Sequence[str], seed: int) -> set[str]:
    """Choose half of the groups at random."""
    order = np.random.default_rng(seed).permutation(len(groups))
    return {groups[i] for i in order[: len(groups) // 2]}


def split(predictions: Sequence[Prediction], calibrating: set[str]) -> tuple[list[Prediction], list[Prediction]]:
    """Return the predictions of some groups, and the others."""
    inside = [each for each in predictions if each.group in calibrating]
    return inside, [each for each in predictions if each.group not in calibrating]


def _words(found: Found) -> list[str]:
    return [in_words(found[case, level]) for level in LEVELS for case in CASES]


def in_words(found: Coverage) -> str:
    """Share inside, with its interval."""
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"


def _means(some: Sequence[Found]) -> list[str]:
    values = [[each[case, level].value for each in some] for level in LEVELS for case in CASES]
    return [f"**{np.mean(each):.3f}** ({min(each):.3f} to {max(each):.3f})" for each in values]


def _show_strata() -> None:
    shown = []
    for row, found in _there():
        calibrating, testing = split(found.genes, half_of(found.groups, int(row.part)))
        strata = stratum_coverage(fit_conformal(calibrating), testing, 0.9)
        cells = [f"{share:.3f} ({values:,})" for values, share in strata]
        shown.append([row.words, *cells, *["–"] * (3 - len(cells))])
    table(["screen", "smallest 75 %", "next 20 %", "largest 5 %"], shown)


def _show_abstention() -> dict[str, Any]:
    shown: list[list[Any]] = []
    figures: dict[str, Any] = {}
    for row, found in _there():
        calibrating, _ = split(found.genes, half_of(found.groups, int(row.part)))
        _, testing = split(found.true_genes, half_of(found.groups, int(row.part)))
        conformal = fit_conformal(calibrating)
        uncertainties: dict[str, list[Any]] = {
            "expected error": [conformal.model_error(each) for each in testing],
            "size of the effect": [np.abs(each.effect) for each in testing],
            "spread of members": [each.spread for each in testing],
            "expression": [each.expression for each in testing],
        }
        gains = {name: _gain(testing, values) for name, values in uncertainties.items()}
        figures |= {f"{row.name} gain, {name}": gain for name, gain in gains.items()}
        shown.append([row.words, *gains.values()])
    table(["screen", "expected error", "size of the effect", "spread of members", "expression"], shown)
    return figures


def _gain(predictions: Sequence[Prediction], uncertainty: Sequence[Any]) -> str:
    if uncertainty[0] is None:
        return "–"
    curve = abstention_curve(predictions, uncertainty)
    return f"{curve.gain:.3f} ({curve.gain_low:.3f} to {curve.gain_high:.3f})"


def show_kang(types: Sequence[str]) -> dict[str, Any]:
    """Print every cell type that was left out, its intervals calibrated on the others; returns the figures."""
    print("\n### Kang, interferon-beta: a cell type that was left out, calibrated on the others that were\n")
    there = {row.part: load_answers(row.file) for row in kang_rows(types) if row.file.exists()}
    genes = [each for found in there.values() for each in found.genes]
    shown = [[part, *(_kang_row(genes, part) if part in there else ["*not run*"] * 5)] for part in types]
    columns = ["error, root mean square", "of it noise of the real cells", "Pearson-Δ"]
    table(["cell type", *columns, *(f"{level:.0%} covers" for level in LEVELS)], shown)
    figures: dict[str, Any] = {f"kang {part}": row for part, *row in shown}
    for level in LEVELS:
        try:
            together = cross_coverage(genes, level)
        except CalibrationError as error:
            print(f"\n{level:.0%} over all cell types: *not run* ({error})")
        else:
            print(f"\n{level:.0%} over {together.groups} cell types: {in_words(together)}, width {together.width:.3f}")
            figures[f"kang {level:g}"] = vars(together)
    return figures


def _kang_row(genes: Sequence[Prediction], part: str) -> list[str]:
    (asked,) = [each for each in genes if each.group == part]
    others = [each for each in genes if each.group != part]
    error = (asked.real - asked.effect)[asked.counted]
    facts = [np.sqrt(np.mean(np.square(error))), np.sqrt(np.mean(asked.known_variance[asked.counted]))]
    facts.append(np.corrcoef(asked.effect[asked.counted], asked.real[asked.counted])[0, 1])
    if len(others) < 2:
        return [*(f"{fact:.3f}" for fact in facts), *["*not run*"] * len(LEVELS)]
    conformal = fit_conformal(others)
    return [f"{value:.3f}" for value in (*facts, *(coverage(conformal, [asked], level).value for level in LEVELS))]
