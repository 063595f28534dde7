"""How a gene was perturbed: knock-out, CRISPRi or CRISPRa.

Knocking a gene out and activating it are different perturbations. Labels stay as they are in the data as long
as a target has one method. A target that has several is told apart: ``KLF1 (CRISPRa)`` and ``KLF1 (CRISPRi)``
are two perturbations, and no cell of one ever trains the embedding of the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING

from lingshu_core.errors import UnusableCells
from lingshu_core.vocabulary import join_parts, split_label

if TYPE_CHECKING:
    import pandas as pd

METHODS = ("knockout", "CRISPRi", "CRISPRa")
_SPELLINGS: Mapping[str, str] = {
    **dict.fromkeys(("knockout", "ko", "crisprko", "crisprknockout", "crisprcas9", "cas9"), "knockout"),
    **dict.fromkeys(("crispri", "crisprinterference", "interference"), "CRISPRi"),
    **dict.fromkeys(("crispra", "crispractivation", "activation"), "CRISPRa"),
}
_SUFFIX = re.compile(rf"(.+) \(({'|'.join(METHODS)})\)", re.DOTALL)


def split_method(part: str) -> tuple[str, str | None]:
    """Split ``KLF1 (CRISPRa)`` into target and method; None where the name says no method."""
    found = _SUFFIX.fullmatch(part)
    return (found[1], found[2]) if found else (part, None)


def target_of(part: str) -> str:
    """Return the gene of a genetic perturbation: its name without a method."""
    return split_method(part)[0]


def canonical_methods(values: Iterable[object], where: str) -> list[str]:
    """Read the methods of cells, however they are spelt.

    Parameters
    ----------
    values
        Texts such as ``CRISPRi``, ``crispr-ko`` or ``Knock-out``, (cells,).
    where
        File and column, for messages.

    Raises
    ------
    UnusableCells
        If a text is no known method.
    """
    texts = [str(value) for value in values]
    found = {text: _SPELLINGS.get(_plain(text)) for text in dict.fromkeys(texts)}
    unknown = sorted(text for text, method in found.items() if method is None)
    if unknown:
        alike = get_close_matches(_plain(unknown[0]), _SPELLINGS, n=1)
        nearest = f" (did you mean {_SPELLINGS[alike[0]]}?)" if alike else ""
        shown = ", ".join(map(repr, unknown[:5]))
        raise UnusableCells(
            f"{where}: unknown method {shown}{nearest}; a method is one of {', '.join(METHODS)}: rename the values, or"
            " leave data.columns.method out"
        )
    return [method for text in texts if (method := found[text]) is not None]


def _plain(text: str) -> str:
    return re.sub(r"[\s_\-/]", "", text).casefold()


def told_apart(labels: pd.Series, methods: pd.Series) -> pd.Series:
    """Add the method to the names of targets that the cells have by several; twice is as good as once.

    Parameters
    ----------
    labels
        Perturbation of each cell, combinations as ``A+B``, (cells,). It has to be all cells of a training: a
        target may have one method in each of two files.
    methods
        Method of each cell; empty for controls and for what is not genetic.

    Returns
    -------
    pandas.Series
        Labels; those of targets with one method are as they were.
    """
    import pandas as pd  # slow to import, and of no use to who only reads a vocabulary

    pairs = pd.DataFrame({"label": labels, "method": methods}).drop_duplicates()
    seen: dict[str, set[str]] = {}
    for label, method in pairs.itertuples(index=False):
        for part in split_label(label) if method else ():
            seen.setdefault(target_of(part), set()).add(method)
    several = {part for part, found in seen.items() if len(found) > 1}
    if not several:
        return labels
    names = {
        (label, method): _with_method(label, method, several)
        for label, method in pairs.itertuples(index=False, name=None)
    }
    return pd.Series([names[pair] for pair in zip(labels, methods, strict=True)], index=labels.index)


def _with_method(label: str, method: str, several: set[str]) -> str:
    if not method:
        return label
    targets = {part: target_of(part) for part in split_label(label)}
    return join_parts([f"{to} ({method})" if to in several else part for part, to in targets.items()])


def part_methods(obs: pd.DataFrame) -> dict[str, str]:
    """Return the method of each single genetic perturbation, where the cells or its own name tell it.

    Parameters
    ----------
    obs
        Columns ``perturbation``, ``perturbation_type`` and, where the data name it, ``method``.
    """
    found: dict[str, str] = {}
    genetic = obs[obs["perturbation_type"] == "genetic"]
    columns = ["perturbation", *(["method"] if "method" in obs else [])]
    for label, *named in genetic[columns].drop_duplicates().itertuples(index=False, name=None):
        for part in split_label(label):
            method = split_method(part)[1] or (named[0] if named else "")
            if method:
                found[part] = method
    return dict(sorted(found.items()))
