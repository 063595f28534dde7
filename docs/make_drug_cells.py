"""Simulate drugs with real structures for the tutorial: ``python docs/make_drug_cells.py PRIORS_TABLE [FOLDER]``.

The table is that of the sci-Plex 3 drugs, with names, structures, targets and pathways. Cells are simulated: a drug's
programme is made of its pathway, its target and a part of its own (`lingshu_core.drug_simulator`), so the right answer
is known. Of 60 drugs 54 get cells, six doses in three lines; the other six, three of them HDAC inhibitors, are never
seen, and stand in the library beside the rest.
"""

from __future__ import annotations

import sys
from pathlib import Path

import anndata
import numpy as np
import pandas as pd

from lingshu_core.drug_simulator import (
    AnnotatedDrug,
    DrugSimulation,
    DrugSimulationConfig,
    parse_targets,
    simulate_drugs,
)

CLASS = "HDAC"
OF_CLASS, OTHERS, UNSEEN = 20, 40, 3
"""Drugs of the class and others; of each so many that no cell is made for."""
RAISED = 20
"""Genes of the programme."""
CONFIG = DrugSimulationConfig(
    genes=300, cells=24, control_cells=500, doses=(0.03, 0.1, 0.3, 1.0, 3.0, 10.0), strength=0.7, seed=1
)


def chosen(table: Path) -> list[AnnotatedDrug]:
    """Read the drugs of the class, and as many others as are wanted, in the order of the table."""
    rows = pd.read_csv(table, sep="\t", keep_default_na=False)
    rows["structure"] = rows["smiles_canonical"].where(rows["smiles_canonical"] != "", rows["smiles_vendor"])
    known = [
        AnnotatedDrug(row["name"], row["structure"].split()[0], parse_targets(row["target"]), row["pathway"])
        for row in rows[rows["structure"] != ""].to_dict("records")  # some have a comment behind the structure
    ]
    of_class = [drug for drug in known if CLASS in drug.targets]
    return of_class[:OF_CLASS] + [drug for drug in known if drug not in of_class][:OTHERS]


def write_cells(simulation: DrugSimulation, unseen: set[str], path: Path) -> int:
    """Write the cells of all but the unseen drugs; return how many there are."""
    kept = ~simulation.obs["perturbation"].isin(unseen).to_numpy()
    var = pd.DataFrame(index=list(simulation.genes))
    anndata.AnnData(simulation.counts[kept], obs=simulation.obs[kept].copy(), var=var).write_h5ad(path)
    return int(kept.sum())


def write_programme(simulation: DrugSimulation, path: Path) -> None:
    """Write the genes that drugs of the class raise most beside all others, by the truth, as a GMT file."""
    of_class = np.array([CLASS in drug.targets for drug in simulation.drugs])
    lead = simulation.programme[of_class].mean(axis=0) - simulation.programme[~of_class].mean(axis=0)
    genes = [simulation.genes[gene] for gene in np.argsort(lead, kind="stable")[-RAISED:]]
    path.write_text("\t".join([f"{CLASS}_PROGRAMME", "simulated", *genes]) + "\n", encoding="utf-8")


def main(arguments: list[str]) -> None:
    """Write ``cells.h5ad``, ``library.tsv`` and ``programme.gmt``."""
    folder = Path(arguments[1] if len(arguments) > 1 else "results/drugs")
    folder.mkdir(parents=True, exist_ok=True)
    drugs = chosen(Path(arguments[0]))
    unseen = {drug.name for drug in [*drugs[OF_CLASS - UNSEEN : OF_CLASS], *drugs[-UNSEEN:]]}
    simulation = simulate_drugs(drugs, CONFIG)
    cells = write_cells(simulation, unseen, folder / "cells.h5ad")
    write_programme(simulation, folder / "programme.gmt")
    rows = [(drug.name, drug.smiles) for drug in drugs]
    pd.DataFrame(rows, columns=["id", "structure"]).to_csv(folder / "library.tsv", sep="\t", index=False)
    print(f"{cells:,} cells of {len(drugs) - len(unseen)} drugs; in the library, but without cells: {sorted(unseen)}")


if __name__ == "__main__":
    main(sys.argv[1:])
