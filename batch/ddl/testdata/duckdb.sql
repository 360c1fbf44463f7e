-- DuckDB: a view of all sealed Parquet files. Every query looks for new ones.
-- Credentials come from the environment, the shared files or the machine's role.
CREATE OR REPLACE SECRET "audit" (TYPE s3, PROVIDER credential_chain, SCOPE 's3://audit-logs/prod');
CREATE OR REPLACE VIEW "audit" AS SELECT
  "event_time",        -- TIMESTAMP WITH TIME ZONE
  "event_date",        -- DATE
  "event_id",          -- VARCHAR
  "org",               -- VARCHAR
  "source",            -- VARCHAR
  "ip_address",        -- VARCHAR
  "user_agent",        -- VARCHAR
  "actor_id",          -- VARCHAR
  "action",            -- VARCHAR
  "object_id",         -- VARCHAR
  "object_name",       -- VARCHAR
  "project_id",        -- VARCHAR
  "project_name",      -- VARCHAR
  "success",           -- BOOLEAN
  "info",              -- VARCHAR
  "token_label",       -- VARCHAR
  "token_last4",       -- VARCHAR
  "event_type",        -- VARCHAR
  "severity",          -- VARCHAR
  "error_code",        -- VARCHAR
  "error_message",     -- VARCHAR
  "reason",            -- VARCHAR
  "actor_type",        -- VARCHAR
  "actor_name",        -- VARCHAR
  "actor_email",       -- VARCHAR
  "actor_role",        -- VARCHAR
  "session_id",        -- VARCHAR
  "request_id",        -- VARCHAR
  "credential_id",     -- VARCHAR
  "object_type",       -- VARCHAR
  "provider",          -- VARCHAR
  "region",            -- VARCHAR
  "tags",              -- VARCHAR[]
  "changes",           -- VARCHAR
  "corrects",          -- VARCHAR
  "source_seq",        -- BIGINT
  "received_time",     -- TIMESTAMP WITH TIME ZONE
  "flags",             -- VARCHAR[]
  "raw",               -- VARCHAR
  "class",             -- VARCHAR
  "trail",             -- VARCHAR
  "dt"                 -- DATE
FROM read_parquet('s3://audit-logs/prod/parquet/class=*/trail=*/dt=*/*.parquet', hive_partitioning = true, hive_types = {'class': VARCHAR, 'trail': VARCHAR, 'dt': DATE});
