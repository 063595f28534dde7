import numpy as np
import pytest

from lingshu_core.baseline_models import fit_baseline
from lingshu_core.cell_drawing import drawing
from lingshu_core.cells import Cells
from lingshu_core.checkpoint import Checkpoint
from lingshu_core.conditioning import Condition
from lingshu_core.denoiser import Denoiser
from lingshu_core.depths import control_depths
from lingshu_core.errors import ConfigurationError
from lingshu_core.estimator import EstimatorKind, ShardRequest, ShardResult
from lingshu_core.predictor import DiffusionPredictor
from lingshu_core.reveal import RevealSettings
from lingshu_core.vocabulary import Vocabulary

SETTINGS = RevealSettings(3, "geometric", 0.0)
B, T = ({"cell_type": name, "donor": "D1"} for name in ("B cells", "T cells"))


@pytest.fixture
def predictor(cells: Cells, vocabulary: Vocabulary, trained: Denoiser) -> DiffusionPredictor:
    return DiffusionPredictor(Checkpoint(vocabulary, control_depths(cells, vocabulary), {}, "", trained))


def test_the_model_draws_each_cell_at_its_own_depth(predictor: DiffusionPredictor) -> None:
    draw, conditions = drawing(predictor, SETTINGS), [Condition(B)] * 40
    shallow, deep = (draw(conditions, np.full(40, depth), 0) for depth in (200.0, 2000.0))
    assert shallow.shape == deep.shape == (40, 23)
    assert deep.sum() > 1.3 * shallow.sum()
    assert np.issubdtype(deep.dtype, np.integer)
    again = draw(conditions, np.full(40, 2000.0), 0)
    assert (again != deep).nnz == 0
    assert (draw(conditions, np.full(40, 2000.0), 1) != deep).nnz > 0


def test_a_baseline_draws_cells_in_the_order_that_was_asked_for(cells: Cells, vocabulary: Vocabulary) -> None:
    draw = drawing(fit_baseline("additive", cells, vocabulary), SETTINGS)
    mixed = [Condition(B), Condition(T), Condition(B), Condition(T, (("STAT1", None),))] * 8
    drawn = draw(mixed, np.ones(32), 0)
    assert drawn.shape == (32, 23)
    typical = np.asarray(drawn[:, :6].mean(axis=1)).ravel()
    is_t = np.array([condition.context["cell_type"] == "T cells" for condition in mixed])
    assert typical[is_t].mean() > 2 * typical[~is_t].mean()
    alone = draw([condition for condition in mixed if condition == Condition(B)], np.ones(16), 0)
    assert (drawn[[0, 2]] != alone[[0, 1]]).nnz == 0


class MeansOnly:
    """A predictor that draws no cells."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary

    def estimate(self, request: ShardRequest, kind: EstimatorKind = "variance_reduced") -> ShardResult:
        return ShardResult(np.zeros((4, 23), dtype=np.float32), np.ones(request.cells))


def test_a_predictor_without_cells_is_told(vocabulary: Vocabulary) -> None:
    with pytest.raises(ConfigurationError, match="draws no cells, only means"):
        drawing(MeansOnly(vocabulary), SETTINGS)([Condition(B)], np.ones(1), 0)
