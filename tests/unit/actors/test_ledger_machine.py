"""Two planners, two replicas and a collector of orphans at one store, operation by operation in any order.

Faults and crashes come in between. No result is lost, doubled or changed, and no zombie publishes.
"""

import hashlib
import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from actors.blob_info import BlobInfo, Versioned
from actors.epoch import Epoch
from actors.errors import BlobChanged, BlobExists, BlobNotFound, CorruptBlob, Fenced, StoreUnavailable
from actors.faulty_blobs import FAULTS, Fault, FaultyBlobs
from actors.head import HEAD, Head
from actors.history import History
from actors.ledger import CommitRecord, Ledger
from actors.manifest import Manifest, commit_lines, manifest_key, read_commit_lines
from actors.orphans import delete_from_history, delete_from_ledger
from actors.patience import READINGS
from actors.size_limits import LARGEST_OBJECT
from actors.verification import Verification, verify_history, verify_ledger

TASKS = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(3)]
GRACE = 3600.0
FOREVER = 1e9
SLOTS = ["planner a", "planner b", "replica a", "replica b", "gc"]


class Crash(BaseException):
    """The process is gone."""


class Actor:
    """A process: runs in a thread, which stands before each operation on the store until it is told to go on."""

    def __init__(self, act: Callable[["Actor"], object]) -> None:
        self.result: object = None
        self.over = False
        self.cut = 0  # how many bodies
        self._fault: Fault | None = None
        self._crash = False
        self._go, self._stands = threading.Lock(), threading.Lock()
        self._go.acquire()
        self._stands.acquire()
        self._thread = threading.Thread(target=self._run, args=(act,))
        self._thread.start()
        self._stands.acquire()

    def next_fault(self, operation: str, key: str) -> Fault | None:
        self._stands.release()
        self._go.acquire()
        if self._crash:
            raise Crash
        return self._fault

    def step(self, fault: Fault | None = None) -> None:
        if not self.over:
            self.cut += fault == "truncated body"
            self._fault = fault
            self._go.release()
            self._stands.acquire()

    def finish(self) -> None:
        while not self.over:
            self.step()

    def crash(self) -> None:
        self._crash = True
        self.step()
        self._thread.join()

    def _run(self, act: Callable[["Actor"], object]) -> None:
        try:
            self.result = act(self)
        except BaseException as error:  # becomes the result, which is judged by whoever has started this
            self.result = error
        finally:
            self.over = True
            self._stands.release()


class WatchedBlobs:
    """A store in a dictionary, with a clock of its own, which looks at every move of the head."""

    url = "memory://watched"

    def __init__(self) -> None:
        self.seconds = 1e9
        self.held: dict[str, tuple[bytes, str, float]] = {}

    def get(self, key: str, most: int = LARGEST_OBJECT) -> bytes:
        return self.load(key).data

    def load(self, key: str, most: int = LARGEST_OBJECT) -> Versioned:
        if key not in self.held:
            raise BlobNotFound(key)
        return Versioned(*self.held[key][:2])

    def put(self, key: str, data: bytes) -> None:
        self.held[key] = (data, uuid.uuid4().hex, self.seconds)

    def create(self, key: str, data: bytes) -> None:
        if key in self.held:
            raise BlobExists(key)
        self.put(key, data)

    def swap(self, key: str, data: bytes, version: str | None) -> str:
        assert key == HEAD
        if (self.held[key][1] if key in self.held else None) != version:
            raise BlobChanged(key)
        before = self.head()
        self.put(key, data)
        self._check_move(before, Head.from_json(data))
        return self.load(key).version

    def copy(self, source: str, target: str) -> None:
        self.put(target, self.get(source))

    def exists(self, key: str) -> bool:
        return key in self.held

    def delete(self, key: str) -> None:
        self.held.pop(key, None)

    def scan(self, prefix: str = "") -> Iterator[BlobInfo]:
        for key, (data, _, seconds) in list(self.held.items()):
            if key.startswith(f"{prefix}/"):
                yield BlobInfo(key, len(data), datetime.fromtimestamp(seconds, UTC))

    def list(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        return ((found.key, found.size) for found in self.scan(prefix))

    def head(self) -> Head | None:
        return Head.from_json(self.get(HEAD)) if HEAD in self.held else None

    def _check_move(self, before: Head | None, after: Head) -> None:
        if before is None:
            assert (after.epoch, after.manifest) == (1, None)
        elif after.epoch != before.epoch:  # a run begins: it takes over what stands
            assert (after.epoch, after.manifest, after.sweeps) == (before.epoch + 1, before.manifest, before.sweeps)
            assert after.owner != before.owner
        elif after.sweeps != before.sweeps:
            assert (after.sweeps, after.manifest, after.owner) == (before.sweeps + 1, before.manifest, before.owner)
        else:  # a version is published, by the run that began last, on top of what stands
            assert after.manifest is not None
            assert after.owner == before.owner
            manifest = Manifest.from_json(self.get(manifest_key(after.manifest.number)), "")
            assert (manifest.epoch, manifest.previous) == (before.epoch, before.manifest)
            assert manifest.facts == {"owner": before.owner}
            assert before.manifest is None or after.manifest.number > before.manifest.number


def table_of(results: dict[str, bytes]) -> bytes:
    """The fold: a function of the results that are committed, and of nothing else."""
    return b"".join(task.encode() + results[task] + b"\n" for task in sorted(results))


class LedgerMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.store = WatchedBlobs()
        self.records: dict[str, bytes] = {}
        self.outcomes: dict[str, list[str]] = {task: [] for task in TASKS}
        self.slots: dict[str, Actor | None] = dict.fromkeys(SLOTS)

    # What the processes do. Each has a store of its own, which strikes when it is told to.

    def faulty(self, actor: Actor) -> FaultyBlobs:
        return FaultyBlobs(self.store, actor.next_fault, sleep=lambda _: None)

    def ledger(self, blobs: Any) -> Ledger:
        return Ledger(blobs, FOREVER, lambda _: None, lambda: self.store.seconds)

    def history(self, blobs: Any) -> History:
        return History(blobs, FOREVER, lambda _: None, lambda: self.store.seconds)

    def compute(self, task: str) -> Callable[[Actor], object]:
        def act(actor: Actor) -> str:
            # Every attempt gives bytes of its own: so it shows if two of them were ever visible.
            commit = self.ledger(self.faulty(actor)).commit(task, uuid.uuid4().bytes, replica="r")
            self.outcomes[task].append(commit.status)
            return commit.status

        return act

    def plan(self, run: str) -> Callable[[Actor], object]:
        def act(actor: Actor) -> tuple[str, Manifest | None]:
            blobs = self.faulty(actor)
            ledger, history = self.ledger(blobs), self.history(blobs)
            epoch = Epoch.begin(history, run)
            committed = ledger.committed()
            records = {task: ledger.record(task) for task in committed}
            table = table_of({task: ledger.read_data(record) for task, record in records.items()})
            try:
                digests = {task: record.sha256 for task, record in records.items()}
                return epoch.owner, epoch.publish(run, {"table": table}, digests, facts={"owner": epoch.owner})
            except Fenced:
                return epoch.owner, None

        return act

    def collect(self, actor: Actor) -> object:
        blobs = self.faulty(actor)
        before = datetime.fromtimestamp(self.store.seconds, UTC) - timedelta(seconds=GRACE)
        gone = list(delete_from_ledger(self.ledger(blobs), before))
        return gone + list(delete_from_history(self.history(blobs), before))

    # What may happen.

    @rule(slot=st.sampled_from(SLOTS), job=st.integers(0, 2), steps=st.integers(1, 12))
    def go_on(self, slot: str, job: int, steps: int) -> None:
        self._start(slot, job)
        for _ in range(steps):
            self._step(slot, None)

    @rule(slot=st.sampled_from(SLOTS), job=st.integers(0, 2), fault=st.sampled_from(FAULTS))
    def meet_a_fault(self, slot: str, job: int, fault: Fault) -> None:
        self._start(slot, job)
        self._step(slot, fault)

    @rule(slot=st.sampled_from(SLOTS), job=st.integers(0, 2))
    def run_to_the_end(self, slot: str, job: int) -> None:
        self.go_on_to_the_end(slot, job)

    @rule(slot=st.sampled_from(SLOTS))
    def crash(self, slot: str) -> None:
        self.kill(slot)

    @rule(collect=st.booleans())
    def planners_sleep(self, collect: bool) -> None:
        """For longer than the grace. In `test_ledger.py` a replica does, and looks after its data when it wakes."""
        for slot in ("replica a", "replica b"):
            while self.slots[slot] is not None:
                self._step(slot, None)
        self.store.seconds += 2 * GRACE
        if collect:
            self.kill("gc")
            self.go_on_to_the_end("gc", 0)

    # The same, for rules that do several things.

    def go_on_to_the_end(self, slot: str, job: int) -> None:
        self._start(slot, job)
        while self.slots[slot] is not None:
            self._step(slot, None)

    def kill(self, slot: str) -> None:
        actor = self.slots[slot]
        if actor is not None:
            actor.crash()
            self.slots[slot] = None

    # What holds all the time.

    @invariant()
    def results_stay(self) -> None:
        found = {key: self.store.get(key) for key, _ in self.store.list("commits")}
        assert self.records.items() <= found.items()
        self.records = found
        for key, text in found.items():
            record = CommitRecord.from_json(text, key)
            data = self.store.get(record.data)
            assert hashlib.sha256(data).hexdigest() == record.sha256

    @invariant()
    def one_attempt_wins(self) -> None:
        assert all(outcomes.count("committed") <= 1 for outcomes in self.outcomes.values())

    @invariant()
    def what_stands_is_whole_and_a_function_of_commits(self) -> None:
        history = History(self.store, 0)
        manifest = history.published()
        if manifest is None:
            return
        listed = read_commit_lines(history.read(manifest.commits))
        results = {}
        for task, sha256 in listed.items():
            record = CommitRecord.from_json(self.records[f"commits/{task}.json"], task)
            assert record.sha256 == sha256
            results[task] = self.store.get(record.data)
        assert history.read(manifest.files["table"]) == table_of(results)
        assert history.read(manifest.commits) == commit_lines(listed)

    def teardown(self) -> None:
        for actor in self.slots.values():
            if actor is not None:
                actor.crash()
        # Whatever came before, the next calm run publishes what is committed, and all of it is as promised.
        calm = Actor(self.plan("c" * 16))
        calm.finish()
        calm._thread.join()
        self._judge(calm.result)
        found = Verification()
        verify_ledger(Ledger(self.store), found)
        verify_history(History(self.store), found)
        assert found.flaws == []
        assert {f"commits/{task}.json" for task in found.results} == set(self.records)

    def _start(self, slot: str, job: int) -> None:
        if self.slots[slot] is None:
            jobs = {"planner": self.plan("abc"[job] * 16), "replica": self.compute(TASKS[job]), "gc": self.collect}
            self.slots[slot] = Actor(jobs[slot.split()[0]])

    def _step(self, slot: str, fault: Fault | None) -> None:
        actor = self.slots[slot]
        if actor is None:
            return
        actor.step(fault)
        if actor.over:
            actor._thread.join()
            self.slots[slot] = None
            if not (isinstance(actor.result, CorruptBlob) and actor.cut >= READINGS):  # then it had to be believed
                self._judge(actor.result)

    def _judge(self, result: object) -> None:
        """What a process was told is true."""
        if isinstance(result, tuple):
            (owner, published), chain = result, list(History(self.store, 0).chain())
            if published is None:
                assert not any(each.facts["owner"] == owner for each in chain)
            else:
                assert published in chain
        elif isinstance(result, BaseException) and not isinstance(result, Crash | StoreUnavailable):
            raise result


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
