-- The original's tables and columns, with rrr's additions. One file for both databases: BIGINT and TEXT only.
-- Times are stored in the protocol's format, and in milliseconds where rows are sorted by them.

CREATE TABLE tasksets (
  id BIGINT PRIMARY KEY,
  key TEXT NOT NULL UNIQUE,
  rsync_name TEXT,
  setup_command TEXT,
  slave_command TEXT,
  worker_type TEXT,
  max_workers BIGINT,
  max_trials BIGINT,
  taskset_class TEXT,
  unknown_spec_timeout_sec BIGINT,
  least_timeout_sec BIGINT,
  created_at TEXT,
  status TEXT,
  finished_at TEXT,
  succeeded_count BIGINT,
  failed_count BIGINT,
  flaky_count BIGINT,
  fail_reason TEXT,
  other TEXT,                 -- fields without a column, as a JSON object
  finished_ms BIGINT NOT NULL,
  log_file TEXT,              -- UUID of the document with outputs and logs, in the log folder
  log_size BIGINT,
  log_digest TEXT             -- SHA-256 of the document
);
CREATE INDEX tasksets_by_time ON tasksets (finished_ms);

CREATE TABLE tasks (
  taskset_id BIGINT NOT NULL,
  position BIGINT NOT NULL,
  key TEXT NOT NULL,
  spec_file TEXT,
  status TEXT,
  estimate_sec BIGINT,
  other TEXT,
  PRIMARY KEY (taskset_id, position)
);
CREATE INDEX tasks_by_file ON tasks (spec_file, taskset_id);

CREATE TABLE trials (
  taskset_id BIGINT NOT NULL,
  task BIGINT NOT NULL,       -- tasks.position
  position BIGINT NOT NULL,
  key TEXT NOT NULL,
  slave TEXT,
  started_at TEXT,
  finished_at TEXT,
  status TEXT,
  passed BIGINT,
  pending BIGINT,
  failed BIGINT,
  duration_ms BIGINT,
  exit_code BIGINT,
  signal BIGINT,
  late_status TEXT,
  stopped TEXT,
  other TEXT,
  stdout_size BIGINT NOT NULL,
  stdout_digest TEXT,         -- SHA-256, NULL when empty
  stderr_size BIGINT NOT NULL,
  stderr_digest TEXT,
  PRIMARY KEY (taskset_id, task, position)
);

CREATE TABLE slaves (
  taskset_id BIGINT NOT NULL,
  position BIGINT NOT NULL,
  key TEXT NOT NULL,
  status TEXT,
  other TEXT,
  log_size BIGINT NOT NULL,
  log_digest TEXT,
  PRIMARY KEY (taskset_id, position)
);

CREATE TABLE worker_logs (
  taskset_id BIGINT NOT NULL,
  position BIGINT NOT NULL,
  key TEXT NOT NULL,
  worker TEXT,
  started_at TEXT,
  rsync_finished_at TEXT,
  setup_finished_at TEXT,
  finished_at TEXT,
  other TEXT,
  log_size BIGINT NOT NULL,
  log_digest TEXT,
  PRIMARY KEY (taskset_id, position)
);

-- Files in the log folder that no taskset owns: being written, or to be removed.
CREATE TABLE loose_files (
  id TEXT PRIMARY KEY,
  taskset TEXT NOT NULL,
  since_ms BIGINT NOT NULL
);
