-- Made from reliability.sql by generate.py; do not edit. Tables lie in the default dataset of the job.

-- name: success_per_day
SELECT
  dt,
  COUNT(*) AS ended,
  SUM(CASE WHEN outcome IN ('done', 'degraded', 'partial') THEN 1 ELSE 0 END) AS good,
  SUM(CASE WHEN outcome = 'cancelled' THEN 1 ELSE 0 END) AS cancelled,
  SUM(CASE WHEN outcome = 'failed' AND cause = 'provider_outage' THEN 1 ELSE 0 END) AS outages,
  SUM(CASE WHEN outcome IN ('done', 'degraded', 'partial') THEN 1 ELSE 0 END) * 1.0 / NULLIF(
    SUM(
      CASE
        WHEN outcome = 'cancelled' OR (
          outcome = 'failed' AND cause = 'provider_outage'
        )
        THEN 0
        ELSE 1
      END
    ),
    0
  ) AS success
FROM missions
GROUP BY
  dt
ORDER BY
  dt NULLS LAST;

-- name: success_per_track
SELECT
  dt,
  track,
  COUNT(*) AS attempts,
  SUM(CASE WHEN status = 'done' THEN 1 ELSE 0 END) AS done,
  SUM(CASE WHEN status = 'done' AND partial THEN 1 ELSE 0 END) AS partial,
  SUM(CASE WHEN status = 'failed' THEN 1 ELSE 0 END) AS failed,
  SUM(CASE WHEN status = 'done' THEN 1 ELSE 0 END) * 1.0 / NULLIF(SUM(CASE WHEN status IN ('done', 'failed') THEN 1 ELSE 0 END), 0) AS success
FROM track_attempts
GROUP BY
  dt,
  track
ORDER BY
  dt NULLS LAST,
  track NULLS LAST;

-- name: failure_causes
SELECT
  dt,
  cause,
  COUNT(*) AS missions
FROM missions
WHERE
  outcome = 'failed'
GROUP BY
  dt,
  cause
ORDER BY
  dt NULLS LAST,
  missions DESC,
  cause NULLS LAST;

-- name: failing_codes
SELECT
  track,
  error_code,
  COUNT(*) AS attempts
FROM track_attempts
WHERE
  status = 'failed'
GROUP BY
  track,
  error_code
ORDER BY
  attempts DESC,
  track NULLS LAST,
  error_code NULLS LAST;

-- name: retries
SELECT
  dt,
  track,
  SUM(retries) AS retries,
  SUM(CASE WHEN retries > 0 AND status = 'done' THEN 1 ELSE 0 END) AS saved,
  SUM(CASE WHEN retries > 0 AND status = 'failed' THEN 1 ELSE 0 END) AS lost
FROM track_attempts
GROUP BY
  dt,
  track
ORDER BY
  dt NULLS LAST,
  track NULLS LAST;

-- name: phases
SELECT
  track,
  phase,
  COUNT(*) AS runs,
  APPROX_QUANTILES(seconds, 2)[1] AS p50_seconds,
  APPROX_QUANTILES(seconds, 20)[19] AS p95_seconds,
  SUM(CASE WHEN status = 'error' THEN 1 ELSE 0 END) AS errors
FROM mission_phases
GROUP BY
  track,
  phase
ORDER BY
  track NULLS LAST,
  phase NULLS LAST;

-- name: partial_to_final
SELECT
  dt,
  COUNT(*) AS missions,
  APPROX_QUANTILES(first_report_seconds, 2)[1] AS first_p50_seconds,
  APPROX_QUANTILES(duration_seconds - first_report_seconds, 2)[1] AS delay_p50_seconds,
  APPROX_QUANTILES(duration_seconds - first_report_seconds, 20)[19] AS delay_p95_seconds
FROM missions
WHERE
  versions > 1 AND NOT first_report_seconds IS NULL
GROUP BY
  dt
ORDER BY
  dt NULLS LAST;

-- name: slo_trend
SELECT
  slo,
  dt,
  status,
  value,
  target,
  SUM(good) OVER (PARTITION BY slo ORDER BY dt ROWS BETWEEN 29 PRECEDING AND CURRENT ROW) * 1.0 / NULLIF(
    SUM(valid) OVER (PARTITION BY slo ORDER BY dt ROWS BETWEEN 29 PRECEDING AND CURRENT ROW),
    0
  ) AS share_of_30_rows
FROM slo_daily
ORDER BY
  slo NULLS LAST,
  dt NULLS LAST;
