from collections.abc import Callable

from screening.report.evidence_cards import anchors, cards
from screening.report.source import ReportSource


def test_a_card_has_what_is_said_of_its_condition(source: Callable[..., ReportSource], hostile: str) -> None:
    (card,) = cards(source())
    assert (card.perturbation, card.context, card.decision, card.rank) == (hostile, "B cells", "hit", 1)
    assert card.anchor == anchors(source())[hostile, "cell_type=B cells"]
    assert [gene.effect for gene in (*card.up, *card.down)] == ["+1.500", "−0.500"]
    assert [(gene.start, gene.width) for gene in (*card.up, *card.down)] == [(50, 50), (33.3, 16.7)]
    assert {listing.title: listing.rows[0][:2] for listing in card.listings} == {
        "Gene sets": ("SET", "0.800"),
        "Known links to the objective": ("A → B", "-1"),
    }
    facts = dict(card.facts)
    assert facts["Claim"] == "an effect of 0.5 (90 % interval 0.4 to 0.6)"
    assert facts["Training"] == "30 cells in this context, 60 cells in all"
    assert facts["By"] == "variance reduced; T = 6 geometric steps, w = 0; bias+tilt"
    assert card.refutation == "It is refuted if nothing happens."


def test_no_evidence_no_cards(source: Callable[..., ReportSource]) -> None:
    assert list(cards(source(tables={}))) == []
    assert anchors(source(tables={})) == {}
