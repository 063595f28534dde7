"""scVI beside the model: trained on the same cells, its latent means and cells drawn from it.

Runs in an environment of its own, which no part of this project needs otherwise::

    python -m venv scvi && scvi/bin/pip install scvi-tools==1.4.2
    export LINGSHU_SCVI_PYTHON=$PWD/scvi/bin/python

It imports nothing of this project and speaks through files: an ``.h5ad`` to train on, one to embed, an ``.npy`` of
latent means, an ``.h5ad`` of drawn cells.
"""

from __future__ import annotations

import argparse
import warnings

import anndata
import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch


def main() -> None:
    arguments = _arguments()
    warnings.filterwarnings("ignore")
    import scvi

    torch.set_num_threads(1)
    scvi.settings.seed = arguments.seed
    training = anndata.read_h5ad(arguments.train)
    genes = _genes(training, arguments.genes)
    training = _plain(training[:, genes])
    scvi.model.SCVI.setup_anndata(training)
    model = scvi.model.SCVI(training)
    model.train(
        max_epochs=arguments.epochs,
        early_stopping=arguments.early_stopping,
        plan_kwargs={"n_epochs_kl_warmup": arguments.kl_warmup},
        accelerator="cpu",
        enable_progress_bar=False,
    )
    print(f"scVI: {model.history['elbo_train'].shape[0]} epochs of {arguments.epochs}", flush=True)
    if arguments.embed:
        cells = _plain(anndata.read_h5ad(arguments.embed)[:, genes])
        np.save(arguments.latent, model.get_latent_representation(cells))
    for predictive, file in zip(arguments.predictive, arguments.cells, strict=True) if arguments.generate else ():
        counts = draw(model, training, arguments.generate, arguments.seed, predictive)
        drawn = anndata.AnnData(counts, var=pd.DataFrame(index=genes))
        drawn.uns["epochs"] = model.history["elbo_train"].shape[0]
        drawn.write_h5ad(file)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", required=True, help=".h5ad with raw counts to train on")
    parser.add_argument("--genes", type=int, default=0, help="most variable genes of the training cells; 0 for all")
    parser.add_argument("--epochs", type=int, default=150)
    parser.add_argument("--kl-warmup", type=int, default=400, help="epochs until the prior counts in full [scVI's 400]")
    parser.add_argument("--early-stopping", action="store_true", help="scVI's own: a tenth of the cells, patience 45")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--embed", help=".h5ad whose latent means are wanted")
    parser.add_argument("--latent", help=".npy to write them to, (cells, latent dimensions)")
    parser.add_argument("--generate", type=int, default=0, help="number of cells to draw")
    parser.add_argument("--predictive", nargs="+", choices=("prior", "posterior"), default=["prior"])
    parser.add_argument("--cells", nargs="+", default=[], help=".h5ad to write them to, one for each --predictive")
    return parser.parse_args()


def _genes(cells: anndata.AnnData, number: int) -> pd.Index:
    """Return the most variable genes, of log1p counts per 10k; in the order of the file."""
    if not number or number >= cells.n_vars:
        return cells.var_names
    counts = sp.csr_matrix(cells.X).astype(float)
    scaled = (sp.diags(1e4 / np.asarray(counts.sum(axis=1)).ravel()) @ counts).log1p()
    mean = np.asarray(scaled.mean(axis=0)).ravel()
    variance = np.asarray(scaled.multiply(scaled).mean(axis=0)).ravel() - mean**2
    return cells.var_names[np.sort(np.argsort(-variance, kind="stable")[:number])]


def _plain(cells: anndata.AnnData) -> anndata.AnnData:
    """Return counts alone, so that no label can enter."""
    counts = sp.csr_matrix(cells.X).astype(np.float32)
    return anndata.AnnData(counts, obs=pd.DataFrame(index=cells.obs_names), var=pd.DataFrame(index=cells.var_names))


@torch.inference_mode()
def draw(model: object, training: anndata.AnnData, cells: int, seed: int, predictive: str) -> sp.csr_matrix:
    """Draw cells, (cells, genes).

    Library sizes are those of training cells drawn at random, which is how scVI models them by default. ``prior``
    draws z from the standard normal prior, ``posterior`` from the posterior of the same training cells.
    """
    chosen = np.random.default_rng(seed).choice(training.n_obs, cells)
    if predictive == "posterior":
        drawn = model.posterior_predictive_sample(training, indices=chosen)  # type: ignore[attr-defined]
        return sp.csr_matrix(np.asarray(drawn.todense()).astype(np.int32))
    total = torch.from_numpy(np.asarray(training.X.sum(axis=1)).ravel()[chosen])
    module = model.module  # type: ignore[attr-defined]
    module.eval()
    parts = []
    for first in range(0, cells, 256):
        library = torch.log(total[first : first + 256])[:, None]
        z = torch.randn(len(library), module.n_latent)
        batch = torch.zeros(len(library), 1, dtype=torch.long)
        px = module.generative(z, library, batch)["px"]
        parts.append(sp.csr_matrix(px.sample().numpy().astype(np.int32)))
    return sp.vstack(parts).tocsr()


if __name__ == "__main__":
    main()
