-- Made from cost.sql by generate.py; do not edit. Tables lie in the default dataset of the job.

-- name: per_day
SELECT
  dt,
  COUNT(*) AS missions,
  SUM(usd) AS usd,
  SUM(calls) AS calls,
  SUM(input_tokens) AS input_tokens,
  SUM(output_tokens) AS output_tokens
FROM missions
GROUP BY
  dt
ORDER BY
  dt NULLS LAST;

-- name: dearest_missions
SELECT
  mission_id,
  SUM(usd) AS usd,
  SUM(calls) AS calls,
  MAX(round) + 1 AS rounds
FROM missions
GROUP BY
  mission_id
ORDER BY
  usd DESC,
  mission_id NULLS LAST
LIMIT 50;

-- name: per_track
SELECT
  dt,
  track,
  COUNT(*) AS calls,
  SUM(usd) AS usd
FROM llm_calls
GROUP BY
  dt,
  track
ORDER BY
  dt NULLS LAST,
  track NULLS LAST;

-- name: per_successful_mission
SELECT
  dt,
  SUM(usd) AS usd,
  SUM(CASE WHEN outcome IN ('done', 'degraded', 'partial') THEN 1 ELSE 0 END) AS successes,
  SUM(usd) / NULLIF(SUM(CASE WHEN outcome IN ('done', 'degraded', 'partial') THEN 1 ELSE 0 END), 0) AS usd_per_success
FROM missions
GROUP BY
  dt
ORDER BY
  dt NULLS LAST;

-- name: tokens
SELECT
  dt,
  track,
  'input' AS direction,
  SUM(input_tokens) AS tokens
FROM llm_calls
GROUP BY
  dt,
  track
UNION ALL
SELECT
  dt,
  track,
  'output' AS direction,
  SUM(output_tokens) AS tokens
FROM llm_calls
GROUP BY
  dt,
  track
ORDER BY
  dt NULLS LAST,
  track NULLS LAST,
  direction NULLS LAST;

-- name: cap_use
SELECT
  dt,
  COUNT(*) AS capped,
  MAX(usd / NULLIF(cap_usd, 0)) AS most_used,
  SUM(CASE WHEN usd >= cap_usd * 0.85 THEN 1 ELSE 0 END) AS over_85_percent
FROM missions
WHERE
  NOT cap_usd IS NULL AND cap_usd > 0
GROUP BY
  dt
ORDER BY
  dt NULLS LAST;

-- name: downgrades
SELECT
  dt,
  SUM(downgrades) AS downgrades,
  SUM(stops) AS stops
FROM missions
GROUP BY
  dt
ORDER BY
  dt NULLS LAST;
