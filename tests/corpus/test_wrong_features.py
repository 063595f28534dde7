"""Files that describe perturbations, and can't be used."""

import gzip
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

Refused = Callable[..., None]
Edited = Callable[[str, str, str], None]

NAMES = ["REG04", "REG05", "REG08"]


def parquet(**columns: Any) -> bytes:
    content = io.BytesIO()
    pd.DataFrame(columns).to_parquet(content)
    return content.getvalue()


def npz(**arrays: Any) -> bytes:
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


TABLE, SETS, LINKS = "{kind: table, file: list}", "{kind: gene_sets, file: list}", "{kind: links, file: list}"
GRAPH = "{kind: table, file: good, graph: {file: list}}"
GOOD = parquet(name=NAMES, a=[1.0, 2.0, 3.0], b=[0.5, 0.1, 0.7])

GENETIC: dict[str, tuple[str, bytes | None, str]] = {
    "not there": (TABLE, None, "?"),
    "empty": (TABLE, b"", "?"),
    "a text for a table": (TABLE, b"name,a\nREG04,1\n", "?"),
    "a pickle for a table": (TABLE, pickle.dumps({"REG04": [1.0]}), "?"),
    "truncated Parquet": (TABLE, GOOD[:-30], "?"),
    "truncated npz": (TABLE, npz(names=np.array(NAMES), features=np.ones((3, 2)))[:-60], "?"),
    "npz with objects": (TABLE, npz(names=np.array(NAMES, dtype=object), features=np.ones((3, 2))), "?"),
    "npz without features": (TABLE, npz(names=np.array(NAMES), values=np.ones((3, 2))), "?"),
    "npz with numbers for names": (TABLE, npz(names=np.arange(3), features=np.ones((3, 2))), "?"),
    "npz with texts for features": (TABLE, npz(names=np.array(NAMES), features=np.array([["a"]] * 3)), "?"),
    "npz with rows too few": (TABLE, npz(names=np.array(NAMES), features=np.ones((2, 2))), "?"),
    "npz with one number a name": (TABLE, npz(names=np.array(NAMES), features=np.ones(3)), "?"),
    "no column of names": (TABLE, parquet(a=[1.0, 2.0]), "?"),
    "two columns of names": (TABLE, parquet(name=NAMES, symbol=NAMES, a=[1.0, 2.0, 3.0]), "?"),
    "names alone": (TABLE, parquet(name=NAMES), "?"),
    "a name twice": (TABLE, parquet(name=["REG04", "REG04"], a=[1.0, 2.0]), "?"),
    "a name missing": (TABLE, parquet(name=["REG04", None], a=[1.0, 2.0]), "?"),
    "one name": (TABLE, parquet(name=["REG04"], a=[1.0]), "?"),
    "NaN": (TABLE, parquet(name=NAMES, a=[1.0, np.nan, 3.0]), "?"),
    "lists of unequal length": (TABLE, parquet(name=NAMES, a=[[1.0], [1.0, 2.0], [3.0]]), "?"),
    "lists of texts": (TABLE, parquet(name=NAMES, a=[["x"], ["y"], ["z"]]), "?"),
    "names of other genes": (TABLE, parquet(name=["A", "B"], a=[1.0, 2.0]), "?"),
    "a name that it doesn't know": ("{kind: table, file: list, names: [REG99]}", GOOD, "?"),
    "a column that isn't there": ("{kind: table, file: list, name: gene}", GOOD, "?"),
    "gene sets without genes": (SETS, b"A\tabout\n", "?"),
    "gene sets without tabs": (SETS, b"A about REG04 REG05\n", "?"),
    "gene sets that are all too small": (SETS, b"A\tabout\tREG04\tREG05\n", "?"),
    "gene sets that are no text": (SETS, b"\x89PNG\xff", "?"),
    "gene sets of damaged gzip": (SETS, gzip.compress(b"A\tabout\tREG04\n")[:-9], "?"),
    "a gene set twice": (SETS, b"A\tx\tREG04\nA\tx\tREG05\n", "?"),
    "links without their column": (LINKS, b"tf,target\nREG04,REG05\n", "?"),
    "links of nothing": (LINKS, b"source,target\n", "?"),
    "links with an end missing": (LINKS, b"source,target\nREG04,REG05\nREG08,\n", "?"),
    "links with a sign in words": ("{kind: links, file: list, sign: mor}", b"source,target,mor\nREG04,REG05,up\n", "?"),
    "links of sign nought": ("{kind: links, file: list, sign: mor}", b"source,target,mor\nREG04,REG05,0\n", "?"),
    "links of unequal rows": (LINKS, b"source,target\nREG04,REG05\na,b,c,d\n", "?"),
    "links in Latin-1": (LINKS, b"source,target\nREG\xb5,REG05\n", "?"),
    "links of damaged gzip": (LINKS, b"\x1f\x8b\x08\x00", "?"),
    "a network that isn't there": (GRAPH, None, "?"),
    "a network without its column": (GRAPH, b"from,to\nREG04,REG05\n", "?"),
    "a network with a negative weight": (
        "{kind: table, file: good, graph: {file: list, weight: w}}",
        b"source,target,w\nREG04,REG05,-1\n",
        "?",
    ),
    "a network with a weight in words": (
        "{kind: table, file: good, graph: {file: list, weight: w}}",
        b"source,target,w\nREG04,REG05,strong\n",
        "?",
    ),
    "a URL of an unknown scheme": ("{kind: table, file: 'gopher://host/x'}", None, "?"),
}


@pytest.mark.parametrize(("source", "content", "message"), GENETIC.values(), ids=GENETIC)
def test_features_of_genes(
    desk: Path, edited: Edited, refused: Refused, source: str, content: bytes | None, message: str
) -> None:
    (desk / "good").write_bytes(GOOD)
    if content is not None:
        (desk / "list").write_bytes(content)
    edited("train.yaml", "features: null", f"features: {{genetic: [{source}]}}")
    refused("train", "train.yaml", says=message)


DRUGS: dict[str, tuple[bytes, str]] = {
    "no structure": (b"name,smiles\nDRUG01,C1CC\nDRUG02,CCO\n", "?"),
    "a structure in words": (b"name,smiles\nDRUG01,aspirin\nDRUG02,CCO\n", "?"),
    "a drug with two structures": (b"name,smiles\nDRUG01,CC\nDRUG01,CCO\n", "?"),
    "no drug": (b"name,smiles\n", "?"),
    "no column": (b"drug,smiles\nDRUG01,CC\n", "?"),
    "other drugs": (b"name,smiles\nA,CC\nB,CCO\n", "?"),
    "a structure of 20,000 atoms": (b"name,smiles\nDRUG01," + b"C" * 20_000 + b"\nDRUG02,CCO\n", "?"),
}


@pytest.mark.parametrize(("content", "message"), DRUGS.values(), ids=DRUGS)
def test_structures_of_drugs(desk: Path, edited: Edited, refused: Refused, content: bytes, message: str) -> None:
    (desk / "list").write_bytes(content)
    edited("train.yaml", "features: null", "features: {drug: [{kind: smiles, file: list}]}")
    refused("train", "train.yaml", says=message)
