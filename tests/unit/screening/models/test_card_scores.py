import json
from pathlib import Path

import pytest

from lingshu_core.checkpoint import load_header
from screening.errors import CardError
from screening.evaluating.evaluation_publication import FACTS as PUBLISHED
from screening.models.card_measurement import CardRequest, make_cards
from screening.models.card_scores import FACTS, scores_of


def test_the_file_is_the_one_that_an_evaluation_writes() -> None:
    assert FACTS == PUBLISHED


@pytest.fixture
def scored(tiny_evaluation: Path) -> Path:
    """A model that was trained and scored by the evaluation."""
    return next((tiny_evaluation / "models" / "tilted").rglob("manifest.json")).parent


def test_scores_of_this_very_model_are_taken(tiny_evaluation: Path, scored: Path) -> None:
    found = scores_of(str(tiny_evaluation), load_header(str(scored)).digest)
    assert (found["model"], found["of"]) == ("tilted", "scores of this very model")
    assert found["split"]["kind"] == "combination"
    assert "pearson_delta" in {row["metric"] for row in found["summary"]}
    assert all(set(row) == {"metric", "units", "mean", "mean_low", "mean_high", "better"} for row in found["summary"])
    assert found["verdict"]
    assert json.loads(json.dumps(found)) == found


def test_a_model_that_was_not_scored_names_one_that_was_trained_alike(tiny: Path, tiny_evaluation: Path) -> None:
    digest = load_header(str(tiny / "model")).digest
    with pytest.raises(CardError, match=rf"the model {digest[:12]} is not among .*--trained-like"):
        scores_of(str(tiny_evaluation), digest)
    found = scores_of(str(tiny_evaluation), digest, "tilted")
    assert "trained as this model was" in found["of"]
    with pytest.raises(CardError, match=r"scored no 'nobody'; it scored: .*tilted"):
        scores_of(str(tiny_evaluation), digest, "nobody")


def test_scores_stand_on_the_card(tiny_evaluation: Path, scored: Path) -> None:
    ((_, card),) = make_cards(CardRequest(str(scored), evaluation=str(tiny_evaluation), device="cpu"))
    assert card.content["scores"]["model"] == "tilted"
    assert "It has not been scored against baselines on held-out cells." not in card.content["limits"]
    text = (scored / "model_card.md").read_text()
    assert "scores of this very model" in text
    assert "| pearson_delta |" in text


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "no results of an evaluation here"), ("{", "is no JSON"), ("[]", "no results"), ("{}", "lacks 'models'")],
)
def test_what_is_no_evaluation_is_refused(tmp_path: Path, content: str | None, said: str) -> None:
    if content is not None:
        (tmp_path / FACTS).write_text(content)
    with pytest.raises(CardError, match=said):
        scores_of(str(tmp_path), "ab" * 32)
