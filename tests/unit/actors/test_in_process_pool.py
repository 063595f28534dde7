import uuid

import pytest

from actors.errors import PoolError
from actors.in_process_pool import InProcessPool
from actors.rehearsal import rehearsed
from actors.tasks import Lease
from actors.worker import WorkerSpec

SPEC = WorkerSpec("actors.rehearsal:RehearsalWorker")


@pytest.fixture
def url() -> str:
    return f"memory://{uuid.uuid4().hex}"


def test_results_may_stay_in_memory(url: str) -> None:
    with InProcessPool(SPEC, url) as pool:
        pool.submit(Lease("lease", (rehearsed("a"),), 1, 60.0))
        assert pool.poll(0)[0].outcomes[0].status == "committed"


def test_a_poisoned_worker_is_opened_anew(url: str) -> None:
    with InProcessPool(SPEC, url) as pool:
        pool.submit(Lease("first", (rehearsed("bad", fault="poison"),), 1, 60.0))
        pool.submit(Lease("second", (rehearsed("a"),), 1, 60.0))
        assert pool.poll(0)[0].poisoned
        assert [(report.lease.id, report.status) for report in pool.poll(0)] == [("second", "returned")]
        pool.submit(Lease("third", (rehearsed("a"),), 1, 60.0))
        report = pool.poll(0)[0]
        assert (report.replica, report.outcomes[0].status) == ("replica-1", "committed")


def test_a_closed_pool_says_so(url: str) -> None:
    pool = InProcessPool(SPEC, url)
    pool.close()
    assert pool.replicas == 0
    with pytest.raises(PoolError, match="closed"):
        pool.poll(0)
