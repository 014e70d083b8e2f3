-- The folder, on the worker, with the output files that a trial kept.

ALTER TABLE trials ADD COLUMN outputs TEXT;
