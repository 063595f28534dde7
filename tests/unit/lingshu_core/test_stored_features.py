import numpy as np
import pytest
import safetensors.numpy

from lingshu_core.checkpoint import WEIGHTS, CheckpointHeader, write_files
from lingshu_core.stored_features import stored_features
from lingshu_core.vocabulary import SeenPerturbation, Vocabulary

ORIGIN = {
    "kind": "table",
    "perturbation_type": "genetic",
    "file": "f",
    "sha256": "",
    "licence": "",
    "dimensions": 2,
    "names": 2,
}
MATRIX = np.array([[1, 2], [3, 4]], dtype=np.float32)


def header(described: dict[str, str]) -> CheckpointHeader:
    words = Vocabulary(("A", "B"), {}, (), {"A": SeenPerturbation("genetic", 5)}, ("A",), "control", described)
    return CheckpointHeader(words, (), {"features": [ORIGIN]}, "digest")


@pytest.mark.parametrize(
    "arrays",
    [{"neighbours.vectors": np.vstack([np.zeros((1, 2), np.float32), MATRIX])}, {"described.vectors": MATRIX}],
    ids=["model", "baseline"],
)
def test_vectors_are_in_the_order_of_the_vocabulary(arrays: dict[str, np.ndarray], tmp_path: object) -> None:
    files = dict.fromkeys(("controls.safetensors", "vocabulary.json", "model.json"), b"{}")
    write_files(str(tmp_path), {WEIGHTS: safetensors.numpy.save(arrays), **files})
    found = stored_features(str(tmp_path), header({"A": "genetic", "B": "genetic"}))
    assert found is not None
    assert dict(found.types) == {"A": "genetic", "B": "genetic"}
    assert found.matrix.tolist() == MATRIX.tolist()
    assert found.origins[0].dimensions == 2


def test_a_model_without_features_has_none_and_is_not_read() -> None:
    assert stored_features("nowhere", header({})) is None
