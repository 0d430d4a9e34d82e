-- What the join in audit_join.sql reads, in the words of Databricks SQL. Run this file first, in the catalog and schema where the
-- views shall stand. Replace the volume's path by that of your export (audit.exports in the service's configuration).
--
-- Nothing here has been run on a live workspace yet. It goes by the documentation of read_files and of system.access.audit; what
-- is an assumption beyond that is marked so.

-- The exported records: each file once, as it comes. A file that an export writes again after a crash is the same file with the
-- same content, which a stream does not read twice. The columns are those that the join needs; what else a record has is dropped.
CREATE OR REFRESH STREAMING TABLE sts_records
AS SELECT *
FROM STREAM read_files(
  '/Volumes/main/security/sts/audit',
  format => 'json',
  schema => '
    type STRING, id STRING, time TIMESTAMP, replica STRING, repeat_of STRING,
    client STRING, subject STRUCT<id: STRING, issuer: STRING, sub: STRING>,
    actors ARRAY<STRUCT<id: STRING, issuer: STRING, sub: STRING>>,
    outcome STRING, rule STRING, principal STRING, application_id STRING, workspace STRING,
    expires_at TIMESTAMP, true_expires_at TIMESTAMP, token_sha256 STRING'
);

-- Who got a token of which service principal, and until when Databricks takes it.
CREATE OR REPLACE VIEW sts_decisions AS
SELECT
  id AS decision_id,
  time AS decided_at,
  application_id,
  principal,
  client,
  rule,
  subject.issuer AS subject_issuer,
  subject.sub AS subject,
  actors[0].sub AS actor,
  true_expires_at AS token_until
FROM sts_records
WHERE type = 'exchange' AND outcome = 'granted';

-- What service principals did. Assumed: that user_identity.email holds a service principal's application id, and that user_agent
-- holds what the caller sent, into which a client of the service may write sts/<decision id>.
CREATE OR REPLACE VIEW sts_databricks_events AS
SELECT
  event_id,
  event_time,
  workspace_id,
  service_name,
  action_name,
  source_ip_address,
  user_agent,
  lower(user_identity.email) AS application_id,
  nullif(regexp_extract(user_agent, 'sts/([0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12})', 1), '') AS decision_id
FROM system.access.audit
WHERE user_identity.email RLIKE '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$';
