"""Checkpoints: a folder of safetensors and JSON, never unpickled, checked by digest before it is used.

::

    model/
    ├── weights.safetensors       parameters and buffers of the denoiser
    ├── controls.safetensors      depths of the control cells of each seen context
    ├── vocabulary.json           genes, context factors, perturbations (readable without torch)
    ├── model.json                configuration, training, digest of the data, licence, source, versions
    ├── priors.json               what each perturbation lowers in each context; older checkpoints have none
    ├── manifest.json             format, size and sha256 of the others; its digest names the model
    └── model_card.json, .md      written later by `lingshu card`: what was measured of the model; no part of it
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import numpy.typing as npt
import safetensors.numpy
import safetensors.torch
import torch

from lingshu_core.denoiser import Denoiser, DenoiserConfig, GeneStatistics
from lingshu_core.errors import CheckpointError, ConfigurationError
from lingshu_core.file_systems import extra_hint
from lingshu_core.mapped_file import FileChanged, local_path, mapped_arrays
from lingshu_core.neighbours import stored_bank
from lingshu_core.perturbation_features import FeatureOrigin
from lingshu_core.prior_genes import PriorGenes
from lingshu_core.training import TrainingConfig
from lingshu_core.undrawn_weights import UndrawnWeights
from lingshu_core.vocabulary import Vocabulary
from lingshu_core.whole_file import write_whole

CHECKPOINT_FORMAT = 2
"""2: three statistics of a gene in the direct paths, and a last token for each; 1 had two statistics."""
WEIGHTS, CONTROLS, VOCABULARY, CARD, MANIFEST = (
    "weights.safetensors",
    "controls.safetensors",
    "vocabulary.json",
    "model.json",
    "manifest.json",
)
PRIORS = "priors.json"
MODEL_CARD, MODEL_CARD_TEXT = "model_card.json", "model_card.md"
CELL_MODEL, BASELINE = "lingshu-cell", "baseline"
"""What a checkpoint holds, the entry ``model`` of its card."""
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
LARGEST_MANIFEST = 1 << 20
"""Bytes; every other file is as large as the manifest says, within these limits."""
LARGEST_JSON, LARGEST_TENSORS = 1 << 28, 1 << 35
_FILES = (WEIGHTS, CONTROLS, VOCABULARY, CARD)
_LIBRARIES = ("torch", "numpy", "safetensors", "anndata")


@dataclass(frozen=True)
class Provenance:
    """Where a model comes from, written into ``model.json``."""

    data: str
    data_digest: str
    cells: int
    licence: str
    source: str
    training: TrainingConfig
    history: tuple[Mapping[str, float], ...] = ()
    held_out: str = ""
    identity: str = ""
    """Digest of the data and the settings that the training was made of."""
    features: tuple[FeatureOrigin, ...] = ()
    """What describes perturbations, source by source."""
    reading: Mapping[str, Any] = field(default_factory=dict)
    """How the cells were read (columns, layer, rule for genes): `lingshu card` reads them in the same way."""


@dataclass(frozen=True)
class CheckpointHeader:
    """All of a checkpoint but its weights: enough to plan a screen.

    ``control_depths`` has one sorted array per context of the vocabulary; ``digest`` is the sha256 of the
    manifest and names the model. ``priors`` is None for a checkpoint that was written before there were any.
    """

    vocabulary: Vocabulary
    control_depths: tuple[npt.NDArray[np.float64], ...]
    card: Mapping[str, Any]
    digest: str
    priors: PriorGenes | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Checkpoint(CheckpointHeader):
    """A trained model with everything that a screen needs of it."""

    denoiser: Denoiser


def save_checkpoint(
    folder: str,
    denoiser: Denoiser,
    vocabulary: Vocabulary,
    depths: tuple[npt.NDArray[np.float64], ...],
    provenance: Provenance,
    priors: PriorGenes | None = None,
) -> str:
    """Write a checkpoint to a local folder or any fsspec URL; the manifest is written last.

    Returns
    -------
    The model's digest.
    """
    card = {
        "model": CELL_MODEL,
        "configuration": denoiser.config.to_json(),
        "paths": denoiser.config.paths,
        "parameters": sum(p.numel() for p in denoiser.parameters()),
        **{key: value for key, value in asdict(provenance).items() if key != "training"},
        "training": asdict(provenance.training),
        "versions": library_versions(),
    }
    return write_checkpoint(folder, denoiser, vocabulary, depths, card, priors)


def write_checkpoint(
    folder: str,
    denoiser: Denoiser,
    vocabulary: Vocabulary,
    depths: tuple[npt.NDArray[np.float64], ...],
    card: Mapping[str, Any],
    priors: PriorGenes | None = None,
) -> str:
    """Write the files of a checkpoint under a card that is made already; returns the model's digest."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in denoiser.state_dict().items()}
    content = {
        WEIGHTS: safetensors.torch.save(state),
        CONTROLS: safetensors.numpy.save({str(i): found for i, found in enumerate(depths)}),
        VOCABULARY: _to_bytes(vocabulary.to_json()),
        CARD: _to_bytes(card),
    }
    if priors is not None:
        content[PRIORS] = _to_bytes(priors.to_json())
    return write_files(folder, content)


def library_versions() -> dict[str, str]:
    """Return the versions of the libraries that a checkpoint is made with, for its card."""
    return {name: version(name).split("+")[0] for name in _LIBRARIES}


def write_files(folder: str, content: dict[str, bytes]) -> str:
    """Write files and, last, the manifest that lists them; returns its digest, which names the model.

    Each is whole or not there. Over an earlier model, who reads meanwhile may find files of both: the digests tell.
    """
    files = {name: {"size": len(data), "sha256": _sha256(data)} for name, data in content.items()}
    content = {**content, MANIFEST: _to_bytes({"format": CHECKPOINT_FORMAT, "files": files})}
    filesystem, root = fsspec.core.url_to_fs(folder)
    filesystem.makedirs(root, exist_ok=True)
    for name, data in content.items():
        write_whole(filesystem, f"{root}/{name}", data)
    digest = _sha256(content[MANIFEST])
    _forget_card(filesystem, root, digest)
    return digest


def _forget_card(filesystem: fsspec.AbstractFileSystem, root: str, digest: str) -> None:
    """Remove the model card of another model that was in the folder before."""
    present = [name for name in (MODEL_CARD, MODEL_CARD_TEXT) if filesystem.exists(f"{root}/{name}")]
    if MODEL_CARD in present:
        try:
            if json.loads(filesystem.cat_file(f"{root}/{MODEL_CARD}", 0, LARGEST_JSON))["model_digest"] == digest:
                return
        except (ValueError, KeyError, TypeError):
            pass  # a card of no model: it goes too
    for name in present:
        filesystem.rm_file(f"{root}/{name}")


def load_header(folder: str) -> CheckpointHeader:
    """Read and check a checkpoint without its weights; errors as in :func:`load_checkpoint`."""
    digest, files = _read_manifest(folder)
    present = [name for name in (CONTROLS, VOCABULARY, CARD, PRIORS) if name in files]
    content = {name: _read_checked(folder, name, files) for name in present}
    card = _from_bytes(folder, CARD, content[CARD])
    if card.get("model") not in (CELL_MODEL, BASELINE):
        raise CheckpointError(
            f"{folder}/{CARD}: holds a model of the kind {card.get('model')!r}, which this version doesn't know; use"
            " the version of lingshu-screen that wrote it"
        )
    if not is_baseline(card):
        _configuration(folder, card)
    try:
        vocabulary = Vocabulary.from_json(_from_bytes(folder, VOCABULARY, content[VOCABULARY]))
        priors = PriorGenes.from_json(_from_bytes(folder, PRIORS, content[PRIORS])) if PRIORS in content else None
    except CheckpointError as error:
        raise CheckpointError(f"{folder}/{str(error).removeprefix(f'{folder}/')}") from error
    depths = _control_depths(folder, _load_tensors(folder, CONTROLS, content[CONTROLS]), len(vocabulary.contexts))
    return CheckpointHeader(vocabulary, depths, card, digest, priors=priors)


def fetch_checkpoint(folder: str, target: Path) -> str:
    """Copy the files of a checkpoint into a new local folder, each checked; the manifest comes last.

    Returns
    -------
    The digest of the model; errors as in :func:`load_checkpoint`.
    """
    manifest = _read(folder, MANIFEST, LARGEST_MANIFEST)
    digest, files = _read_manifest(folder)
    odd = [name for name in files if not _PLAIN_NAME.fullmatch(name) or name == MANIFEST or "sha256" not in files[name]]
    if odd or _sha256(manifest) != digest:
        listed = ", ".join(map(repr, odd)) or "other files by now"
        raise CheckpointError(f"{folder}: {MANIFEST} lists {listed}; fetch the checkpoint again")
    target.mkdir(parents=True)
    for name in files:
        (target / name).write_bytes(_read_checked(folder, name, files))
    (target / MANIFEST).write_bytes(manifest)
    return digest


def load_checkpoint(folder: str, device: torch.device | None = None) -> Checkpoint:
    """Read and check a checkpoint.

    Raises
    ------
    CheckpointError
        If files are missing, damaged, changed since they were written, or of a newer format; or if it is a baseline,
        which has no network.
    """
    header = load_header(folder)
    if is_baseline(header.card):
        raise CheckpointError(
            f"{folder}: is the baseline {header.card.get('kind')!r}, which has no network to generate, embed or adapt"
            " with; it can be screened, described and evaluated: give a model that was trained with `kind: lingshu`"
        )
    with open_arrays(folder, WEIGHTS) as arrays:
        state = {name: torch.from_numpy(array) for name, array in arrays.items()}
        denoiser = _rebuild(folder, _configuration(folder, header.card), header.vocabulary, state)
        del state
    return Checkpoint(
        header.vocabulary,
        header.control_depths,
        header.card,
        header.digest,
        denoiser.to(device or torch.device("cpu")).fold(),
        priors=header.priors,
    )


def is_baseline(card: Mapping[str, Any]) -> bool:
    """Tell by its card whether a checkpoint is a baseline."""
    return card.get("model") == BASELINE


def read_arrays(folder: str, name: str) -> dict[str, npt.NDArray[Any]]:
    """Read a safetensors file of a checkpoint, checked against the manifest; errors as in :func:`load_checkpoint`."""
    with open_arrays(folder, name) as arrays:
        return {each: array.copy() for each, array in arrays.items()}


@contextmanager
def open_arrays(folder: str, name: str) -> Iterator[dict[str, npt.NDArray[Any]]]:
    """Open a safetensors file of a checkpoint without a copy of it where it lies on a local disk.

    The arrays are good within the block: copy what is to be kept. Errors as in :func:`load_checkpoint`, at the end of
    the block too, if the file was changed meanwhile.
    """
    _, files = _read_manifest(folder)
    if name not in files:
        raise CheckpointError(f"{folder}: {MANIFEST} does not list {name}; fetch the checkpoint again")
    path = local_path(f"{folder}/{name}")
    if path is None:
        yield _load_tensors(folder, name, _read_checked(folder, name, files))
        return
    size = _promised_size(folder, name, files)
    with ExitStack() as opened:  # and not one `with`: errors of the block itself are none of the file
        with _telling_damage(folder, name, size):
            arrays = opened.enter_context(mapped_arrays(path, size, files[name]["sha256"]))
        yield arrays
        with _telling_damage(folder, name, size):
            opened.close()


def _control_depths(
    folder: str, stored: Mapping[str, npt.NDArray[Any]], contexts: int
) -> tuple[npt.NDArray[np.float64], ...]:
    if set(stored) != {str(i) for i in range(contexts)}:
        raise CheckpointError(
            f"{folder}/{CONTROLS}: has the depths of {len(stored)} contexts and {VOCABULARY} has {contexts} contexts;"
            " they are of different models: fetch the checkpoint again"
        )
    return tuple(stored[str(i)] for i in range(contexts))


def _configuration(folder: str, card: Mapping[str, Any]) -> DenoiserConfig:
    try:
        str(card["paths"])
        return DenoiserConfig.from_json(card["configuration"])
    except (KeyError, TypeError, ValueError, ConfigurationError) as error:
        raise CheckpointError(
            f"{folder}/{CARD}: this version can't read its configuration ({error}): use the version of lingshu-screen"
            " that wrote it, or train again"
        ) from error


def _load_tensors(folder: str, name: str, data: bytes) -> dict[str, npt.NDArray[Any]]:
    with _telling_damage(folder, name, len(data)):
        return dict(safetensors.numpy.load(data))


@contextmanager
def _telling_damage(folder: str, name: str, size: int) -> Iterator[None]:
    try:
        with _telling_unreadable(folder, name, size):
            yield
    except FileChanged as found:
        raise _differing(folder, name, size, found.size) from found
    except (safetensors.SafetensorError, KeyError, TypeError) as error:  # the latter two: numpy has no such number type
        raise CheckpointError(
            f"{folder}/{name}: not a safetensors file of a model ({error}); fetch the checkpoint again"
        ) from error


def _rebuild(folder: str, config: DenoiserConfig, words: Vocabulary, state: dict[str, torch.Tensor]) -> Denoiser:
    """Build the denoiser in the shape of its weights and load them."""
    _check_panel(folder, state, len(words.genes))
    try:
        statistics = _shapes(state, len(words.genes))
        factors = tuple(len(values) for values in words.factors.values())
        bank = stored_bank({name.removeprefix("neighbours."): value for name, value in state.items()})
        with UndrawnWeights():
            denoiser = Denoiser(config, factors, len(words.identities), statistics, bank=bank)
        denoiser.load_state_dict(state)  # a copy: nothing of the model hangs on the file
    except (KeyError, RuntimeError, ValueError, IndexError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"{folder}: weights and configuration do not fit together ({reason}); fetch the checkpoint again"
        ) from error
    return denoiser


def _check_panel(folder: str, state: Mapping[str, torch.Tensor], genes: int) -> None:
    """Make sure that the weights are a cell model's, and of as many genes as the vocabulary names."""
    order = state.get("gene_order")
    if order is None:
        names = ", ".join(sorted(state)[:3]) or "nothing"
        raise CheckpointError(
            f"{folder}/{WEIGHTS}: not the weights of a cell model (they hold {names}); fetch the checkpoint again"
        )
    if order.shape != (genes,) or not torch.equal(order.sort().values, torch.arange(genes)):
        raise CheckpointError(
            f"{folder}: wrong gene panel: the weights are of {order.numel():,} genes and {VOCABULARY} has {genes:,};"
            " they are of different models: fetch the checkpoint again"
        )


def _shapes(state: Mapping[str, torch.Tensor], genes: int) -> GeneStatistics:
    support = torch.empty(genes, dtype=torch.long)
    sizes = [state[f"bias.{i}"].shape for i in range(sum(name.startswith("bias.") for name in state))]
    support[state["gene_order"]] = torch.cat([torch.full((rows,), tokens) for rows, tokens in sizes])
    return GeneStatistics(
        support=support,
        log_marginals=torch.zeros(genes, int(support.max())),
        depth_knots=state["conditions.depth_knots"].clone(),  # becomes a buffer as it is
        typical_dose=torch.exp(state["conditions.log_half_dose"]),
    )


def _read_manifest(folder: str) -> tuple[str, Mapping[str, Any]]:
    data = _read(folder, MANIFEST, LARGEST_MANIFEST)
    manifest = _from_bytes(folder, MANIFEST, data)
    if manifest.get("format") != CHECKPOINT_FORMAT:
        raise CheckpointError(
            f"{folder}: the checkpoint has format {manifest.get('format')!r}; this version reads format"
            f" {CHECKPOINT_FORMAT}: use the version of lingshu-screen that wrote it, or train again"
        )
    files = manifest.get("files", {})
    listed = {name: entry for name, entry in files.items() if _is_entry(entry)} if isinstance(files, dict) else {}
    missing = [name for name in _FILES if name not in listed]
    if missing:
        raise CheckpointError(f"{folder}: manifest.json does not list {', '.join(missing)}; fetch the checkpoint again")
    return _sha256(data), listed


def _is_entry(entry: Any) -> bool:
    """Tell whether an entry of the manifest says how large a file is and what its digest is."""
    if not isinstance(entry, dict):
        return False
    size, sha256 = entry.get("size"), entry.get("sha256")
    return isinstance(size, int) and size >= 0 and isinstance(sha256, str)


def _promised_size(folder: str, name: str, files: Mapping[str, Any]) -> int:
    """Return how large a file is by the manifest, in bytes, unless that is more than is read of such a file."""
    size, most = files[name]["size"], LARGEST_JSON if name.endswith(".json") else LARGEST_TENSORS
    if size > most:
        raise CheckpointError(
            f"{folder}/{name}: {MANIFEST} says that it has {size:,} bytes, and at most {most:,} are read of such a"
            " file; fetch the checkpoint again"
        )
    return int(size)


def _read_checked(folder: str, name: str, files: Mapping[str, Any]) -> bytes:
    size = _promised_size(folder, name, files)
    data = _read(folder, name, size)
    if _sha256(data) != files[name]["sha256"]:
        raise _differing(folder, name, size, len(data))
    return data


def _differing(folder: str, name: str, size: int, found: int) -> CheckpointError:
    return CheckpointError(
        f"{folder}/{name}: {'more' if found > size else found} bytes that do not match the manifest ({size} bytes were"
        " written): truncated or changed since; fetch the checkpoint again"
    )


def _read(folder: str, name: str, most: int) -> bytes:
    """Read a file, of one that is larger than ``most`` bytes only one byte more."""
    with _telling_unreadable(folder, name, most):
        filesystem, root = fsspec.core.url_to_fs(folder)
        return bytes(filesystem.cat_file(f"{root}/{name}", start=0, end=most + 1))


@contextmanager
def _telling_unreadable(folder: str, name: str, most: int) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        what = f"{name} is missing" if isinstance(error, FileNotFoundError) else "it is a file, and a model is a folder"
        raise CheckpointError(
            f"{folder}: no checkpoint here ({what}); train one with `lingshu train`, or correct `model:`"
        ) from error
    except MemoryError as error:
        raise CheckpointError(f"{folder}/{name}: too large for the memory of this machine ({most:,} bytes)") from error
    except ImportError as error:
        raise CheckpointError(f"{folder}/{name}: can't be read ({error}){extra_hint(folder)}") from error
    except (OSError, ValueError) as error:  # ValueError: no file system of that name
        raise CheckpointError(f"{folder}/{name}: can't be read ({error})") from error


def _to_bytes(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, indent=1, sort_keys=True).encode()


def _from_bytes(folder: str, name: str, data: bytes) -> dict[str, Any]:
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{folder}/{name}: not JSON ({error}); fetch the checkpoint again") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{folder}/{name}: not a JSON object; fetch the checkpoint again")
    return content


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
