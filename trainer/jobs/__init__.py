"""Jobs: the record of every long run in Redis, its states, its queue and its event log."""
