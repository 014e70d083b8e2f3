-- Processes that a trial left behind, and that were killed.

ALTER TABLE trials ADD COLUMN leaked BIGINT;
