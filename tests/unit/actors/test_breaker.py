from actors.breaker import Breaker


def test_several_tasks_in_a_row_make_a_replica_suspect() -> None:
    breaker = Breaker(failures_per_replica=3, failures_in_a_row=100)
    for task in ("a", "b"):
        breaker.saw_failure("replica-0", task, first_attempt=True)
    assert not breaker.is_suspect("replica-0")
    breaker.saw_failure("replica-0", "c", first_attempt=True)
    assert breaker.is_suspect("replica-0")
    assert not breaker.is_suspect("replica-1")


def test_one_bad_task_is_not_the_fault_of_the_replica() -> None:
    breaker = Breaker(failures_per_replica=3, failures_in_a_row=100)
    for _ in range(10):
        breaker.saw_failure("replica-0", "the bad one", first_attempt=True)
    assert not breaker.is_suspect("replica-0")


def test_a_success_clears_the_replica_and_the_run() -> None:
    breaker = Breaker(failures_per_replica=2, failures_in_a_row=3)
    breaker.saw_failure("replica-0", "a", first_attempt=True)
    breaker.saw_failure("replica-0", "b", first_attempt=True)
    breaker.saw_success("replica-0")
    assert not breaker.is_suspect("replica-0")
    breaker.saw_failure("replica-0", "c", first_attempt=True)
    assert not breaker.hopeless


def test_nothing_but_failure_is_hopeless() -> None:
    breaker = Breaker(failures_per_replica=3, failures_in_a_row=3)
    for number in range(3):
        assert not breaker.hopeless
        breaker.saw_failure(f"replica-{number}", "a", first_attempt=True)
    assert breaker.hopeless


def test_trying_again_does_not_end_the_run() -> None:
    breaker = Breaker(failures_per_replica=3, failures_in_a_row=3)
    for number in range(10):
        breaker.saw_failure("replica-0", str(number), first_attempt=False)
    assert not breaker.hopeless
