"""Errors of `actors`, one root for all of them.

ActorsError
├── StoreError                       an object store said no, or said nothing
│   ├── UnsupportedURL               a store URL that cannot be opened
│   ├── UnsafeKey                    a key that would leave the store's root or that some store cannot hold
│   ├── BlobNotFound                 the key holds nothing
│   ├── BlobExists                   put-if-absent found the key taken
│   ├── BlobChanged                  compare-and-swap found another version
│   ├── CorruptBlob                  bytes differ from what the commit record promises
│   │   └── BlobTooLarge             an object is larger than what is read of its kind
│   ├── ConditionalWritesUnsupported the store ignores put-if-absent, so nothing can be committed
│   ├── Fenced                       another run has taken over; what this one would publish is not published
│   └── StoreUnavailable             no usable answer; work may go on when the store is back
│       ├── StoreRefused             an answer that trying again will not change: credentials, bucket
│       │   └── StoreFull            no space is left; what is committed is safe
│       └── CommitUnknown            the commit was sent, whether it arrived is unknown
├── TaskError                        a task or a worker that cannot be scheduled as described
│   ├── UnsafeTaskId                 a task id that is no plain hex digest
│   ├── DuplicateTask                the same task id twice in one run
│   └── UnknownWorker                a worker target that cannot be found or options that are not plain
├── BadFaultPlan                     faults that cannot be injected as described
├── BadLogFormat                     LINGSHU_LOG names a format that there is not
├── JobError                         a job that runs apart from whoever started it
│   ├── JobLost                      its process died before it told how it ended
│   └── JobSilent                    it does not answer
├── MetricsUnavailable               metrics cannot be shown where they were asked for
├── Cancelled                        somebody asked for the end
└── PoolError                        replicas that cannot do the work
    ├── ClusterUnavailable           no Ray cluster could be started or joined
    ├── NotEnoughResources           the cluster is too small for the replicas asked for
    ├── ReplicaStartFailed           the worker does not open, with the worker's own message
    ├── TooManyFailures              failure after failure with no commit in between
    └── FatalFailure                 a failure that every other task would meet too
"""


class ActorsError(Exception):
    """Root of every error that `actors` raises on purpose."""


class StoreError(ActorsError):
    """An object store could not do what was asked."""


class UnsupportedURL(StoreError):
    """The URL of a store has an unknown scheme or lacks a part."""


class UnsafeKey(StoreError):
    """A key would leave the root of the store, or is a name that some store cannot hold."""


class BlobNotFound(StoreError):
    """Nothing is stored under the key."""


class BlobExists(StoreError):
    """Put-if-absent found the key taken; what is stored is left as it was."""


class BlobChanged(StoreError):
    """Compare-and-swap found another version than the one that was named; what is stored is left as it was."""


class Fenced(StoreError):
    """Another run has taken over the output since this one began, so this one publishes nothing any more."""


class CorruptBlob(StoreError):
    """Stored bytes differ in size or digest from what the commit record promises."""


class BlobTooLarge(CorruptBlob):
    """An object is larger than anything of its kind; none of its bytes were read."""


class ConditionalWritesUnsupported(StoreError):
    """The store ignores conditions on what it writes, so results could be lost or doubled."""


class StoreUnavailable(StoreError):
    """The store gave no usable answer within the bounded retries."""


class StoreRefused(StoreUnavailable):
    """The store answered and refused: wrong credentials, missing bucket, no permission."""


class StoreFull(StoreRefused):
    """No space is left where the store writes; what it holds is as it was."""

    after_failure = "stop"


class CommitUnknown(StoreUnavailable):
    """A commit was sent and neither confirmed nor denied; reading the ledger later tells."""


class TaskError(ActorsError):
    """A task or a worker cannot be scheduled as described."""


class UnsafeTaskId(TaskError):
    """A task id is no lower-case hex digest, so it cannot name an object safely."""


class DuplicateTask(TaskError):
    """The same task id was handed over twice in one run."""


class UnknownWorker(TaskError):
    """A worker target cannot be imported, or its options are not plain JSON."""


class BadFaultPlan(ActorsError):
    """Faults that were asked for cannot be injected as described."""


class BadLogFormat(ActorsError):
    """The environment asks for a format of logs that there is not."""


class JobError(ActorsError):
    """A job that runs apart from whoever started it cannot be reached."""


class JobLost(JobError):
    """The process of a job died before it told how it ended."""


class JobSilent(JobError):
    """A job does not answer; it may be busy, or its node out of reach."""


class MetricsUnavailable(ActorsError):
    """Metrics cannot be shown at the port that was asked for."""


class Cancelled(ActorsError):
    """Somebody asked for the end of the work; says who."""


class PoolError(ActorsError):
    """The replicas of a pool cannot do the work."""


class ClusterUnavailable(PoolError):
    """No Ray cluster could be started or joined."""


class NotEnoughResources(PoolError):
    """The cluster is too small for the replicas asked for."""


class ReplicaStartFailed(PoolError):
    """No replica could open its worker; carries the worker's own message."""


class FatalFailure(PoolError):
    """A task failed in a way in which every other would, so the run ends at once."""


class TooManyFailures(PoolError):
    """Failure followed failure with no commit in between, so going on would only burn time."""
