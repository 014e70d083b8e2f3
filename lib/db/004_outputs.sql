-- The folder, on its worker, in which a trial left what is to be kept.

ALTER TABLE trials ADD COLUMN outputs TEXT;
