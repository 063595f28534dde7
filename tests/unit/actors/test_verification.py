import hashlib
import uuid
from collections.abc import Callable

import pytest

from actors.blobs import Blobs, open_blobs
from actors.epoch import Epoch
from actors.history import History
from actors.ledger import Ledger
from actors.manifest import Manifest
from actors.verification import Verification, compare_results, listed_results, verify_history, verify_ledger

TASKS = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(5)]
RUN = "ab" * 32


@pytest.fixture
def blobs() -> Blobs:
    """Five results in the ledger, and two versions made of them."""
    blobs = open_blobs(f"memory://{uuid.uuid4().hex}")
    ledger = ledger_of(blobs)
    records = [ledger.commit(task, task.encode(), replica="r").record for task in TASKS]
    for content in (b"1", b"2"):
        epoch = Epoch.begin(History(blobs))
        epoch.publish(RUN, {"hits": content}, {record.task: record.sha256 for record in records})
    return blobs


def ledger_of(blobs: Blobs) -> Ledger:
    return Ledger(open_blobs(f"{blobs.url}/ledger"))


def verified(blobs: Blobs) -> Verification:
    found = Verification()
    verify_ledger(ledger_of(blobs), found)
    for manifest in verify_history(History(blobs), found):
        compare_results(manifest, listed_results(History(blobs), manifest, found), found)
    return found


def standing(blobs: Blobs) -> Manifest:
    manifest = History(blobs).published()
    assert manifest is not None
    return manifest


def test_a_sound_store_has_no_flaw(blobs: Blobs) -> None:
    found = verified(blobs)
    assert found.flaws == []
    # 5 results; of the version that stands the table, the list of results and the plain copy
    assert (len(found.results), found.versions, found.files, found.objects) == (5, 2, 3, 10)
    assert found.size == 5 * 64 + 2 * 1 + 5 * 130


def test_whoever_asks_hears_how_far_it_is(blobs: Blobs) -> None:
    heard: list[int] = []
    verify_ledger(ledger_of(blobs), Verification(), on_object=heard.append)
    assert heard == [1, 2, 3, 4, 5]


def test_only_some_results_may_be_asked_for(blobs: Blobs) -> None:
    found = Verification()
    verify_ledger(ledger_of(blobs), found, TASKS[:2])
    verify_ledger(ledger_of(blobs), found, [])
    assert set(found.results) == set(TASKS[:2])


def data(blobs: Blobs) -> str:
    return "ledger/" + ledger_of(blobs).record(TASKS[0]).data


Spoil = Callable[[Blobs], object]
RECORD = f"commits/{TASKS[0]}.json"
SPOILT: list[tuple[Spoil, str, str]] = [
    (lambda b: b.put(data(b), b"x"), RECORD, "holds 1 bytes that differ"),
    (lambda b: b.put(data(b), b"?" + b.get(data(b))[1:]), RECORD, "differ from the 64 committed"),
    (lambda b: b.delete(data(b)), RECORD, "is missing"),
    (lambda b: b.put(f"ledger/{RECORD}", b"{"), RECORD, "is not JSON"),
    (lambda b: b.put(f"ledger/{RECORD}", b.get(f"ledger/commits/{TASKS[1]}.json")), RECORD, "speaks of task"),
    (lambda b: b.delete(f"ledger/{RECORD}"), RECORD, "is gone, and version 2 was made of it"),
    (lambda b: b.put("ledger/commits/README.json", b"{}"), "commits/README.json", "is no name of a commit record"),
    (lambda b: b.put(standing(b).files["hits"].key, b"?"), "runs/", "is not what was published"),
    (lambda b: b.delete(standing(b).commits.key), "runs/", "is missing"),
    (lambda b: b.put("hits", b"edited"), "hits", "is missing, or not the version that stands"),
    (lambda b: b.delete("hits"), "hits", "is missing, or not the version that stands"),
    (lambda b: b.put("ledger/manifests/00000002.json", b"{}"), "ledger", "00000002.json is not what was published"),
    (lambda b: b.delete("ledger/manifests/00000001.json"), "ledger", "00000001.json is missing"),
    (lambda b: b.put("ledger/HEAD", b"{}"), "ledger", "Delete it"),
]


@pytest.mark.parametrize(("spoil", "key", "text"), SPOILT)
def test_every_kind_of_damage_is_found_where_it_is(blobs: Blobs, spoil: Spoil, key: str, text: str) -> None:
    spoil(blobs)
    (flaw,) = verified(blobs).flaws
    assert flaw.key.startswith(key)
    assert text in flaw.text


def test_a_result_that_was_computed_anew_with_other_bytes_is_told(blobs: Blobs) -> None:
    blobs.delete(f"ledger/{RECORD}")
    ledger_of(blobs).commit(TASKS[0], b"from another kind of device", replica="r")
    (flaw,) = verified(blobs).flaws
    assert flaw.key == RECORD
    assert "promises other bytes than version 2 was made of" in flaw.text


def test_files_of_superseded_versions_may_be_gone(blobs: Blobs) -> None:
    newest, oldest = History(blobs).chain()
    for key in set(oldest.all_files) - set(newest.all_files):
        blobs.delete(key)
    assert verified(blobs).flaws == []


def test_a_place_in_which_nothing_was_published_is_sound() -> None:
    empty = open_blobs(f"memory://{uuid.uuid4().hex}")
    assert verified(empty).flaws == []
    Epoch.begin(History(empty))
    assert verified(empty).flaws == []
