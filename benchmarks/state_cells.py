"""STATE beside the model: a run of its published commands, and its inference timed in a process that stays.

Runs in an environment of its own, which no part of this project needs otherwise::

    python -m venv state && state/bin/pip install torch==2.13.0 arc-state==0.11.1
    export LINGSHU_STATE_PYTHON=$PWD/state/bin/python

It imports nothing of this project. ``state tx preprocess_train`` and ``state tx train`` make a run in its default
configuration (`model=state`, its README's 2,000 highly variable genes) by *one* step, so its weights are as good as
untrained, which no timing depends on. Then each line on standard input, ``CONDITIONS CELLS``, is one ``state tx
infer`` of so many perturbations with so many cells each, beside as many controls; the answer is a line of JSON with
its seconds.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import scipy.sparse as sp
import torch

KEY = "X_hvg"


def main() -> None:
    arguments = _arguments()
    answers = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):  # it prints its model
        torch.set_num_threads(1)
        prepare(arguments)
        controls = _controls(arguments)
        model = json.dumps({"genes": controls.obsm[KEY].shape[1], "controls": controls.n_obs, **_shape(arguments.work)})
        print(model, file=answers, flush=True)
        for line in sys.stdin:
            conditions, cells = map(int, line.split())
            print(json.dumps(infer(arguments.work, controls, conditions, cells)), file=answers, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help=".h5ad with raw counts, perturbation, cell_type and donor")
    parser.add_argument("--work", type=Path, required=True, help="where its run and its files are written")
    parser.add_argument("--genes", type=int, default=2_000, help="highly variable genes")
    parser.add_argument("--cell-type", required=True, help="whose controls are the basal cells")
    return parser.parse_args()


def prepare(arguments: argparse.Namespace) -> None:
    """Make the run, unless it is there."""
    work = arguments.work
    if (work / "run/checkpoints/final.ckpt").exists():
        return
    (work / "data").mkdir(parents=True, exist_ok=True)
    cells = anndata.read_h5ad(arguments.data)
    cells.X = sp.csr_matrix(cells.X).astype(np.float32)
    cells.obs = cells.obs[["perturbation", "cell_type", "donor"]].astype(str)
    cells.var["gene_name"] = cells.var_names.astype(str)  # where its loader looks
    cells.uns.clear()
    cells.write_h5ad(work / "raw.h5ad")
    (work / "split.toml").write_text(f'[datasets]\nset = "{work}/data/"\n\n[training]\nset = "train"\n')
    options = {
        "data.kwargs.toml_config_path": work / "split.toml",
        "data.kwargs.embed_key": KEY,
        "data.kwargs.output_space": "gene",
        "data.kwargs.pert_col": "perturbation",
        "data.kwargs.cell_type_key": "cell_type",
        "data.kwargs.control_pert": "control",
        "data.kwargs.batch_col": "donor",
        "data.kwargs.num_workers": 0,
        "data.kwargs.pin_memory": "false",
        "training.max_steps": 1,
        "training.batch_size": 1,
        "model": "state",
        "use_wandb": "false",
        "output_dir": work,
        "name": "run",
    }
    hvgs = ("--adata", work / "raw.h5ad", "--output", work / "data/cells.h5ad", "--num_hvgs", arguments.genes)
    _state("preprocess_train", *hvgs)
    _state("train", *(f"{name}={value}" for name, value in options.items()))


def _state(command: str, *options: object) -> None:
    tool = Path(sys.executable).parent / "state"
    subprocess.run([tool, "tx", command, *map(str, options)], check=True, stdout=sys.stderr)


def _controls(arguments: argparse.Namespace) -> anndata.AnnData:
    cells = anndata.read_h5ad(arguments.work / "data/cells.h5ad")
    return cells[(cells.obs["perturbation"] == "control") & (cells.obs["cell_type"] == arguments.cell_type)].copy()


def _shape(work: Path) -> dict[str, object]:
    import yaml

    model = yaml.safe_load((work / "run/config.yaml").read_text())["model"]["kwargs"]
    backbone = model["transformer_backbone_kwargs"]
    weights = torch.load(work / "run/checkpoints/final.ckpt", map_location="cpu", weights_only=True)["state_dict"]
    return {
        "cell_set_len": model["cell_set_len"],
        "hidden_dim": model["hidden_dim"],
        "layers": backbone["num_hidden_layers"],
        "parameters": sum(tensor.numel() for tensor in weights.values()),
    }


def infer(work: Path, controls: anndata.AnnData, conditions: int, cells: int) -> list[float]:
    """Write the question, untimed, and have it answered by the published command in this process.

    Returns
    -------
    CPU seconds from one pass of its loop to the next: a condition each, without reading and writing of files.
    """
    from state._cli._tx._infer import add_arguments_infer, run_tx_infer
    from state.tx.models.state_transition import StateTransitionPerturbationModel

    drawn = np.random.default_rng(0).choice(controls.n_obs, cells)
    names = ["control", *(f"P{number}" for number in range(conditions))]
    asked = controls[np.tile(drawn, len(names))].copy()
    asked.obs_names = [f"cell {number}" for number in range(asked.n_obs)]
    asked.obs["perturbation"] = np.repeat(names, cells)
    asked.write_h5ad(work / "question.h5ad")
    parser = argparse.ArgumentParser()
    add_arguments_infer(parser)
    options = {
        "--model-dir": work / "run",
        "--adata": work / "question.h5ad",
        "--output": work / "answer.npy",
        "--embed-key": KEY,
        "--pert-col": "perturbation",
        "--celltype-col": "cell_type",
        "--control-pert": "control",
    }
    parsed = parser.parse_args([str(word) for pair in options.items() for word in pair] + ["--quiet"])
    ends: list[float] = []
    unwatched = StateTransitionPerturbationModel.predict_step

    def watched(*arguments: Any, **named: Any) -> Any:
        found = unwatched(*arguments, **named)
        ends.append(time.process_time())
        return found

    StateTransitionPerturbationModel.predict_step = watched
    try:
        run_tx_infer(parsed)
    finally:
        StateTransitionPerturbationModel.predict_step = unwatched
    return np.diff(ends).tolist()  # the first pass, which allocates, is that of the controls


if __name__ == "__main__":
    main()
