"""`HEAD`: who publishes, and which version stands."""

import json
from dataclasses import asdict, dataclass

from actors.errors import CorruptBlob
from actors.manifest import ManifestReference
from actors.strict_json import Fields, read_object

FORMAT = 1
HEAD = "ledger/HEAD"
_FIELDS: Fields = {
    "format": int,
    "epoch": int,
    "owner": str,
    "holder": str,
    "since": str,
    "sweeps": int,
    "manifest": (dict, type(None)),
}


@dataclass(frozen=True, slots=True)
class Head:
    """What `ledger/HEAD` holds. Epoch, manifest and sweeps never fall, and one of them rises with every move.

    Attributes
    ----------
    epoch
        How many runs have begun here.
    owner
        Unique to the run that began last; only it may publish.
    holder
        What that run said of itself, for people and for whoever wants to reach it.
    since
        When it began, UTC, ISO 8601.
    sweeps
        How often superseded and orphaned versions were about to be deleted. A publication that had begun before has
        to begin anew, because its files may have been taken for orphans.
    manifest
        The version that stands, None before the first.
    """

    epoch: int
    owner: str
    holder: str
    since: str
    sweeps: int
    manifest: ManifestReference | None

    def to_json(self) -> bytes:
        """Write the head as canonical JSON."""
        return json.dumps({"format": FORMAT, **asdict(self)}, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, text: bytes) -> "Head":
        """Read a head.

        Raises
        ------
        CorruptBlob
            It is none, or one of another format.
        """
        try:
            content = read_object(text, _FIELDS, HEAD)
            content["manifest"] = ManifestReference.from_data(content["manifest"], HEAD)
        except CorruptBlob as error:
            raise CorruptBlob(
                f"{error}. Delete it (in a folder with {HEAD}.versions) to begin a new history; what is committed stays"
            ) from error
        if content.pop("format") != FORMAT:
            raise CorruptBlob(f"{HEAD} is of another format than {FORMAT}: another version of the engine wrote it")
        return cls(**content)
