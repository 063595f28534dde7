import hashlib
import time
import uuid

import pytest

from actors.fault_plan import FaultPlan, WorkerFault
from actors.faulty_worker import FaultyWorker, open_faulty_worker
from actors.rehearsal import RehearsedFailure, rehearsed

PAYLOAD = rehearsed("hello").payload


def faulty(fault: WorkerFault, url: str, **options: float) -> FaultyWorker:
    plan = FaultPlan(worker={fault: 1.0}, strikes=1, **options)  # type: ignore[arg-type]
    return open_faulty_worker("actors.rehearsal:RehearsalWorker", {}, plan.to_data(), url)


@pytest.fixture
def url() -> str:
    return f"memory://{uuid.uuid4().hex}"


@pytest.mark.parametrize(
    ("fault", "error", "poisons"),
    [
        ("raise", RehearsedFailure, False),
        ("nan", RehearsedFailure, True),
        ("out of memory", MemoryError, False),
        ("exit", SystemExit, False),
        ("hang", RehearsedFailure, False),
    ],
)
def test_a_fault_strikes_once_whoever_tries(
    fault: WorkerFault, error: type[BaseException], poisons: bool, url: str
) -> None:
    with pytest.raises(error) as struck:
        faulty(fault, url, hang_seconds=0).run(PAYLOAD)
    assert getattr(struck.value, "poisons_replica", False) == poisons
    assert faulty(fault, url).run(PAYLOAD) == b"hello"


def test_a_slow_worker_is_right_in_the_end(url: str) -> None:
    started = time.monotonic()
    assert faulty("slow", url, slow_seconds=0.1).run(PAYLOAD) == b"hello"
    assert time.monotonic() - started > 0.1


def test_a_kill_is_a_signal_to_its_own_process(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr("os.kill", lambda process, signal: sent.append((process, signal)))
    monkeypatch.setattr("os.getpid", lambda: 17)
    with pytest.raises(RehearsedFailure):  # it has outlived the signal here
        faulty("kill", url).run(PAYLOAD)
    assert sent == [(17, 9)]


def test_which_tasks_are_struck_follows_from_their_payloads(url: str) -> None:
    plan = FaultPlan(worker={"raise": 0.5}, strikes=1)
    worker = open_faulty_worker("actors.rehearsal:RehearsalWorker", {}, plan.to_data(), url)
    for number in range(20):
        payload = rehearsed(str(number)).payload
        if list(plan.worker_faults(hashlib.sha256(payload).hexdigest())):
            with pytest.raises(RehearsedFailure):
                worker.run(payload)
        assert worker.run(payload) == str(number).encode()


def test_a_raylet_is_killed_with_its_replica(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr("os.kill", lambda process, signal: sent.append((process, signal)))
    monkeypatch.setattr("os.getppid", lambda: 16)
    monkeypatch.setattr("os.getpid", lambda: 17)
    monkeypatch.setattr("actors.faulty_worker.this_node_may_fall", lambda home: True)
    with pytest.raises(RehearsedFailure):  # it has outlived the signals here
        faulty("raylet kill", url).run(PAYLOAD)
    assert sent == [(16, 9), (17, 9)]


def test_a_raylet_that_is_spared_costs_nothing(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    homes: list[str] = []
    monkeypatch.setattr("actors.faulty_worker.this_node_may_fall", lambda home: bool(homes.append(home)))
    plan = FaultPlan(worker={"raylet kill": 1.0})
    spec = "actors.rehearsal:RehearsalWorker"
    assert open_faulty_worker(spec, {}, plan.to_data(), url, home="ab").run(PAYLOAD) == b"hello"
    assert homes == ["ab"]
