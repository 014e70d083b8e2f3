-- The examples of each spec file, and the run times from which its estimate is computed.

CREATE TABLE examples (
  taskset_id BIGINT NOT NULL,
  task BIGINT NOT NULL,
  trial BIGINT NOT NULL,
  position BIGINT NOT NULL,
  id TEXT NOT NULL,
  name TEXT NOT NULL,
  file TEXT,
  line BIGINT,
  status TEXT NOT NULL,
  duration_ms BIGINT,
  message TEXT,
  PRIMARY KEY (taskset_id, task, trial, position)
);

CREATE TABLE estimates (
  class TEXT NOT NULL,
  spec_file TEXT NOT NULL,
  recent TEXT NOT NULL,       -- JSON array of milliseconds, newest first
  seen_ms BIGINT NOT NULL,
  PRIMARY KEY (class, spec_file)
);
