"""A published version: which results it was made of, which files it has, and what came before it.

`ledger/manifests/<number>.json` is created if absent and never changes. Numbers rise with time; one that the chain from
`HEAD` leaves out was given to somebody whose publication never became a version.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from actors.blob_keys import is_key
from actors.errors import CorruptBlob
from actors.strict_json import Fields, check_object, read_object

FORMAT = 1
MANIFESTS = "ledger/manifests"
RUNS = "runs"
"""Where the files of all versions are."""
_OWN = ("ledger", RUNS)
"""Folders in which no plain name lies: a copy of a file must not replace what decides."""
_FIELDS: Fields = {
    "format": int,
    "number": int,
    "epoch": int,
    "attempt": str,
    "created": str,
    "previous": (dict, type(None)),
    "run": str,
    "ledger": str,
    "results": int,
    "commits": dict,
    "files": dict,
    "facts": dict,
}
_FILE: Fields = {"key": str, "size": int, "sha256": str}
_REFERENCE: Fields = {"number": int, "sha256": str}


@dataclass(frozen=True, slots=True)
class ManifestReference:
    """A manifest by its number and the SHA-256 of its bytes."""

    number: int
    sha256: str

    @classmethod
    def from_data(cls, content: object, key: str) -> "ManifestReference | None":
        """Read what a record says of another manifest; None for none.

        Raises
        ------
        CorruptBlob
            It is something else.
        """
        return None if content is None else cls(**check_object(content, _REFERENCE, key))


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """A file of a version: its key, which no other version uses, and what it holds."""

    key: str
    size: int
    sha256: str

    @classmethod
    def of(cls, key: str, data: bytes) -> "PublishedFile":
        """Describe bytes that are to be stored under a key."""
        return cls(key, len(data), hashlib.sha256(data).hexdigest())

    def holds(self, data: bytes) -> bool:
        """Tell whether these are the bytes that were published."""
        return len(data) == self.size and hashlib.sha256(data).hexdigest() == self.sha256


@dataclass(frozen=True, slots=True)
class Manifest:
    """What `ledger/manifests/<number>.json` holds.

    Attributes
    ----------
    epoch
        Of the run that published it.
    attempt
        Unique to the call that published it.
    previous
        The version before, None for the first.
    run
        Digest that names what was asked; versions of one run supersede one another.
    ledger
        Where the commits are: `ledger`, a folder beside this one, or an absolute URL.
    results
        How many committed results were folded.
    commits
        The file that lists them, a line each: task and SHA-256 of its data.
    files
        Plain name → file.
    facts
        What whoever published wants to say of it.
    """

    number: int
    epoch: int
    attempt: str
    created: str
    previous: ManifestReference | None
    run: str
    ledger: str
    results: int
    commits: PublishedFile
    files: Mapping[str, PublishedFile]
    facts: Mapping[str, Any]

    @property
    def all_files(self) -> Mapping[str, PublishedFile]:
        """Everything that the version has, by key."""
        return {file.key: file for file in (*self.files.values(), self.commits)}

    def to_json(self) -> bytes:
        """Write the manifest as canonical JSON."""
        return json.dumps({"format": FORMAT, **asdict(self)}, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, text: bytes, key: str) -> "Manifest":
        """Read a manifest.

        Raises
        ------
        CorruptBlob
            It is no manifest, or one of another format.
        """
        content = read_object(text, _FIELDS, key)
        if content.pop("format") != FORMAT:
            raise CorruptBlob(f"{key} is of another format than {FORMAT}: another version of the engine wrote it")
        content["previous"] = ManifestReference.from_data(content["previous"], key)
        content["commits"] = _file(content["commits"], key)
        content["files"] = {_plain(name, key): _file(file, key) for name, file in content["files"].items()}
        return cls(**content)


def manifest_key(number: int) -> str:
    """Return the key of a manifest; zeros in front, so that people see them in order."""
    return f"{MANIFESTS}/{number:08d}.json"


def commit_lines(commits: Mapping[str, str]) -> bytes:
    """Write a line for each result, task and SHA-256 of its data, sorted: the same results give the same bytes."""
    return "".join(f"{task} {sha256}\n" for task, sha256 in sorted(commits.items())).encode()


def read_commit_lines(data: bytes) -> dict[str, str]:
    """Read what `commit_lines` wrote.

    Raises
    ------
    CorruptBlob
        It is something else.
    """
    try:
        pairs = [line.split(" ") for line in data.decode().splitlines()]
        return {task: sha256 for task, sha256 in pairs}  # noqa: C416 -- a line of another length is damage
    except ValueError as error:
        raise CorruptBlob(f"a list of folded results is damaged ({error})") from error


def _file(content: object, key: str) -> PublishedFile:
    file = PublishedFile(**check_object(content, _FILE, key))
    if not file.key.startswith(f"{RUNS}/") or not is_key(file.key):
        raise CorruptBlob(f"{key} names the file {file.key!r:.80}, and the files of a version are in {RUNS}/")
    return file


def _plain(name: str, key: str) -> str:
    if not is_key(name) or name.partition("/")[0] in _OWN:
        raise CorruptBlob(f"{key} names the copy {name!r:.80}, which a version may not have")
    return name
