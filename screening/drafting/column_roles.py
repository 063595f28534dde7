"""What the columns of ``obs`` are likely to mean: by their names, and by the values that they hold.

A guess is never silent: each choice says why it was made, and which other columns would have done.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lingshu_core.cells import PERTURBATION_TYPES
from lingshu_core.errors import UnusableCells
from lingshu_core.methods import canonical_methods

MOST_LABELS = 20_000
"""A column with more values names cells, not perturbations."""
NAMES: Mapping[str, tuple[str, ...]] = {
    "perturbation": (
        *("perturbation", "perturbations", "perturb", "perturbationname", "genetarget", "targetgene", "perturbedgene"),
        *("target", "knockout", "treatment", "condition", "stimulation", "stimulus", "stim", "drug", "compound"),
        *("cytokine", "agent", "gene", "genotype", "guideidentity"),
    ),
    "cell_type": (
        *("celltype", "celltypes", "celltypename", "cellline", "celltypel1", "majorcelltype", "annotation"),
        *("predictedcelltype", "predictedcelltypel1", "cellannotation", "celllabel", "cluster", "leiden", "louvain"),
        "seuratclusters",
    ),
    "donor": (
        *("donor", "donorid", "patient", "patientid", "individual", "subject", "subjectid", "participant", "animal"),
        *("mouse", "mouseid", "ind"),
    ),
    "dose": ("dose", "dosevalue", "dosage", "doseum", "dosenm", "concentration", "conc"),
    "guide": ("guide", "guideid", "guideidentity", "sgrna", "grna", "guiderna", "sgrnaid", "sgid"),
    "batch": (
        *("batch", "batchid", "lane", "gemgroup", "library", "libraryid", "plate", "replicate", "rep", "run", "pool"),
        *("channel", "origident", "sample", "sampleid", "experiment"),
    ),
    "depth": ("ncountsallgenes", "totalcounts", "totalumis", "ncountrna", "ncounts", "numi", "ntotalcounts"),
}
"""Role → names that mean it, the best first; written without case, blanks and signs."""
_PARTS: Mapping[str, re.Pattern[str]] = {
    "perturbation": re.compile("perturb|treat|stim|condition|target|drug|compound|cytokine|knock"),
    "cell_type": re.compile("celltype|cellline|annotation"),
    "donor": re.compile("donor|patient|individual|subject"),
    "dose": re.compile("dose|dosage|concentration"),
    "guide": re.compile("guide|grna"),
    "batch": re.compile("batch|plate|replicate|library"),
    "depth": re.compile("totalcounts|totalumi"),
}
_CONTROLS = (
    *("control", "ctrl", "ctl", "nontargeting", "nontarget", "nt", "ntc", "negctrl", "negativecontrol", "negative"),
    *("neg", "safetargeting", "scrambled", "scramble", "dmso", "vehicle", "untreated", "unstimulated", "unstim"),
    *("unperturbed", "notreatment", "pbs", "mock", "wildtype", "wt", "resting", "rest", "medium", "media", "none"),
)
_CONTROL_PARTS = re.compile("nontarget|control|ctrl|dmso|vehicle|untreat|unstim|unperturb|scrambl|safetarget")


@dataclass(frozen=True)
class ColumnChoice:
    """A column that was taken for a role.

    Parameters
    ----------
    role, column
        What is meant, and the name in ``obs``.
    why
        What speaks for it.
    others
        Columns that would have done as well, the likeliest first.
    """

    role: str
    column: str
    why: str
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class PerturbationChoice:
    """The column that says what was done, and its label of the controls.

    ``other_controls`` are labels that look like controls too.
    """

    chosen: ColumnChoice
    control: str
    other_controls: tuple[str, ...] = ()


def plain(name: object) -> str:
    """Write a name without case, blanks and signs: ``Cell.Type`` is ``celltype``."""
    return re.sub(r"[^a-z0-9]", "", str(name).casefold())


def control_labels(values: pd.Series) -> tuple[str, ...]:
    """Return the labels of a column that look like controls, the likeliest first."""
    counts = values.dropna().astype(str).value_counts()
    exact = [label for name in _CONTROLS for label in counts.index if plain(label) == name]
    partly = [label for label in counts.index if _CONTROL_PARTS.search(plain(label))]
    return tuple(dict.fromkeys((*exact, *partly)))


def is_number(values: pd.Series) -> bool:
    """Tell a column of numbers from one of labels; truth values are labels."""
    return bool(pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_bool_dtype(values.dtype))


def find_perturbation(obs: pd.DataFrame) -> PerturbationChoice | None:
    """Find the column that says what was done to the cells; None where no column has both perturbed and control cells.

    A column counts if one of its labels looks like a control. Among several, the name decides.
    """
    found = [(_rank(name, "perturbation"), name, control_labels(obs[name])) for name in _label_columns(obs)]
    found = [each for each in found if "method" not in plain(each[1])]  # how it was done is not what
    ranked = sorted((rank, place, name, labels) for place, (rank, name, labels) in enumerate(found) if labels)
    if not ranked:
        return None
    (rank, _, column, labels), *rest = ranked
    # The same words under another name, or the type of what was done, are no alternative.
    others = [name for _, _, name, _ in rest if not obs[name].astype(str).equals(obs[column].astype(str))]
    named = "its name says so, and" if rank < _UNNAMED else "no column is named like a perturbation, but"
    why = f"{named} {labels[0]!r} looks like a control"
    return PerturbationChoice(ColumnChoice("perturbation", column, why, tuple(others)), labels[0], labels[1:])


def find_role(obs: pd.DataFrame, role: str, taken: Sequence[str] = ()) -> ColumnChoice | None:
    """Find the column of a role by its name, among those that hold what the role needs; None where there is none."""
    fitting = [
        (_rank(name, role), place, str(name))
        for place, name in enumerate(obs)
        if name not in taken and _rank(name, role) < _UNNAMED and _FITS[role](obs[name])
    ]
    if not fitting:
        return None
    _, _, column = min(fitting)
    return ColumnChoice(role, column, "by its name", tuple(name for _, _, name in sorted(fitting)[1:]))


def find_types(obs: pd.DataFrame, perturbed: pd.Series, taken: Sequence[str] = ()) -> ColumnChoice | None:
    """Find the column with the types of perturbations, by its values; `perturbed` says which cells are."""
    for name in obs:
        values = set(obs.loc[perturbed, name].astype(str).str.strip())
        if name not in taken and values and values <= set(PERTURBATION_TYPES):
            return ColumnChoice("perturbation_type", str(name), f"its values are {' and '.join(sorted(values))}")
    return None


def find_method(obs: pd.DataFrame, perturbed: pd.Series, taken: Sequence[str] = ()) -> ColumnChoice | None:
    """Find the column that says how genes were perturbed, by its values."""
    for name in _label_columns(obs):
        if name in taken:
            continue
        try:
            methods = canonical_methods(obs.loc[perturbed, name], str(name))
        except UnusableCells:  # its values are no methods, which is the question
            continue
        if methods:
            return ColumnChoice("method", name, f"its values are {' and '.join(sorted(set(methods)))}")
    return None


def _label_columns(obs: pd.DataFrame) -> Iterator[str]:
    for name in obs:
        values = obs[name]
        types = {*PERTURBATION_TYPES, "none", "nan"}
        if is_number(values) or not 2 <= values.nunique() <= min(MOST_LABELS, max(2, len(values) // 2)):
            continue
        if not set(values.astype(str).unique()) <= types:
            yield str(name)


_UNNAMED = 1000


def _rank(name: object, role: str) -> int:
    """Return how well a name fits a role, 0 the best; `_UNNAMED` where it doesn't."""
    word = plain(name)
    if word in NAMES[role]:
        return NAMES[role].index(word)
    others = any(word in names for other, names in NAMES.items() if other != role)
    return _UNNAMED if others or not _PARTS[role].search(word) else len(NAMES[role])


def _is_label(values: pd.Series) -> bool:
    # Clusters are numbered, and numbers of clusters are few.
    return values.nunique() <= max(1, len(values) // 2) and not (is_number(values) and values.nunique() > 200)


def _is_dose(values: pd.Series) -> bool:
    numbers = pd.to_numeric(values.astype(str), errors="coerce")
    return bool((numbers > 0).any())


def _is_depth(values: pd.Series) -> bool:
    return is_number(values) and bool(np.isfinite(values.to_numpy(dtype=float)).all())


_FITS: Mapping[str, Callable[[pd.Series], bool]] = {
    **dict.fromkeys(("cell_type", "donor", "guide", "batch"), _is_label),
    "dose": _is_dose,
    "depth": _is_depth,
}
