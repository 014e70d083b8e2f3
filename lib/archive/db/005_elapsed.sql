-- The time from submission to verdict by the clock of Redis, in milliseconds; NULL if unknown.

ALTER TABLE tasksets ADD COLUMN elapsed_ms BIGINT;
CREATE INDEX tasksets_by_class ON tasksets (taskset_class, finished_ms);
