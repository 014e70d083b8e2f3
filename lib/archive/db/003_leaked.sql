-- Processes that a trial leaked, and that were killed.

ALTER TABLE trials ADD COLUMN leaked BIGINT;
