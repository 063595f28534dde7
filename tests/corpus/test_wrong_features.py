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
    "not there": (TABLE, None, "list: no such file; check the path (and LINGSHU_DATA, if the path uses it)"),
    "empty": (TABLE, b"", "list: neither .npz nor readable .parquet ([...])"),
    "a text for a table": (TABLE, b"name,a\nREG04,1\n", "list: neither .npz nor readable .parquet ([...])"),
    "a pickle for a table": (TABLE, pickle.dumps({"REG04": [1.0]}), "list: neither .npz nor readable .parquet ([...])"),
    "truncated Parquet": (TABLE, GOOD[:-30], "list: neither .npz nor readable .parquet ([...])"),
    "truncated npz": (
        TABLE,
        npz(names=np.array(NAMES), features=np.ones((3, 2)))[:-60],
        "list: not a readable .npz ([...]); write it with numpy.savez",
    ),
    "npz with objects": (
        TABLE,
        npz(names=np.array(NAMES, dtype=object), features=np.ones((3, 2))),
        "list: an array can't be read without pickle, which is never loaded ([...]); write the names "
        "with names.astype(str) and the features as floats",
    ),
    "npz without features": (
        TABLE,
        npz(names=np.array(NAMES), values=np.ones((3, 2))),
        "list: the array 'features' is missing; an .npz has `names` (text) and `features` (names, "
        "columns); there are: names, values",
    ),
    "npz with numbers for names": (
        TABLE,
        npz(names=np.arange(3), features=np.ones((3, 2))),
        "list: `names` has to be a list of text, not int64 of shape (3,)",
    ),
    "npz with texts for features": (
        TABLE,
        npz(names=np.array(NAMES), features=np.array([["a"]] * 3)),
        "list: `features` has to be numbers, not <U1",
    ),
    "npz with rows too few": (
        TABLE,
        npz(names=np.array(NAMES), features=np.ones((2, 2))),
        "list: 3 names and features of the shape (2, 2); features are one row of numbers for each name",
    ),
    "npz with one number a name": (
        TABLE,
        npz(names=np.array(NAMES), features=np.ones(3)),
        "list: 3 names and features of the shape (3,); features are one row of numbers for each name",
    ),
    "no column of names": (
        TABLE,
        parquet(a=[1.0, 2.0]),
        "list: there are 0 text columns (none); say which one has the names with `name`",
    ),
    "two columns of names": (
        TABLE,
        parquet(name=NAMES, symbol=NAMES, a=[1.0, 2.0, 3.0]),
        "list: there are 2 text columns (name, symbol); say which one has the names with `name`",
    ),
    "names alone": (
        TABLE,
        parquet(name=NAMES),
        "list: has 0 numeric columns and 0 columns of lists; features are numeric columns or one "
        "column of lists of numbers",
    ),
    "a name twice": (
        TABLE,
        parquet(name=["REG04", "REG04"], a=[1.0, 2.0]),
        "list: 1 names occur more than once (REG04); keep one row of each",
    ),
    "a name missing": (
        TABLE,
        parquet(name=["REG04", None], a=[1.0, 2.0]),
        "list: row 2 has no name; name it or drop it",
    ),
    "one name": (
        TABLE,
        parquet(name=["REG04"], a=[1.0]),
        "list: describes 1 names; at least two are needed to compare",
    ),
    "NaN": (
        TABLE,
        parquet(name=NAMES, a=[1.0, np.nan, 3.0]),
        "list: the features of 'REG05' have NaN or infinite values; drop or fill them",
    ),
    "lists of unequal length": (
        TABLE,
        parquet(name=NAMES, a=[[1.0], [1.0, 2.0], [3.0]]),
        "list: the lists in column 'a' have gaps or different lengths",
    ),
    "lists of texts": (
        TABLE,
        parquet(name=NAMES, a=[["x"], ["y"], ["z"]]),
        "list: column 'a' has lists of something else than numbers",
    ),
    "names of other genes": (
        TABLE,
        parquet(name=["A", "B"], a=[1.0, 2.0]),
        "features.genetic: none of the 5 genetic perturbations of the training is described, such as "
        "'REG04' (known: A, B); use the same names in the features and in the data",
    ),
    "a name that it doesn't know": (
        "{kind: table, file: list, names: [REG99]}",
        GOOD,
        "list: `names` lists 'REG99', which it doesn't know; nearest: REG08, REG05, REG04",
    ),
    "a column that isn't there": (
        "{kind: table, file: list, name: gene}",
        GOOD,
        "list: there is no column 'gene' (name); columns are: name, a, b",
    ),
    "gene sets without genes": (
        SETS,
        b"A\tabout\n",
        "list:1: isn't a GMT line: name, description and genes, separated by tabs",
    ),
    "gene sets without tabs": (
        SETS,
        b"A about REG04 REG05\n",
        "list:1: isn't a GMT line: name, description and genes, separated by tabs",
    ),
    "gene sets that are all too small": (
        SETS,
        b"A\tabout\tREG04\tREG05\n",
        "list: none of the 1 gene sets has 5 to 500 genes",
    ),
    "gene sets that are no text": (SETS, b"\x89PNG\xff", "list: isn't UTF-8 text; give a .gmt or .gmt.gz file"),
    "gene sets of damaged gzip": (
        SETS,
        gzip.compress(b"A\tabout\tREG04\n")[:-9],
        "list: is damaged gzip: [...]; fetch it again",
    ),
    "a gene set twice": (SETS, b"A\tx\tREG04\nA\tx\tREG05\n", "list:2: gene set 'A' appears twice, first on line 1"),
    "links without their column": (
        LINKS,
        b"tf,target\nREG04,REG05\n",
        "list: there is no column 'source' (source); columns are: tf, target",
    ),
    "links of nothing": (LINKS, b"source,target\n", "list: the table has no rows"),
    "links with an end missing": (
        LINKS,
        b"source,target\nREG04,REG05\nREG08,\n",
        "list:3: column 'target' (target) is empty",
    ),
    "links with a sign in words": (
        "{kind: links, file: list, sign: mor}",
        b"source,target,mor\nREG04,REG05,up\n",
        "list:2: 'up' in column 'mor' is no number",
    ),
    "links of sign nought": (
        "{kind: links, file: list, sign: mor}",
        b"source,target,mor\nREG04,REG05,0\n",
        "list: none of the links has a weight or sign other than 0",
    ),
    "links of unequal rows": (LINKS, b"source,target\nREG04,REG05\na,b,c,d\n", "list: not a readable table ([...])"),
    "links in Latin-1": (LINKS, b"source,target\nREG\xb5,REG05\n", "list: isn't UTF-8 text, and no parquet either"),
    "links of damaged gzip": (LINKS, b"\x1f\x8b\x08\x00", "list: is damaged gzip ([...])"),
    "a network that isn't there": (
        GRAPH,
        None,
        "list: no such file; check the path (and LINGSHU_DATA, if the path uses it)",
    ),
    "a network without its column": (
        GRAPH,
        b"from,to\nREG04,REG05\n",
        "list: there is no column 'source' (source); columns are: from, to",
    ),
    "a network with a negative weight": (
        "{kind: table, file: good, graph: {file: list, weight: w}}",
        b"source,target,w\nREG04,REG05,-1\n",
        "list:2: a weight is negative; in a network for averaging, weights are 0 or more",
    ),
    "a network with a weight in words": (
        "{kind: table, file: good, graph: {file: list, weight: w}}",
        b"source,target,w\nREG04,REG05,strong\n",
        "list:2: 'strong' in column 'w' is no number",
    ),
    "a URL of an unknown scheme": (
        "{kind: table, file: 'gopher://host/x'}",
        None,
        "gopher://host/x: can't be read (Protocol not known: gopher)",
    ),
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
    "no structure": (
        b"name,smiles\nDRUG01,C1CC\nDRUG02,CCO\n",
        "list:2: 'DRUG01': 'C1CC' is no valid SMILES: it can't be parsed; correct it or leave the cell empty",
    ),
    "a structure in words": (
        b"name,smiles\nDRUG01,aspirin\nDRUG02,CCO\n",
        "list:2: 'DRUG01': 'aspirin' is no valid SMILES: it can't be parsed; correct it or leave the cell empty",
    ),
    "a drug with two structures": (
        b"name,smiles\nDRUG01,CC\nDRUG01,CCO\n",
        "list:3: 'DRUG01' has two structures, CC and CCO; keep the right one",
    ),
    "no drug": (b"name,smiles\n", "list: none of the 0 rows has a SMILES"),
    "no column": (b"drug,smiles\nDRUG01,CC\n", "list: there is no column 'name' (name); columns are: drug, smiles"),
    "other drugs": (
        b"name,smiles\nA,CC\nB,CCO\n",
        "features.drug: none of the 2 drug perturbations of the training is described, such as "
        "'DRUG01' (known: A, B); use the same names in the features and in the data",
    ),
    "a structure of 20,000 atoms": (
        b"name,smiles\nDRUG01," + b"C" * 20_000 + b"\nDRUG02,CCO\n",
        "list:2: 'DRUG01': "
        "'CCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCC"
        "CCCCCCCCCCCCCCCCCCCCCCCCCCCC'… has 20,000 characters, and at most 1,000 are read: it is no "
        "small molecule; correct it or leave the cell empty",
    ),
}


@pytest.mark.parametrize(("content", "message"), DRUGS.values(), ids=DRUGS)
def test_structures_of_drugs(desk: Path, edited: Edited, refused: Refused, content: bytes, message: str) -> None:
    (desk / "list").write_bytes(content)
    edited("train.yaml", "features: null", "features: {drug: [{kind: smiles, file: list}]}")
    refused("train", "train.yaml", says=message)
