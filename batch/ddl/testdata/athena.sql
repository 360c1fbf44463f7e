-- Athena: run the statements one by one; the last again after each roll, so that new days are found.
CREATE EXTERNAL TABLE IF NOT EXISTS `audit` (
  `event_time` timestamp,
  `event_date` date,
  `event_id` string,
  `org` string,
  `source` string,
  `ip_address` string,
  `user_agent` string,
  `actor_id` string,
  `action` string,
  `object_id` string,
  `object_name` string,
  `project_id` string,
  `project_name` string,
  `success` boolean,
  `info` string,
  `token_label` string,
  `token_last4` string,
  `event_type` string,
  `severity` string,
  `error_code` string,
  `error_message` string,
  `reason` string,
  `actor_type` string,
  `actor_name` string,
  `actor_email` string,
  `actor_role` string,
  `session_id` string,
  `request_id` string,
  `credential_id` string,
  `object_type` string,
  `provider` string,
  `region` string,
  `tags` array<string>,
  `changes` string,
  `corrects` string,
  `source_seq` bigint,
  `received_time` timestamp,
  `flags` array<string>,
  `raw` string
)
PARTITIONED BY (
  `class` string,
  `trail` string,
  `dt` date
)
STORED AS PARQUET
LOCATION 's3://audit-logs/prod/parquet/';

MSCK REPAIR TABLE `audit`;
