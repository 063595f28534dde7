"""Baselines: what can be predicted from means of real cells, behind the interface of the cell model.

Published critiques say that deep models of perturbations often don't beat adding two means. So every baseline answers
the same requests as the model, is written as a checkpoint, and can run a campaign.

============================  =======================================================================================
kind                          the effect of perturbation p in context c
============================  =======================================================================================
``no_change``                 none
``perturbation_mean``         the mean effect of all perturbations, the same for every p
``context_mean``              the mean effect of the perturbations that were measured in c
``additive``                  the mean effect of p over the contexts where it was measured
``nearest_context``           the effect of p in the measured context whose controls are most like those of c
``ridge``, ``knn``            as ``additive``; for an unseen p from its features
``low_rank``                  additive and low-rank, by alternating least squares (:mod:`baseline_low_rank`)
``scvi``                      that of a conditional VAE on control cells of c (:mod:`baseline_scvi`)
============================  =======================================================================================

Everything is fitted on the cells given, which have to be training cells only. A prediction is the control's moments
and the predicted change of them (:mod:`baseline_statistics`). It is exact: the same for every shard and seed, with a
Monte Carlo error of 0. Denoising steps and guidance mean nothing to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, get_args

import numpy as np

from lingshu_core.baseline_cells import ControlCells, draw_cells, keep_controls
from lingshu_core.baseline_effects import MeasuredEffects, Part, Weighting
from lingshu_core.baseline_low_rank import LowRank, fit_low_rank
from lingshu_core.baseline_neighbours import Choice, DescribedParts
from lingshu_core.baseline_rules import (
    Additive,
    Borrowed,
    ContextMean,
    LowRankRule,
    NearestContext,
    NoChange,
    PerturbationMean,
    Rule,
    choose,
    choose_loadings,
)
from lingshu_core.baseline_scvi import ConditionalVae, Decoded, ScviSettings, fit_scvi
from lingshu_core.baseline_statistics import Array, GroupStatistics, Rows, measure_groups
from lingshu_core.cells import Cells
from lingshu_core.conditioning import Condition, index_conditions
from lingshu_core.depths import control_depths, pooled_depths
from lingshu_core.errors import ConfigurationError
from lingshu_core.estimator import (
    EstimatorKind,
    Moments,
    ShardRequest,
    ShardResult,
    drawn_depths,
    sampled_moments,
)
from lingshu_core.feature_bank import build_bank
from lingshu_core.perturbation_features import FeatureOrigin, PerturbationFeatures
from lingshu_core.plugin_model import FittedPlugin, PluginRule
from lingshu_core.structures import described_drugs
from lingshu_core.vocabulary import Vocabulary

BASELINE_KINDS = (
    "no_change",
    "perturbation_mean",
    "context_mean",
    "additive",
    "nearest_context",
    "ridge",
    "knn",
    "low_rank",
    "scvi",
)
PLUGIN = "plugin"
"""The kind of a baseline whose effects another package predicts (:mod:`lingshu_core.plugin_baseline`)."""
NEED_FEATURES = ("ridge", "knn")
USE_FEATURES = (*NEED_FEATURES, "low_rank")
_KEPT_PREDICTIONS = 64


@dataclass(frozen=True)
class BaselineSettings:
    """What can be set of a baseline.

    Parameters
    ----------
    weighting
        Of an average over contexts: ``contexts`` gives each one vote, ``cells`` one to each perturbed cell.
    min_cells
        Contexts with fewer perturbed or control cells have no vote, unless none has more.
    """

    weighting: Weighting = "contexts"
    min_cells: int = 10


@dataclass(frozen=True)
class Fitted:
    """All that a baseline has learned: statistics, and by kind the features, what they are trusted and the model."""

    statistics: GroupStatistics
    described: DescribedParts | None = None
    choices: Mapping[int, Choice] = field(default_factory=dict)
    model: LowRank | None = None
    vae: ConditionalVae | None = None
    plugin: FittedPlugin | None = None


@dataclass(frozen=True)
class BaselinePredictor:
    """A fitted baseline.

    Parameters
    ----------
    kind
        One of :data:`BASELINE_KINDS`, or :data:`PLUGIN`.
    vocabulary
        Of the training cells, and of what features describe.
    settings, fitted
        What was set and what was learned.
    training
        How it was trained, of a kind that is.
    controls
        Control cells to draw from.
    depths
        Depths of the control cells of each context, as of a model.
    origins
        Where the features came from.
    """

    kind: str
    vocabulary: Vocabulary
    settings: BaselineSettings
    fitted: Fitted
    controls: ControlCells
    depths: tuple[Array, ...]
    origins: tuple[FeatureOrigin, ...] = ()
    training: ScviSettings | None = None
    _effects: MeasuredEffects = field(init=False, repr=False)
    _rule: Rule = field(init=False, repr=False)
    _known: dict[tuple[frozenset[tuple[str, str]], tuple[Part, ...]], Moments] = field(
        init=False, repr=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        """Build the rule of the kind.

        Raises
        ------
        ConfigurationError
            If the kind is unknown, or needs features and has none.
        """
        effects = MeasuredEffects(
            self.fitted.statistics, self.vocabulary, self.settings.weighting, self.settings.min_cells
        )
        object.__setattr__(self, "_effects", effects)
        object.__setattr__(self, "_rule", _rule(self.kind, effects, self.vocabulary, self.fitted, self.controls))

    @property
    def title(self) -> str:
        """What results call it: its kind, and of a plugin the name."""
        plugin = self.fitted.plugin
        return self.kind if plugin is None else f"{PLUGIN} {plugin.plugin.name}"

    @property
    def n_bytes(self) -> int:
        """Memory that statistics and control cells take."""
        return self.fitted.statistics.changes.nbytes + int(self.controls.counts.data.nbytes)

    def estimate(self, request: ShardRequest, kind: EstimatorKind = "variance_reduced") -> ShardResult:
        """Compute one shard, as :func:`lingshu_core.estimator.estimate_shard` does for the cell model.

        ``variance_reduced`` returns the predicted moments; ``sampled`` draws cells and returns theirs.

        Raises
        ------
        ConditionError
            If the baseline has no words for the condition.
        ConfigurationError
            If ``kind`` is unknown, or genes are to be pre-filled.
        """
        if kind not in ("variance_reduced", "sampled"):
            raise ConfigurationError(f"unknown estimator {kind!r}; there are variance_reduced and sampled")
        if request.injected:
            raise ConfigurationError(f"the baseline {self.kind} can't pre-fill genes; set `prior: none`")
        moments = self.moments(request.condition)
        if kind == "variance_reduced":
            return ShardResult(
                moments, drawn_depths(self._depths(request.condition), request.root, request.shard, request.cells)
            )
        context = request.condition.context
        counts, depth = draw_cells(
            self.controls,
            self._contexts(context),
            self._effects.controls(context),
            moments[2],
            request.root,
            request.shard,
            request.cells,
        )
        return ShardResult(sampled_moments(counts, depth), depth, counts)

    def moments(self, condition: Condition) -> Moments:
        """Predict the moments of a condition, (4, genes); errors as in :meth:`estimate`."""
        # A dose of 0 is the control's.
        parts = tuple(sorted((part for part in condition.parts if part[1] != 0), key=lambda part: part[0]))
        key = (frozenset(condition.context.items()), parts)
        if key not in self._known:
            index_conditions(self.vocabulary, [condition], np.ones(1))  # refuses what there are no words for
            known = self._effects.controls(condition.context)
            change = self._rule.change(parts, condition.context) if parts else self._effects.none
            if len(self._known) >= _KEPT_PREDICTIONS:
                self._known.pop(next(iter(self._known)))
            self._known[key] = known.changed(change)
        return self._known[key]

    def with_structures(self, structures: Mapping[str, str]) -> BaselinePredictor:
        """Return the baseline with some more drugs in its vocabulary, name → SMILES.

        Raises
        ------
        ConditionError
            If it was fitted without structures.
        FeatureError
            If a SMILES is not valid.
        """
        vocabulary, vectors = described_drugs(self.vocabulary, self.origins, structures)
        if not len(vectors):
            return self
        known = self.fitted.described
        described = None if known is None else known.with_drugs(vectors, self.vocabulary)
        return replace(self, vocabulary=vocabulary, fitted=replace(self.fitted, described=described))

    def _contexts(self, context: Mapping[str, str]) -> Rows:
        level = self._effects.level(context)
        return level.members(level.find(context))

    def _depths(self, condition: Condition) -> Array:
        found = pooled_depths(self.vocabulary, self.depths, condition.context)
        return found if len(found) else pooled_depths(self.vocabulary, self.depths, {})


def fit_baseline(
    kind: str,
    cells: Cells,
    vocabulary: Vocabulary,
    features: PerturbationFeatures | None = None,
    **settings: Any,
) -> BaselinePredictor:
    """Fit a baseline.

    Parameters
    ----------
    kind
        One of :data:`BASELINE_KINDS`.
    cells
        Training cells only.
    vocabulary
        Made of the same cells and features.
    features
        What describes perturbations. ``ridge`` and ``knn`` need them and ``low_rank`` may have them; for the others
        they only say which perturbations without a cell can be asked, which are taken to be average.
    settings
        Fields of :class:`BaselineSettings`; for ``scvi`` of :class:`lingshu_core.baseline_scvi.ScviSettings` too.

    Raises
    ------
    ConfigurationError
        If the kind or a setting is unknown, features are missing, or scvi-tools isn't installed.
    UnusableCells
        If there are no controls, or the genes aren't the vocabulary's.
    """
    check_kind(kind)
    chosen, training = _settings(kind, settings)
    statistics = measure_groups(cells, vocabulary, changes=kind != "no_change")
    bank = build_bank(features, vocabulary)
    if kind in NEED_FEATURES and bank is None:
        raise ConfigurationError(
            f"{kind} predicts from features, and there are none; give `features:`, or use additive"
        )
    described = DescribedParts.of_bank(bank) if bank is not None and kind in USE_FEATURES else None
    controls = keep_controls(cells, vocabulary)
    effects = MeasuredEffects(statistics, vocabulary, chosen.weighting, chosen.min_cells)
    fitted = _learn(kind, Fitted(statistics, described), effects)
    if training is not None and len(statistics.labels):
        fitted = replace(fitted, vae=fit_scvi(cells, vocabulary, controls, training))
    return BaselinePredictor(
        kind,
        vocabulary,
        chosen,
        fitted,
        controls,
        control_depths(cells, vocabulary),
        features.origins if features is not None and bank is not None else (),
        training,
    )


def _settings(kind: str, given: Mapping[str, Any]) -> tuple[BaselineSettings, ScviSettings | None]:
    """Sort settings into those of every baseline and those of a training, and refuse what is neither."""
    trained = ScviSettings.__dataclass_fields__ if kind == "scvi" else {}
    known = {**BaselineSettings.__dataclass_fields__, **trained}
    unknown = [name for name in given if name not in known]
    if unknown:
        raise ConfigurationError(f"{kind} has no setting {unknown[0]!r}; there are: {', '.join(known)}")
    chosen = BaselineSettings(**{name: value for name, value in given.items() if name not in trained})
    if chosen.weighting not in get_args(Weighting) or chosen.min_cells < 1:
        raise ConfigurationError(
            f"weighting {chosen.weighting!r}, min_cells {chosen.min_cells}: weighting is contexts or cells, and"
            " min_cells at least 1"
        )
    own = {name: value for name, value in given.items() if name in trained}
    return chosen, ScviSettings(**own) if kind == "scvi" else None


def check_kind(kind: str) -> None:
    """Refuse an unknown kind.

    Raises
    ------
    ConfigurationError
        Naming those there are.
    """
    if kind not in BASELINE_KINDS:
        raise ConfigurationError(f"there is no baseline {kind!r}; there are: {', '.join(BASELINE_KINDS)}")


def _learn(kind: str, fitted: Fitted, effects: MeasuredEffects) -> Fitted:
    """Learn what a kind has beyond statistics: how far to trust features, and the low-rank model."""
    described = fitted.described
    if kind in NEED_FEATURES and described is not None:
        return replace(fitted, choices=choose(kind, Additive(effects), described))
    if kind == "low_rank" and len(fitted.statistics.labels):
        fitted = replace(fitted, model=fit_low_rank(fitted.statistics))
        if described is not None and fitted.model is not None:
            rule = LowRankRule(effects, fitted.model, effects.vocabulary)
            fitted = replace(fitted, choices=choose_loadings(rule, described))
    return fitted


def _rule(kind: str, effects: MeasuredEffects, vocabulary: Vocabulary, fitted: Fitted, controls: ControlCells) -> Rule:
    if kind == PLUGIN and fitted.plugin is not None:
        return PluginRule(effects, fitted.plugin)
    check_kind(kind)
    simple: Mapping[str, Callable[[MeasuredEffects], Rule]] = {
        "no_change": NoChange,
        "perturbation_mean": PerturbationMean,
        "context_mean": ContextMean,
        "additive": Additive,
        "nearest_context": NearestContext,
    }
    if kind in simple:
        return simple[kind](effects)
    if kind == "low_rank":
        if fitted.model is None:
            return NoChange(effects)  # there is no perturbation to learn from
        return LowRankRule(effects, fitted.model, vocabulary, fitted.described, fitted.choices)
    if kind == "scvi":
        return NoChange(effects) if fitted.vae is None else Decoded(effects, vae=fitted.vae, controls=controls)
    if fitted.described is None:
        raise ConfigurationError(f"{kind} predicts from features, and there are none")
    return Additive(effects, Borrowed(Additive(effects), vocabulary, fitted.described, kind, fitted.choices))
