-- How reliable Kimera was, from the exported tables. The DuckDB text is the source; `python generate.py` makes the
-- BigQuery text from it. Each query has a name; the dt of a table is the UTC day its rows belong to.

-- name: success_per_day
SELECT
  dt,
  COUNT(*) AS ended,
  SUM(CASE WHEN outcome IN ('done', 'degraded', 'partial') THEN 1 ELSE 0 END) AS good,
  SUM(CASE WHEN outcome = 'cancelled' THEN 1 ELSE 0 END) AS cancelled,
  SUM(CASE WHEN outcome = 'failed' AND cause = 'provider_outage' THEN 1 ELSE 0 END) AS outages,
  SUM(CASE WHEN outcome IN ('done', 'degraded', 'partial') THEN 1 ELSE 0 END) * 1.0 / NULLIF(
    SUM(CASE WHEN outcome = 'cancelled' OR (outcome = 'failed' AND cause = 'provider_outage') THEN 0 ELSE 1 END), 0
  ) AS success
FROM missions
GROUP BY dt
ORDER BY dt;

-- name: success_per_track
SELECT
  dt,
  track,
  COUNT(*) AS attempts,
  SUM(CASE WHEN status = 'done' THEN 1 ELSE 0 END) AS done,
  SUM(CASE WHEN status = 'done' AND partial THEN 1 ELSE 0 END) AS partial,
  SUM(CASE WHEN status = 'failed' THEN 1 ELSE 0 END) AS failed,
  SUM(CASE WHEN status = 'done' THEN 1 ELSE 0 END) * 1.0 / NULLIF(
    SUM(CASE WHEN status IN ('done', 'failed') THEN 1 ELSE 0 END), 0
  ) AS success
FROM track_attempts
GROUP BY dt, track
ORDER BY dt, track;

-- name: failure_causes
SELECT dt, cause, COUNT(*) AS missions
FROM missions
WHERE outcome = 'failed'
GROUP BY dt, cause
ORDER BY dt, missions DESC, cause;

-- name: failing_codes
SELECT track, error_code, COUNT(*) AS attempts
FROM track_attempts
WHERE status = 'failed'
GROUP BY track, error_code
ORDER BY attempts DESC, track, error_code;

-- name: retries
SELECT
  dt,
  track,
  SUM(retries) AS retries,
  SUM(CASE WHEN retries > 0 AND status = 'done' THEN 1 ELSE 0 END) AS saved,
  SUM(CASE WHEN retries > 0 AND status = 'failed' THEN 1 ELSE 0 END) AS lost
FROM track_attempts
GROUP BY dt, track
ORDER BY dt, track;

-- name: phases
SELECT
  track,
  phase,
  COUNT(*) AS runs,
  approx_quantile(seconds, 0.5) AS p50_seconds,
  approx_quantile(seconds, 0.95) AS p95_seconds,
  SUM(CASE WHEN status = 'error' THEN 1 ELSE 0 END) AS errors
FROM mission_phases
GROUP BY track, phase
ORDER BY track, phase;

-- name: partial_to_final
SELECT
  dt,
  COUNT(*) AS missions,
  approx_quantile(first_report_seconds, 0.5) AS first_p50_seconds,
  approx_quantile(duration_seconds - first_report_seconds, 0.5) AS delay_p50_seconds,
  approx_quantile(duration_seconds - first_report_seconds, 0.95) AS delay_p95_seconds
FROM missions
WHERE versions > 1 AND first_report_seconds IS NOT NULL
GROUP BY dt
ORDER BY dt;

-- name: slo_trend
SELECT
  slo,
  dt,
  status,
  value,
  target,
  SUM(good) OVER (PARTITION BY slo ORDER BY dt NULLS FIRST ROWS BETWEEN 29 PRECEDING AND CURRENT ROW) * 1.0 / NULLIF(
    SUM(valid) OVER (PARTITION BY slo ORDER BY dt NULLS FIRST ROWS BETWEEN 29 PRECEDING AND CURRENT ROW), 0
  ) AS share_of_30_rows
FROM slo_daily
ORDER BY slo, dt;
