"""The conditional VAE: what is predicted with needs no scvi-tools; the training is tried where they are installed."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from lingshu_core.baseline_cells import keep_controls
from lingshu_core.baseline_checkpoint import BaselineProvenance, save_baseline
from lingshu_core.baseline_effects import MeasuredEffects
from lingshu_core.baseline_models import BaselinePredictor, fit_baseline
from lingshu_core.baseline_scvi import ConditionalVae, Decoded, ScviSettings, fit_scvi, poisson_log1p
from lingshu_core.baseline_statistics import label_order, measure_groups
from lingshu_core.baselines import real_effect
from lingshu_core.cells import Cells
from lingshu_core.conditioning import Condition
from lingshu_core.errors import ConfigurationError
from lingshu_core.predictor import StoredBaseline, open_predictor
from lingshu_core.vocabulary import Vocabulary

HERE = {"cell_type": "B cells", "donor": "D1"}
HIDDEN, LATENT = 6, 3


@pytest.fixture
def vae(cells: Cells, vocabulary: Vocabulary) -> ConditionalVae:
    """A decoder with random weights for the control, STAT1 and two doses of the drug."""
    draw = np.random.default_rng(0)
    kept, genes = int(cells.is_control.sum()), len(cells.genes)
    labels = label_order(vocabulary)
    return ConditionalVae(
        hidden_weights=draw.normal(size=(HIDDEN, LATENT + 4)),
        hidden_bias=draw.normal(size=HIDDEN),
        output_weights=0.5 * draw.normal(size=(genes, HIDDEN)),
        output_bias=draw.normal(size=genes),
        dispersion=draw.uniform(0.3, 20.0, size=genes),
        latent=draw.normal(size=(kept, LATENT)),
        library=draw.uniform(200, 2000, size=kept),
        shifts=np.concatenate([np.zeros((1, LATENT)), draw.normal(size=(3, LATENT))]),
        labels=np.array([-1, labels.index("STAT1"), labels.index("ruxolitinib"), labels.index("ruxolitinib")]),
        doses=np.array([np.nan, np.nan, 0.1, 10.0]),
    )


@pytest.fixture
def decoded(cells: Cells, vocabulary: Vocabulary, vae: ConditionalVae) -> Decoded:
    effects = MeasuredEffects(measure_groups(cells, vocabulary), vocabulary)
    return Decoded(effects, vae=vae, controls=keep_controls(cells, vocabulary))


@pytest.mark.parametrize("mean", [1e-6, 0.03, 1.0, 17.0, 150.0, 250.0, 3000.0])
@pytest.mark.parametrize("factor", [0.2, 5.0, 40.0])
def test_the_table_of_the_poisson_is_its_sum(mean: float, factor: float) -> None:
    counts = np.arange(int(mean + 12 * np.sqrt(mean) + 30))
    weights, values = stats.poisson.pmf(counts, mean), np.log1p(factor * counts)
    first, second = poisson_log1p(np.array([np.log(mean)]), factor)
    np.testing.assert_allclose(first, weights @ values, rtol=2e-3, atol=1e-9)
    np.testing.assert_allclose(second, weights @ np.square(values), rtol=3e-3, atol=1e-9)


def test_expected_moments_are_those_of_drawn_cells(vae: ConditionalVae) -> None:
    rows, depth = np.arange(8), np.linspace(500, 3000, 8)
    found = vae.population(rows, depth, 1)
    draw = np.random.default_rng(1)
    rates = vae.rates(rows, 1)
    shape = (6000, *rates.shape)
    counts = draw.poisson(rates * draw.gamma(vae.dispersion, 1 / vae.dispersion, size=shape))
    scaled = np.log1p(1e4 * counts / depth[None, :, None])
    expected = [
        np.asarray(part).mean(axis=(0, 1)) for part in (scaled, scaled**2, counts, np.square(counts.astype(float)))
    ]
    np.testing.assert_allclose(found.moments[0], expected[0], rtol=0.02, atol=0.01)
    np.testing.assert_allclose(found.moments[1], expected[1], rtol=0.03, atol=0.03)
    np.testing.assert_allclose(found.moments[2], expected[2], rtol=0.05, atol=0.02)
    np.testing.assert_allclose(found.moments[3], expected[3], rtol=0.25, atol=0.2)
    np.testing.assert_allclose(rates.sum(axis=1), vae.library[rows])


def test_a_label_is_the_difference_from_the_decoded_control(decoded: Decoded) -> None:
    label = decoded.effects.number(["STAT1"])
    found = decoded.change([("STAT1", None)], HERE)
    assert found.shape == (4, 23)
    assert np.abs(found).max() > 0.1
    assert decoded.vae is not None
    same = replace(decoded.vae, labels=np.where(decoded.vae.labels == label, -7, decoded.vae.labels))
    control = Decoded(
        decoded.effects, vae=replace(same, labels=np.array([label, -7, -7, -7])), controls=decoded.controls
    )
    np.testing.assert_allclose(control.change([("STAT1", None)], HERE), 0.0, atol=1e-12)


def test_doses_are_interpolated(decoded: Decoded) -> None:
    low, middle, high = (decoded.change([("ruxolitinib", dose)], HERE) for dose in (0.1, 1.0, 10.0))
    np.testing.assert_allclose(middle, (low + high) / 2)
    np.testing.assert_array_equal(decoded.change([("ruxolitinib", 99.0)], HERE), high)
    np.testing.assert_allclose(decoded.change([("ruxolitinib", None)], HERE), (low + high) / 2)


def test_parts_are_summed(decoded: Decoded) -> None:
    both = decoded.change([("STAT1", None), ("ruxolitinib", 0.1)], HERE)
    single = decoded.change([("STAT1", None)], HERE), decoded.change([("ruxolitinib", 0.1)], HERE)
    np.testing.assert_allclose(both, sum(single))


def test_without_the_extra_it_is_named(cells: Cells, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scvi", None)
    with pytest.raises(ConfigurationError, match=r"needs scvi-tools .*: pip install 'lingshu-screen\[scvi\]'"):
        fit_baseline("scvi", cells, vocabulary)


def test_a_checkpoint_needs_no_scvi(
    cells: Cells, vocabulary: Vocabulary, vae: ConditionalVae, memory_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lingshu_core.baseline_models.fit_scvi", lambda *_: vae)
    monkeypatch.setitem(sys.modules, "scvi", None)
    baseline = fit_baseline("scvi", cells, vocabulary, epochs=3, seed=1)
    assert baseline.training == ScviSettings(epochs=3, seed=1)
    save_baseline(memory_url, baseline, BaselineProvenance("cells", "d", len(cells), "none", "none"))
    opened = open_predictor(memory_url)
    assert isinstance(opened, StoredBaseline)
    assert opened.header.card["training"]["epochs"] == 3
    for parts in ((), (("STAT1", None),), (("ruxolitinib", 0.5),)):
        asked = Condition(HERE, parts)
        np.testing.assert_array_equal(opened.baseline.moments(asked), baseline.moments(asked))


@pytest.fixture(scope="module")
def trained(cells: Cells, vocabulary: Vocabulary) -> BaselinePredictor:
    pytest.importorskip("scvi", reason="the extra scvi is not installed")
    return fit_baseline("scvi", cells, vocabulary, epochs=60, batch_size=32, device="cpu")


def test_scvi_learns_what_a_perturbation_does(trained: BaselinePredictor, cells: Cells) -> None:
    for name in ("STAT1", "JAK2"):
        asked = Condition({}, ((name, None),))
        found = trained.moments(asked)[0] - trained.moments(asked.as_control())[0]
        real = real_effect(cells, np.asarray(cells.obs["perturbation"] == name), cells.is_control)
        assert np.corrcoef(found, real)[0, 1] > 0.5


def test_the_folded_decoder_is_that_of_scvi(
    cells: Cells, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("scvi", reason="the extra scvi is not installed")
    import torch

    import lingshu_core.baseline_scvi as module

    models = []
    train = module._train
    monkeypatch.setattr(module, "_train", lambda *given: models.append(train(*given)) or models[-1])
    controls = keep_controls(cells, vocabulary)
    found = fit_scvi(cells, vocabulary, controls, ScviSettings(epochs=2, device="cpu"))
    model, order = models[0]
    name = next(each for each in order if each.startswith("-1@"))
    with torch.no_grad():
        latent = torch.tensor(found.latent).float()
        batch = torch.full((len(latent), 1), list(order).index(name))
        library = torch.log(torch.tensor(found.library))[:, None].float()
        expected = model.module.eval().generative(latent, library, batch)["px"].mean.numpy()
    np.testing.assert_allclose(found.rates(np.arange(len(latent)), 0), expected, rtol=1e-3, atol=1e-4)


def test_the_same_seed_gives_the_same_scvi(cells: Cells, vocabulary: Vocabulary) -> None:
    pytest.importorskip("scvi", reason="the extra scvi is not installed")
    first, second, other = (
        fit_baseline("scvi", cells, vocabulary, epochs=2, device="cpu", seed=seed).fitted.vae for seed in (0, 0, 1)
    )
    assert first is not None
    assert second is not None
    assert other is not None
    np.testing.assert_array_equal(first.hidden_weights, second.hidden_weights)
    assert not np.array_equal(first.hidden_weights, other.hidden_weights)
