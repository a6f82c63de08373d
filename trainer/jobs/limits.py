"""Limits of jobs and their records. The Lua scripts read them too (trainer.jobs.scripts)."""

REQUEST_SECONDS = 30 * 86_400  # how long a request id is remembered
LOG_SECONDS = 30 * 86_400  # how long an event log is kept after the end of its job
DEFAULT_KEEP_DAYS = 90  # of records that an old release wrote without keep_days
MAX_EVENTS = 100_000  # in a job's log, about: several days of a run (trainer.worker.outbox writes few)
MAX_ARTEFACTS = 500  # in a job's record
MAX_LOSSES = 3  # attempts that end as a loss, without a new checkpoint in between, until the job fails
WORKER_SECONDS = 30  # a worker without a heartbeat for longer counts as gone
LEASE_SECONDS = 60.0  # a worker that does not renew its lease for this long loses the job
