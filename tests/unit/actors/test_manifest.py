import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.errors import CorruptBlob
from actors.manifest import (
    Manifest,
    ManifestReference,
    PublishedFile,
    commit_lines,
    manifest_key,
    read_commit_lines,
)

FILE = PublishedFile.of("runs/ab/1-x/hits", b"hits")
MANIFEST = Manifest(
    number=2,
    epoch=3,
    attempt="a1",
    created="2026-11-21T10:00:00+00:00",
    previous=ManifestReference(1, "ab"),
    run="cd",
    ledger="ledger",
    results=1,
    commits=PublishedFile.of("runs/ab/1-x/commits.txt", b""),
    files={"hits": FILE},
    facts={"name": "tiny"},
)


def test_a_manifest_survives_its_json() -> None:
    for manifest in (MANIFEST, replace(MANIFEST, previous=None, files={})):
        assert Manifest.from_json(manifest.to_json(), "key") == manifest
    assert MANIFEST.to_json() == Manifest.from_json(MANIFEST.to_json(), "key").to_json()
    assert set(MANIFEST.all_files) == {"runs/ab/1-x/hits", "runs/ab/1-x/commits.txt"}


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (b'"number":2', b'"number":"2"', "number is '2'"),
        (b'"format":1', b'"format":9', "of another format than 1"),
        (b'"sha256":"ab"', b'"sha":"ab"', "has to have the fields number, sha256"),
        (b'"files":{', b'"files":{"more":1,', "and has int"),
        (b'"key":"runs/ab/1-x/hits"', b'"key":"../../etc/passwd"', "the files of a version are in runs/"),
        (b'"key":"runs/ab/1-x/hits"', b'"key":"runs/../../x"', "the files of a version are in runs/"),
        (b'"key":"runs/ab/1-x/hits"', b'"key":"ledger/HEAD"', "the files of a version are in runs/"),
        (b'"key":"runs/ab/1-x/commits.txt"', b'"key":"/etc/passwd"', "the files of a version are in runs/"),
        (b'"files":{"hits"', b'"files":{"../hits"', "names the copy '../hits'"),
        (b'"files":{"hits"', b'"files":{"/hits"', "names the copy '/hits'"),
        (b'"files":{"hits"', b'"files":{"ledger/HEAD"', "names the copy 'ledger/HEAD'"),
        (b'"files":{"hits"', b'"files":{"runs"', "names the copy 'runs'"),
    ],
)
def test_what_is_no_manifest_is_named(old: bytes, new: bytes, problem: str) -> None:
    assert old in MANIFEST.to_json()
    with pytest.raises(CorruptBlob, match=f"some/key.*{problem}"):
        Manifest.from_json(MANIFEST.to_json().replace(old, new, 1), "some/key")


def test_a_file_holds_its_bytes_and_no_others() -> None:
    assert PublishedFile("runs/ab/1-x/hits", 4, hashlib.sha256(b"hits").hexdigest()) == FILE
    assert FILE.holds(b"hits")
    assert not FILE.holds(b"Hits")
    assert not FILE.holds(b"hits and more")


def test_keys_are_in_the_order_of_their_numbers() -> None:
    assert [manifest_key(n) for n in (9, 10)] == ["ledger/manifests/00000009.json", "ledger/manifests/00000010.json"]


@given(st.dictionaries(st.text("0123456789abcdef", min_size=8, max_size=8), st.text("abcdef", min_size=1)))
def test_results_are_listed_in_one_way(commits: dict[str, str]) -> None:
    lines = commit_lines(commits)
    assert read_commit_lines(lines) == commits
    assert commit_lines(dict(reversed(commits.items()))) == lines


@pytest.mark.parametrize("text", [b"one\n", b"one two three\n", b"\xff\n"])
def test_a_damaged_list_of_results_is_told(text: bytes) -> None:
    with pytest.raises(CorruptBlob, match="a list of folded results is damaged"):
        read_commit_lines(text)
