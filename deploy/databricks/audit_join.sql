-- Who was behind a service principal: each event of Databricks' audit with the person whose token it was, or with all who may
-- have been it. Plain SQL, over sts_decisions and sts_databricks_events of audit_staging.sql; a test runs this very file.
--
--   certainty    exact       the event's user agent names a decision, and its token was for this service principal, and alive
--                candidates  it names none such: these persons held a token of the principal at that time, one row each
--                none        nobody did: whoever it was did not come by way of the token service
--   persons      how many rows name one for the event; 0 for none. A person who acts for another is another than the person alone
--   client, rule of all decisions that a candidate's row stands for, where they agree
--
-- A token is held from its decision to the end that Databricks itself knows, and 2 minutes more on both sides, since clocks differ.
CREATE OR REPLACE VIEW sts_who AS
WITH exact AS (
  SELECT e.event_id, d.subject_issuer, d.subject, d.actor, d.client, d.rule, d.principal, d.decision_id, d.decided_at AS held_from, d.token_until AS held_until
  FROM sts_databricks_events e
  JOIN sts_decisions d ON d.decision_id = e.decision_id AND d.application_id = e.application_id
    AND e.event_time >= d.decided_at - INTERVAL '2' MINUTE
    AND e.event_time < d.token_until + INTERVAL '2' MINUTE
),
candidates AS (
  SELECT
    e.event_id, d.subject_issuer, d.subject, d.actor,
    CASE WHEN MIN(d.client) = MAX(d.client) THEN MIN(d.client) END AS client,
    CASE WHEN MIN(d.rule) = MAX(d.rule) THEN MIN(d.rule) END AS rule,
    MIN(d.principal) AS principal, CAST(NULL AS VARCHAR(36)) AS decision_id, MIN(d.decided_at) AS held_from, MAX(d.token_until) AS held_until
  FROM sts_databricks_events e
  JOIN sts_decisions d ON d.application_id = e.application_id
    AND e.event_time >= d.decided_at - INTERVAL '2' MINUTE
    AND e.event_time < d.token_until + INTERVAL '2' MINUTE
  WHERE NOT EXISTS (SELECT 1 FROM exact x WHERE x.event_id = e.event_id)
  GROUP BY e.event_id, d.subject_issuer, d.subject, d.actor
),
named AS (
  SELECT 'exact' AS certainty, exact.* FROM exact
  UNION ALL
  SELECT 'candidates' AS certainty, candidates.* FROM candidates
)
SELECT
  e.event_id, e.event_time, e.workspace_id, e.service_name, e.action_name, e.source_ip_address, e.application_id,
  COALESCE(n.certainty, 'none') AS certainty,
  COUNT(n.event_id) OVER (PARTITION BY e.event_id) AS persons,
  n.subject_issuer, n.subject, n.actor, n.client, n.rule, n.principal, n.decision_id, n.held_from, n.held_until
FROM sts_databricks_events e
LEFT JOIN named n ON n.event_id = e.event_id;
