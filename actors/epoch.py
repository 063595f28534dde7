"""The right to publish: held by the run that began last, and by nobody else.

A run that was thought dead may still be alive: a zombie, behind a broken network or on a machine that slept. It can't
be told to stop, so it is fenced: `HEAD` holds the epoch of the run that began last, and every publication moves `HEAD`
by a compare-and-swap from a version that was read before anything was written. A zombie reads a later epoch, or its
swap names a version that stands no more.
"""

import hashlib
import uuid
from collections.abc import Mapping
from typing import Any, Self

from actors.errors import BlobExists, BlobNotFound, CommitUnknown, CorruptBlob, Fenced, StoreRefused, StoreUnavailable
from actors.head import Head
from actors.history import History
from actors.manifest import RUNS, Manifest, ManifestReference, PublishedFile, commit_lines, manifest_key
from actors.size_limits import LARGEST_MANIFEST, LARGEST_OBJECT, check_size

COMMITS_FILE = "commits.txt"


class Epoch:
    """A run's place in the history; made by `Epoch.begin`.

    Attributes
    ----------
    number
        The epoch.
    owner
        Unique to this run.
    """

    def __init__(self, history: History, number: int, owner: str) -> None:
        self.number = number
        self.owner = owner
        self._history = history

    @classmethod
    def begin(cls, history: History, holder: str = "") -> Self:
        """Take over: from now on only the epoch that is returned may publish here.

        Parameters
        ----------
        holder
            What others should know of this run, such as the name of its planner; no secrets.
        """
        owner = uuid.uuid4().hex
        while True:
            epoch = cls.succeed(history, *history.load(), holder, owner)
            if epoch is not None:
                return epoch

    @classmethod
    def succeed(cls, history: History, head: Head | None, version: str | None, holder: str, owner: str) -> Self | None:
        """Take over from a head that was seen; None if it is another one by now.

        Parameters
        ----------
        head, version
            As `History.load` gave them.
        holder
            As in `begin`.
        owner
            Unique to this run.
        """
        if head is None:
            mine = Head(1, owner, holder, history.now(), 0, None)
        else:
            mine = Head(head.epoch + 1, owner, holder, history.now(), head.sweeps, head.manifest)
        if history.move(mine, version):
            return cls(history, mine.epoch, owner)
        there = history.head()
        # A move that seemed to have failed was ours all the same, with a sweep after it.
        return cls(history, there.epoch, owner) if there is not None and there.owner == owner else None

    def check(self) -> None:
        """See whether this run may still publish.

        Raises
        ------
        Fenced
            Another run has begun since.
        """
        self._standing()

    def publish(
        self,
        run: str,
        files: Mapping[str, bytes],
        commits: Mapping[str, str],
        *,
        ledger: str = "ledger",
        facts: Mapping[str, Any] | None = None,
    ) -> Manifest:
        """Make the files the version that stands, and bring the plain names to it.

        The same files of the same results again make no new version.

        Parameters
        ----------
        run
            Digest that names what was asked.
        files
            Plain name → content.
        commits
            The results that the files were made of: task → SHA-256 of its data.
        ledger
            Where these are committed: `ledger`, beside the version, or an absolute URL.
        facts
            Plain data to stand in the manifest.

        Raises
        ------
        Fenced
            Another run has begun since, and nothing was published.
        CommitUnknown
            The store stayed silent, and whether this was published is unknown; reading `HEAD` later tells.
        """
        content = {**files, COMMITS_FILE: commit_lines(commits)}
        try:
            manifest = self._publish(run, content, len(commits), ledger, facts or {})
        except StoreRefused:
            raise
        except StoreUnavailable as error:
            raise CommitUnknown(f"publishing in {self._history.blobs.url}: {error}") from error
        self._history.mirror()
        return manifest

    def _publish(
        self, run: str, content: Mapping[str, bytes], results: int, ledger: str, facts: Mapping[str, Any]
    ) -> Manifest:
        while True:
            # Before anything is written: whoever collects orphans moves the head first.
            head, version = self._standing()
            same = self._same(head, run, content)
            if same is not None:
                return same
            manifest = self._write(head, run, content, results, ledger, facts)
            reference = ManifestReference(manifest.number, hashlib.sha256(manifest.to_json()).hexdigest())
            moved = Head(head.epoch, head.owner, head.holder, head.since, head.sweeps, reference)
            if self._history.move(moved, version) or self._stands(reference):
                return manifest

    def _standing(self) -> tuple[Head, str | None]:
        """Return the head and its version, if this run still holds it."""
        head, version = self._history.load()
        if head is None or head.owner != self.owner:
            raise Fenced(_taken_over(head, self._history.blobs.url))
        return head, version

    def _same(self, head: Head, run: str, content: Mapping[str, bytes]) -> Manifest | None:
        """Return the version that stands, if it is just what is to be published, and undamaged."""
        if head.manifest is None:
            return None
        try:
            manifest = self._history.manifest(head.manifest)
            there = {**manifest.files, COMMITS_FILE: manifest.commits}
            if manifest.run != run or there.keys() != content.keys():
                return None
            alike = all(file.holds(content[name]) for name, file in there.items())
            return manifest if alike and self._history.is_whole(manifest) else None
        except CorruptBlob:  # a new version is the cure
            return None

    def _write(
        self, head: Head, run: str, content: Mapping[str, bytes], results: int, ledger: str, facts: Mapping[str, Any]
    ) -> Manifest:
        """Write files and manifest under names that nobody else uses; nothing of it counts before the head moves."""
        attempt = uuid.uuid4().hex
        number = 1 if head.manifest is None else head.manifest.number + 1
        files = self._write_files(f"{RUNS}/{run[:16]}/{number:08d}-{attempt[:12]}", content)
        commits = files.pop(COMMITS_FILE)
        while True:
            manifest = Manifest(
                number,
                head.epoch,
                attempt,
                self._history.now(),
                head.manifest,
                run,
                ledger,
                results,
                commits,
                files,
                facts,
            )
            if self._create(manifest):
                return manifest
            number += 1  # of somebody whose publication never became a version, or is about to fail

    def _write_files(self, folder: str, content: Mapping[str, bytes]) -> dict[str, PublishedFile]:
        written = {}
        for name, data in content.items():
            check_size(name, len(data), LARGEST_OBJECT)
            file = PublishedFile.of(f"{folder}/{name}", data)
            self._history.patience.wait_for(
                lambda file=file, data=data: self._history.blobs.put(file.key, data)  # type: ignore[misc]
            )
            written[name] = file
        return written

    def _create(self, manifest: Manifest) -> bool:
        """Create the manifest; False if its number is taken. A lost answer is settled by reading."""
        key, text = manifest_key(manifest.number), manifest.to_json()
        check_size(key, len(text), LARGEST_MANIFEST)

        def create() -> bool:
            try:
                self._history.blobs.create(key, text)
            except BlobExists:
                try:
                    return self._history.blobs.get(key, LARGEST_MANIFEST) == text
                except BlobNotFound as conflict:
                    raise CommitUnknown(f"creating {key} met a conflict that nobody won") from conflict
            return True

        return self._history.patience.wait_for(create)

    def _stands(self, reference: ManifestReference) -> bool:
        """Tell whether a move that seems to have failed was ours all the same, with others after it."""
        head = self._history.head()
        current = None if head is None else head.manifest
        while current is not None and current.number > reference.number:
            current = self._history.manifest(current).previous
        return current == reference


def _taken_over(head: Head | None, url: str) -> str:
    if head is None:
        return f"{url}: ledger/HEAD is gone, so this run may not publish. What it computed is committed; run again."
    who = f" ({head.holder})" if head.holder else ""
    return (
        f"{url}: another run{who} has taken over (epoch {head.epoch}, since {head.since}), so this one publishes "
        "nothing. What it computed is committed, and whoever runs the campaign uses it."
    )
