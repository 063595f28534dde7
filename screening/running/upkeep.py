"""``lingshu verify`` and ``lingshu gc``: is what is stored what was promised, and what of it is of no use any more?

Both take the results of a campaign or an evaluation, or a cache of blocks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from actors.blobs import Blobs, absolute_url, open_blobs
from actors.errors import UnsupportedURL
from actors.history import History
from actors.ledger import COMMITS, DATA, Ledger
from actors.manifest import Manifest, manifest_key
from actors.orphans import (
    Orphan,
    delete_from_history,
    delete_from_ledger,
    orphans_of_history,
    orphans_of_ledger,
)
from actors.redaction import redacted
from actors.verification import (
    OnObject,
    Verification,
    compare_results,
    listed_results,
    verify_history,
    verify_ledger,
)
from screening.errors import ResultsError
from screening.publishing.publication import LEDGER, open_results

SHORTEST_GRACE = timedelta(hours=1)
"""An attempt under way has data that no record names yet; it takes seconds, but clocks may differ by minutes."""
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True)
class Store:
    """A place with commits: results, which have a history, or a cache, which has none."""

    url: str
    ledger: Ledger
    history: History | None


def open_store(url: str) -> Store:
    """Open results or a cache for looking after them.

    Raises
    ------
    ResultsError
        If neither is there.
    StoreError
        If it can't be reached.
    """
    blobs = open_results(url)
    if _holds(blobs, COMMITS) or _holds(blobs, DATA):
        return Store(url, Ledger(blobs, patience_seconds=0), None)
    if not _holds(blobs, LEDGER):
        raise ResultsError(
            f"{url}: nothing was computed here; give the `output:` or the `cache:` of a campaign that ran"
        )
    return Store(
        url, Ledger(open_blobs(f"{blobs.url}/{LEDGER}"), patience_seconds=0), History(blobs, patience_seconds=0)
    )


def verify(url: str, on_object: OnObject | None = None) -> Verification:
    """Read every record and hash every byte of a store again.

    Of a cache that results name, the blocks of their versions are looked at; all others by verifying the cache itself.

    Raises
    ------
    ResultsError, StoreError
        If there is nothing to verify, or it can't be reached.
    """
    store, found = open_store(url), Verification()
    verify_ledger(store.ledger, found, on_object=on_object)
    if store.history is not None:
        for manifest in verify_history(store.history, found, on_object):
            listed = listed_results(store.history, manifest, found)
            if manifest.ledger == LEDGER or _verify_elsewhere(store.history, manifest, listed, found, on_object):
                compare_results(manifest, listed, found)
    return found


def find_orphans(store: Store, grace: timedelta) -> Iterator[Orphan]:
    """Yield what is of no use any more and older than the grace; nothing is changed."""
    before = _before(grace)
    for orphan in orphans_of_ledger(store.ledger, before):
        yield _placed(store, orphan)
    if store.history is not None:
        yield from orphans_of_history(store.history, before)


def delete_orphans(store: Store, grace: timedelta) -> Iterator[Orphan]:
    """Remove what is of no use any more and older than the grace, yielding each object that is gone."""
    before = _before(grace)
    for orphan in delete_from_ledger(store.ledger, before):
        yield _placed(store, orphan)
    if store.history is not None:
        yield from delete_from_history(store.history, before)


def parse_grace(text: str) -> timedelta:
    """Read a time such as ``24h``, ``90m`` or ``7d``.

    Raises
    ------
    ValueError
        If it is something else, or shorter than an hour.
    """
    found = re.fullmatch(r"([0-9]{1,6})([mhd])", text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no time: write 24h, 90m or 7d")
    grace = timedelta(**{_UNITS[found.group(2)]: int(found.group(1))})
    if grace < SHORTEST_GRACE:
        raise ValueError(f"{text} is too short: what is under way looks like an orphan for a while; at least 1h")
    return grace


def _before(grace: timedelta) -> datetime:
    return datetime.now(UTC) - grace


def _placed(store: Store, orphan: Orphan) -> Orphan:
    """Name an object by its key in the store that was asked for."""
    key = orphan.key if store.history is None else f"{LEDGER}/{orphan.key}"
    return Orphan(key, orphan.size, orphan.why)


def _holds(blobs: Blobs, folder: str) -> bool:
    return next(iter(blobs.list(folder)), None) is not None


def _leads_away(results: str, cache: str) -> str:
    """Say why a manifest may not send us to a cache; empty if it may.

    Whoever can write to a bucket must not make us read files of this machine.
    """
    try:
        same_kind = absolute_url(cache).partition("://")[0] == absolute_url(results).partition("://")[0]
    except UnsupportedURL as error:
        return f"names a cache that can't be opened ({error}). Run the campaign again to publish it anew"
    if same_kind and "://" in cache:
        return ""
    where = redacted(cache)
    return f"names the cache {where}, another kind of store than {results}: run `lingshu verify {where}` by itself"


def _verify_elsewhere(
    history: History, manifest: Manifest, listed: dict[str, str], found: Verification, on_object: OnObject | None
) -> bool:
    """Hash blocks in the cache that a version was made of, each once; False if the cache was not looked at."""
    refusal = _leads_away(history.blobs.url, manifest.ledger)
    if not refusal:
        try:
            ledger = Ledger(open_results(manifest.ledger), patience_seconds=0)
        except ResultsError:
            refusal = f"names the cache {manifest.ledger}, which is gone. Run the campaign again"
    if refusal:
        found.note(manifest_key(manifest.number), refusal)
        return False
    verify_ledger(ledger, found, [task for task in listed if task not in found.results], on_object)
    return True
