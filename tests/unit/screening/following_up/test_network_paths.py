from screening.following_up.network_paths import MOST_WAYS, NetworkPath, paths

NETWORK = {
    "A": {"X": 1.0, "M": -1.0, "A": 1.0},
    "M": {"Y": -1.0, "X": 1.0, "A": 1.0, "M": 1.0},
    "B": {"Y": 0.0},
}
ENDS = dict.fromkeys("AXYZ")


def test_direct_links_come_first_and_replace_longer_ways() -> None:
    assert list(paths(NETWORK, ["A"], ENDS)) == [NetworkPath(("A", "X"), 1.0), NetworkPath(("A", "M", "Y"), 1.0)]


def test_signs_multiply_and_an_unknown_one_stays_unknown() -> None:
    assert [path.sign for path in paths(NETWORK, ["B"], ENDS)] == [0.0]
    assert [path.sign for path in paths({"A": {"M": 0.0}, "M": {"Y": -1.0}}, ["A"], ENDS)] == [0.0]


def test_each_part_of_a_combination_starts_ways() -> None:
    assert {path.genes[0] for path in paths(NETWORK, ["A", "B"], ENDS)} == {"A", "B"}


def test_nothing_leads_nowhere_and_no_way_has_three_steps() -> None:
    assert list(paths(NETWORK, ["unknown"], ENDS)) == []
    assert list(paths({"A": {"M": 1.0}, "M": {"N": 1.0}, "N": {"Y": 1.0}}, ["A"], ENDS)) == []


def test_a_dense_network_gives_a_few_ways_to_each_end() -> None:
    between = [f"M{i}" for i in range(9)]
    dense = {"A": dict.fromkeys(reversed(between), 1.0), **{gene: {"X": 1.0, "Y": 1.0} for gene in between}}
    found = [path.genes for path in paths(dense, ["A"], dict.fromkeys("XY"))]
    assert found == [("A", gene, end) for gene in between[:MOST_WAYS] for end in "XY"]
