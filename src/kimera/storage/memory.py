"""Named statements of the sequence memory: its log, the tables kept from it, sessions and short-term events.

Plain data in and out; what the rows mean is known to `kimera.memory`. Lists of ids travel as one JSON array, so that
each statement has one text.
"""

from __future__ import annotations

import sqlalchemy as sa

from kimera.storage.rows import Bulk, Named, Statement
from kimera.storage.schema import (
    memory_effects,
    memory_log,
    memory_memories,
    memory_moves,
    memory_patterns,
    memory_sessions,
    memory_stm,
    memory_vectors,
    memory_voids,
)

P = sa.bindparam
LOG, PATTERNS, MOVES, EFFECTS, VOIDS = memory_log, memory_patterns, memory_moves, memory_effects, memory_voids
VECTORS, SESSIONS, STM, MEMORIES = memory_vectors, memory_sessions, memory_stm, memory_memories

DERIVED = (memory_patterns, memory_moves, memory_effects, memory_voids, memory_vectors)
"""What can be dropped and rebuilt from the log."""

# memories
FIND_MEMORY = sa.select(MEMORIES.c.id, MEMORIES.c.uid, MEMORIES.c.config).where(
    MEMORIES.c.tenant == P("tenant"), MEMORIES.c.name == P("name")
)
NEW_MEMORY = sa.text(
    "INSERT INTO memory_memories (tenant, name, uid, config, created_at) "
    "VALUES (:tenant, :name, :uid, :config, :created_at) ON CONFLICT DO NOTHING"
)
UID_OF_MEMORY = sa.select(MEMORIES.c.uid).where(MEMORIES.c.id == P("memory"))
LIST_MEMORIES = sa.select(MEMORIES.c.name).where(MEMORIES.c.tenant == P("tenant"))
CONFIGURE_MEMORY = MEMORIES.update().values(config=P("new_config")).where(MEMORIES.c.id == P("memory"))
LOCK_MEMORY = Named(
    sqlite=sa.text("SELECT :memory"),  # the transaction holds the write lock already
    postgresql=sa.text("SELECT id FROM memory_memories WHERE id = :memory FOR UPDATE"),
)

# the log
LOG_COLUMNS = (
    LOG.c.seq,
    LOG.c.kind,
    LOG.c.at,
    LOG.c.source,
    LOG.c.session_id,
    LOG.c.unique_id,
    LOG.c.pattern_id,
    LOG.c.body,
    LOG.c.payload_hash,
    LOG.c.prev_hash,
    LOG.c.hash,
    LOG.c.expires_at,
    LOG.c.origin,
    LOG.c.origin_seq,
)
HEAD = sa.text("SELECT seq, hash FROM memory_log WHERE memory_id = :memory ORDER BY seq DESC LIMIT 1")
APPEND = LOG.insert().values({column.name: P(column.name) for column in LOG.c})
APPEND_ALL = Bulk(
    sqlite=APPEND,
    postgresql=sa.text(
        "INSERT INTO memory_log (memory_id, seq, kind, at, source, session_id, unique_id, pattern_id, body, "
        "payload_hash, prev_hash, hash, expires_at, origin, origin_seq) SELECT memory_id, seq, kind, at, source, "
        "session_id, unique_id, pattern_id, body, payload_hash, prev_hash, hash, expires_at, origin, origin_seq "
        "FROM json_to_recordset(CAST(:rows AS json)) AS given (memory_id bigint, seq bigint, kind text, at float8, "
        "source text, session_id text, unique_id text, pattern_id text, body text, payload_hash text, prev_hash text, "
        "hash text, expires_at float8, origin text, origin_seq bigint)"
    ),
)
APPEND_NEXT = Named(
    sqlite=sa.text(
        "INSERT INTO memory_log (memory_id, seq, kind, at, source, session_id, unique_id, pattern_id, body, "
        "payload_hash, prev_hash, hash, expires_at, origin, origin_seq) SELECT :memory_id, :seq, :kind, :at, :source, "
        ":session_id, :unique_id, :pattern_id, :body, :payload_hash, :prev_hash, :hash, :expires_at, :origin, "
        ":origin_seq WHERE EXISTS (SELECT 1 FROM memory_log WHERE memory_id = :memory_id AND seq = :seq - 1 "
        "AND hash = :prev_hash) ON CONFLICT (memory_id, seq) DO NOTHING"
    ),
    postgresql=sa.text(
        "WITH locked AS MATERIALIZED (SELECT id FROM memory_memories WHERE id = :memory_id FOR UPDATE) "
        "INSERT INTO memory_log (memory_id, seq, kind, at, source, session_id, unique_id, pattern_id, body, "
        "payload_hash, prev_hash, hash, expires_at, origin, origin_seq) SELECT id, CAST(:seq AS bigint), :kind, "
        "CAST(:at AS float8), :source, :session_id, :unique_id, :pattern_id, :body, :payload_hash, "
        "CAST(:prev_hash AS text), :hash, CAST(:expires_at AS float8), :origin, CAST(:origin_seq AS bigint) "
        "FROM locked WHERE EXISTS (SELECT 1 FROM memory_log WHERE memory_id = locked.id "
        "AND seq = CAST(:seq AS bigint) - 1 AND hash = CAST(:prev_hash AS text)) "
        "ON CONFLICT (memory_id, seq) DO NOTHING"
    ),
)
"""Lock the log and append behind the record the writer knows as the last; no row when it is not the last any more."""

READ_LOG = (
    sa.select(*LOG_COLUMNS)
    .where(LOG.c.memory_id == P("memory"), LOG.c.seq > P("after"), LOG.c.seq <= P("until"))
    .order_by(LOG.c.seq)
)
READ_RECORD = sa.select(*LOG_COLUMNS).where(LOG.c.memory_id == P("memory"), LOG.c.seq == P("seq"))
RECORD_HASH = sa.select(LOG.c.hash).where(LOG.c.memory_id == P("memory"), LOG.c.seq == P("seq"))
LEARN_BY_UNIQUE = (
    sa.select(LOG.c.seq, LOG.c.pattern_id)
    .where(LOG.c.memory_id == P("memory"), LOG.c.unique_id == P("unique_id"), LOG.c.unique_id.is_not(None))
    .order_by(LOG.c.seq + sa.literal_column("0"))
)
LAST_OF_SESSION = sa.text(
    "SELECT seq, pattern_id, body FROM memory_log WHERE memory_id = :memory AND session_id = :session_id "
    "AND kind = 'learn' AND origin IS NULL ORDER BY seq DESC LIMIT 1"
)
KNOWN_ORIGINS = sa.select(LOG.c.origin, LOG.c.origin_seq, LOG.c.seq).where(
    LOG.c.memory_id == P("memory"), LOG.c.origin.is_not(None)
)
OVERWRITE_BODY = LOG.update().values(body=P("new_body")).where(LOG.c.memory_id == P("memory"), LOG.c.seq == P("at_seq"))

# SQLite goes by the order that is asked for, and would read the whole log, or all patterns, to find a row or two. CROSS
# JOIN, "+ 0" and "|| ''" leave it the index that leads to them; to PostgreSQL they mean nothing.

# which episodes; a learn record is an episode, and where it counts differs from the record only where `moves` says so
EPISODE_LIST = sa.text(
    "SELECT l.seq, l.at, l.source, l.session_id, CASE WHEN m.episode IS NULL THEN l.pattern_id ELSE m.pattern_id END, "
    "l.pattern_id FROM memory_log l LEFT JOIN memory_moves m ON m.memory_id = l.memory_id AND m.episode = l.seq "
    "WHERE l.memory_id = :memory AND l.kind = 'learn' ORDER BY l.seq"
)
EPISODES_FROM = sa.text(
    "SELECT l.seq, l.at, l.source, l.session_id, CASE WHEN m.episode IS NULL THEN l.pattern_id ELSE m.pattern_id END, "
    "l.pattern_id FROM memory_log l LEFT JOIN memory_moves m ON m.memory_id = l.memory_id AND m.episode = l.seq "
    "WHERE l.memory_id = :memory AND l.kind = 'learn' AND l.source = :source AND l.source <> '' ORDER BY l.seq"
)
# those that taught a pattern, wherever they count now, and those moved to it
EPISODES_ABOUT = sa.text(
    "SELECT l.seq, l.at, l.source, l.session_id, CASE WHEN m.episode IS NULL THEN l.pattern_id ELSE m.pattern_id END, "
    "l.pattern_id FROM memory_log l LEFT JOIN memory_moves m ON m.memory_id = l.memory_id AND m.episode = l.seq "
    "WHERE l.memory_id = :memory AND l.kind = 'learn' AND l.pattern_id = :pattern "
    "UNION ALL SELECT l.seq, l.at, l.source, l.session_id, m.pattern_id, l.pattern_id FROM memory_moves m "
    "CROSS JOIN memory_log l WHERE l.memory_id = m.memory_id AND l.seq = m.episode "
    "AND m.memory_id = :memory AND m.pattern_id = :pattern AND l.pattern_id <> :pattern ORDER BY 1"
)
OUTLIVED = sa.text(
    "SELECT l.seq FROM memory_log l LEFT JOIN memory_moves m ON m.memory_id = l.memory_id AND m.episode = l.seq "
    "WHERE l.memory_id = :memory AND l.expires_at IS NOT NULL AND l.expires_at <= :now "
    "AND (m.episode IS NULL OR m.pattern_id IS NOT NULL) ORDER BY l.seq"
)
EPISODES_OF = sa.text(
    "SELECT l.seq, l.at, l.source, l.session_id, l.body FROM memory_log l "
    "LEFT JOIN memory_moves m ON m.memory_id = l.memory_id AND m.episode = l.seq "
    "WHERE l.memory_id = :memory AND l.pattern_id = :pattern AND l.seq <= :until AND m.episode IS NULL "
    "UNION ALL SELECT l.seq, l.at, l.source, l.session_id, l.body FROM memory_moves m "
    "CROSS JOIN memory_log l WHERE l.memory_id = m.memory_id AND l.seq = m.episode "
    "AND m.memory_id = :memory AND m.pattern_id = :pattern AND l.seq + 0 <= :until ORDER BY 1"
)
MOVE_OF = sa.select(MOVES.c.pattern_id).where(MOVES.c.memory_id == P("memory"), MOVES.c.episode == P("episode"))
DROP_MOVE = MOVES.delete().where(MOVES.c.memory_id == P("memory"), MOVES.c.episode == P("episode"))
ADD_MOVE = MOVES.insert().values(memory_id=P("memory"), episode=P("episode"), pattern_id=P("pattern"))
ADD_EFFECT = EFFECTS.insert().values(memory_id=P("memory"), episode=P("episode"), seq=P("seq"))
EFFECTS_ON = sa.text(
    "SELECT l.seq, l.kind, l.body FROM memory_effects e CROSS JOIN memory_log l "
    "LEFT JOIN memory_voids v ON v.memory_id = e.memory_id AND v.seq = e.seq "
    "WHERE l.memory_id = e.memory_id AND l.seq = e.seq "
    "AND e.memory_id = :memory AND e.episode = :episode AND v.seq IS NULL ORDER BY l.seq"
)
ALL_EFFECTS_ON = sa.select(EFFECTS.c.seq).where(EFFECTS.c.memory_id == P("memory"), EFFECTS.c.episode == P("episode"))
IS_VOID = sa.select(VOIDS.c.seq).where(VOIDS.c.memory_id == P("memory"), VOIDS.c.seq == P("seq"))
ADD_VOID = VOIDS.insert().values(memory_id=P("memory"), seq=P("seq"))
DROP_VOID = VOIDS.delete().where(VOIDS.c.memory_id == P("memory"), VOIDS.c.seq == P("seq"))
ALL_VOIDS = sa.select(VOIDS.c.seq).where(VOIDS.c.memory_id == P("memory"))
ALL_MOVES = sa.select(MOVES.c.episode, MOVES.c.pattern_id).where(MOVES.c.memory_id == P("memory"))
ALL_EFFECTS = sa.select(EFFECTS.c.episode, EFFECTS.c.seq).where(EFFECTS.c.memory_id == P("memory"))

# patterns
PATTERN_COLUMNS = (
    PATTERNS.c.id,
    PATTERNS.c.name,
    PATTERNS.c.events,
    PATTERNS.c.length,
    PATTERNS.c.frequency,
    PATTERNS.c.changed_seq,
    PATTERNS.c.outcomes,
    PATTERNS.c.utility,
    PATTERNS.c.folded,
)
OF_MEMORY = PATTERNS.c.memory_id == P("memory")
LIVE = PATTERNS.c.frequency > sa.literal_column("0")
FIND_PATTERN = sa.select(PATTERNS.c.frequency, PATTERNS.c.folded).where(OF_MEMORY, PATTERNS.c.id == P("pattern"))
READ_PATTERN = sa.select(*PATTERN_COLUMNS).where(OF_MEMORY, PATTERNS.c.id == P("pattern"))
BY_ID = PATTERNS.c.id + sa.literal_column("''")
READ_BY_NAME = sa.select(*PATTERN_COLUMNS).where(OF_MEMORY, PATTERNS.c.name == P("name"), LIVE).order_by(BY_ID)
READ_GONE_BY_NAME = sa.select(PATTERNS.c.id).where(OF_MEMORY, PATTERNS.c.name == P("name")).order_by(BY_ID)
BLANK_GONE = (
    PATTERNS.update()
    .values(name=sa.literal_column("''"), events=sa.literal_column("'[]'"))
    .where(OF_MEMORY, PATTERNS.c.frequency == sa.literal_column("0"))
)
NEW_PATTERN = PATTERNS.insert().values(
    memory_id=P("memory"),
    id=P("pattern"),
    name=P("name"),
    events=P("events"),
    length=P("length"),
    frequency=P("frequency"),
    changed_seq=P("seq"),
    outcomes=P("outcomes"),
    utility=P("utility"),
    folded=P("folded"),
)
ENTER_PATTERN = sa.text(
    "INSERT INTO memory_patterns (memory_id, id, name, events, length, frequency, changed_seq, outcomes, utility) "
    "VALUES (:memory, :pattern, :name, :events, :length, 1, :seq, 0, 0.0) ON CONFLICT DO NOTHING"
)
ENTER_PATTERNS = Bulk(
    sqlite=ENTER_PATTERN,
    postgresql=sa.text(
        "INSERT INTO memory_patterns (memory_id, id, name, events, length, frequency, changed_seq, outcomes, utility) "
        "SELECT memory, pattern, name, events, length, 1, seq, 0, 0.0 FROM json_to_recordset(CAST(:rows AS json)) "
        "AS given (memory bigint, pattern text, name text, events text, length integer, seq bigint) "
        "ON CONFLICT DO NOTHING"
    ),
)
CHANGE_PATTERN = (
    PATTERNS.update()
    .values(
        frequency=P("new_frequency"),
        changed_seq=P("seq"),
        outcomes=P("new_outcomes"),
        utility=P("new_utility"),
        folded=P("new_folded"),
    )
    .where(OF_MEMORY, PATTERNS.c.id == P("pattern"))
)
REVIVE_PATTERN = (
    PATTERNS.update().values(name=P("new_name"), events=P("new_events")).where(OF_MEMORY, PATTERNS.c.id == P("pattern"))
)
REPEAT_PATTERN = (
    PATTERNS.update()
    .values(frequency=PATTERNS.c.frequency + sa.literal_column("1"), changed_seq=P("seq"))
    .where(OF_MEMORY, PATTERNS.c.id == P("pattern"))
)
LIVE_PATTERNS = sa.select(*PATTERN_COLUMNS).where(OF_MEMORY, LIVE).order_by(PATTERNS.c.id)
PAGE_PATTERNS = sa.text(
    "SELECT id, name, events, length, frequency, changed_seq, outcomes, utility, folded FROM memory_patterns "
    "WHERE memory_id = :memory AND frequency > 0 AND id > :after ORDER BY id LIMIT :limit"
)
CHANGED_PAGE = sa.text(
    "SELECT id, name, events, length, frequency, changed_seq, outcomes, utility, folded FROM memory_patterns "
    "WHERE memory_id = :memory AND (changed_seq, id) > (:last_seq, :last_id) AND (frequency > 0 OR :after > 0) "
    "ORDER BY changed_seq, id LIMIT :limit"
)
SOME_PATTERNS = Named(
    sqlite=sa.select(PATTERNS.c.id, PATTERNS.c.name, PATTERNS.c.changed_seq, PATTERNS.c.folded).where(
        OF_MEMORY, sa.text("id IN (SELECT value FROM json_each(:ids))")
    ),
    postgresql=sa.select(PATTERNS.c.id, PATTERNS.c.name, PATTERNS.c.changed_seq, PATTERNS.c.folded).where(
        OF_MEMORY, sa.text("id IN (SELECT jsonb_array_elements_text(CAST(:ids AS jsonb)))")
    ),
)
TOTALS = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(PATTERNS.c.frequency), sa.literal_column("0"))).where(
    OF_MEMORY, LIVE
)

# what a memory that has outgrown its index asks instead (PostgreSQL); ids: [text number, times, symbol, looked up]
INDEX_SYMBOLS = (
    sa.text("SELECT pg_advisory_xact_lock(hashtextextended('ix_memory_patterns_symbols', 0))"),
    sa.text(
        "CREATE INDEX IF NOT EXISTS ix_memory_patterns_symbols ON memory_patterns "
        "USING gin (kimera_symbols(memory_id, events))"
    ),
)
CANDIDATES = Named(
    postgresql=sa.text(
        "WITH asked AS MATERIALIZED (SELECT CAST(item->>0 AS int) AS place, CAST(item->>1 AS int) AS times, "
        "hashtextextended(item->>2, CAST(:memory AS bigint)) AS symbol, CAST(item->>3 AS boolean) AS looked_up "
        "FROM jsonb_array_elements(CAST(:ids AS jsonb)) item), "
        "sharing AS (SELECT id, events, frequency, outcomes, utility, length, "
        "kimera_symbols(memory_id, events) AS symbols "
        "FROM memory_patterns WHERE memory_id = :memory AND frequency > 0 AND "
        "CAST(2 * LEAST(length, CAST(:size AS int)) AS float8) / CAST(length + CAST(:size AS int) AS float8) "
        ">= CAST(:threshold AS float8) AND kimera_symbols(memory_id, events) && "
        "(SELECT array_agg(symbol) FROM asked WHERE looked_up) OFFSET 0) "
        "SELECT id, events, frequency, outcomes, utility FROM sharing WHERE CAST(2 * LEAST(length, "
        "(SELECT sum(times) FROM (SELECT DISTINCT place, times FROM asked WHERE symbol = ANY(sharing.symbols)) held)) "
        "AS float8) / CAST(length + CAST(:size AS int) AS float8) >= CAST(:threshold AS float8)"
    )
)
HOLDING = Named(
    postgresql=sa.text(
        "SELECT id, events, frequency, outcomes, utility FROM memory_patterns WHERE memory_id = :memory "
        "AND frequency > 0 AND kimera_symbols(memory_id, events) @> (SELECT array_agg(hashtextextended(symbol, "
        "CAST(:memory AS bigint))) FROM jsonb_array_elements_text(CAST(:ids AS jsonb)) symbol)"
    )
)
EVENT_COUNTS = Named(
    postgresql=sa.text(
        "SELECT CAST(event AS text), CAST(sum(frequency) AS bigint) FROM memory_patterns, "
        "jsonb_array_elements(CAST(events AS jsonb)) event WHERE memory_id = :memory AND frequency > 0 GROUP BY event"
    )
)
EVERY_PATTERN = sa.select(
    PATTERNS.c.id, PATTERNS.c.events, PATTERNS.c.frequency, PATTERNS.c.outcomes, PATTERNS.c.utility
).where(OF_MEMORY, LIVE)

# vectors
READ_VECTOR = sa.select(VECTORS.c.coordinates).where(
    VECTORS.c.memory_id == P("memory"), VECTORS.c.symbol == P("symbol")
)
ALL_VECTORS = sa.select(VECTORS.c.symbol, VECTORS.c.coordinates, VECTORS.c.patterns).where(
    VECTORS.c.memory_id == P("memory")
)
DIMENSION = sa.text("SELECT dimension FROM memory_vectors WHERE memory_id = :memory LIMIT 1")
NEW_VECTOR = VECTORS.insert().values(
    memory_id=P("memory"),
    symbol=P("symbol"),
    dimension=P("dimension"),
    coordinates=P("coordinates"),
    patterns=P("count"),
)
COUNT_VECTOR = (
    VECTORS.update()
    .values(patterns=VECTORS.c.patterns + P("change"))
    .where(VECTORS.c.memory_id == P("memory"), VECTORS.c.symbol == P("name"))
)
DROP_VECTORS = VECTORS.delete().where(VECTORS.c.memory_id == P("memory"), VECTORS.c.patterns <= sa.literal_column("0"))

# sessions and their short-term events
SESSION_COLUMNS = (
    SESSIONS.c.id,
    SESSIONS.c.config,
    SESSIONS.c.metadata,
    SESSIONS.c.created_at,
    SESSIONS.c.expires_at,
    SESSIONS.c.time,
    SESSIONS.c.version,
    SESSIONS.c.next_number,
    SESSIONS.c.floor,
)
FIND_SESSION = sa.select(*SESSION_COLUMNS).where(
    SESSIONS.c.memory_id == P("memory"), SESSIONS.c.session_id == P("session_id")
)
SESSION_HOMES = (
    sa.select(MEMORIES.c.name, SESSIONS.c.expires_at)
    .join_from(MEMORIES, SESSIONS, SESSIONS.c.memory_id == MEMORIES.c.id)
    .where(MEMORIES.c.tenant == P("tenant"), SESSIONS.c.session_id == P("session_id"))
)
VERSION_OF_SESSION = sa.select(SESSIONS.c.version).where(SESSIONS.c.id == P("session"))
READ_SESSION = sa.select(*SESSION_COLUMNS).where(SESSIONS.c.id == P("session"))
COUNT_SESSIONS = (
    sa.select(sa.func.count())
    .select_from(SESSIONS)
    .where(SESSIONS.c.memory_id == P("memory"), SESSIONS.c.expires_at > P("now"))
)
LIVE_SESSIONS = (
    sa.select(SESSIONS.c.id, SESSIONS.c.memory_id, SESSIONS.c.floor)
    .join_from(SESSIONS, MEMORIES, SESSIONS.c.memory_id == MEMORIES.c.id)
    .where(MEMORIES.c.tenant == P("tenant"), SESSIONS.c.expires_at > P("now"))
    .order_by(SESSIONS.c.id)
)
USE_OF_STM = (
    sa.select(
        sa.func.count(sa.distinct(SESSIONS.c.id)),
        sa.func.count(STM.c.number).filter(STM.c.number >= SESSIONS.c.floor),
        sa.func.count(STM.c.number).filter(STM.c.number < SESSIONS.c.floor),
    )
    .select_from(
        SESSIONS.join(MEMORIES, SESSIONS.c.memory_id == MEMORIES.c.id).outerjoin(STM, STM.c.session == SESSIONS.c.id)
    )
    .where(MEMORIES.c.tenant == P("tenant"), SESSIONS.c.expires_at > P("now"))
)
NEW_SESSION = sa.text(
    "INSERT INTO memory_sessions (memory_id, session_id, config, metadata, created_at, expires_at, time, version, "
    "next_number, floor) VALUES (:memory, :session_id, :config, :metadata, :created_at, :expires_at, 0, 0, 0, 0) "
    "ON CONFLICT DO NOTHING"
)
STEP_SESSION = (
    SESSIONS.update()
    .values(
        version=SESSIONS.c.version + sa.literal_column("1"),
        time=P("new_time"),
        next_number=P("new_next"),
        floor=P("new_floor"),
        expires_at=P("new_expires_at"),
    )
    .where(SESSIONS.c.id == P("session"), SESSIONS.c.version == P("old_version"))
)
STEP_AND_ADD = Named(
    postgresql=sa.text(
        "WITH stepped AS (UPDATE memory_sessions SET version = version + 1, time = :new_time, "
        "next_number = :new_next, floor = :new_floor, expires_at = :new_expires_at "
        "WHERE id = :session AND version = :old_version RETURNING id) "
        "INSERT INTO memory_stm (session, number, body) SELECT id, CAST(:number AS bigint), :body FROM stepped"
    )
)
FLOOR_SESSION = (
    SESSIONS.update()
    .values(floor=P("new_floor"), expires_at=P("new_expires_at"))
    .where(SESSIONS.c.id == P("session"), SESSIONS.c.floor <= P("old_floor"))
)
CONFIGURE_SESSION = (
    SESSIONS.update()
    .values(config=P("new_config"), metadata=P("new_metadata"), version=SESSIONS.c.version + sa.literal_column("1"))
    .where(SESSIONS.c.id == P("session"))
)
EXTEND_SESSION = SESSIONS.update().values(expires_at=P("new_expires_at")).where(SESSIONS.c.id == P("session"))
DROP_SESSION = SESSIONS.delete().where(SESSIONS.c.id == P("session"))
OUTLIVED_SESSIONS = sa.select(SESSIONS.c.id).where(SESSIONS.c.expires_at <= P("now"))
READ_STM = sa.select(STM.c.number, STM.c.body).where(STM.c.session == P("session")).order_by(STM.c.number)
ADD_STM = STM.insert().values(session=P("session"), number=P("number"), body=P("body"))
CHANGE_STM = (
    STM.update().values(body=P("new_body")).where(STM.c.session == P("session"), STM.c.number == P("at_number"))
)
TRIM_STM = STM.delete().where(STM.c.session == P("session"), STM.c.number < P("floor"))
DROP_EVENT = STM.delete().where(STM.c.session == P("session"), STM.c.number == P("number"))
TOUCH_SESSION = (
    SESSIONS.update().values(version=SESSIONS.c.version + sa.literal_column("1")).where(SESSIONS.c.id == P("session"))
)
DROP_STM = STM.delete().where(STM.c.session == P("session"))
STM_OF_MEMORY = (
    sa.select(SESSIONS.c.id, STM.c.number, STM.c.body)
    .join_from(STM, SESSIONS, STM.c.session == SESSIONS.c.id)
    .where(SESSIONS.c.memory_id == P("memory"))
)

SECURE_DELETE = sa.text("PRAGMA secure_delete=ON")
VACUUM_POSTGRES = tuple(
    "VACUUM FULL " + name for name in ("memory_log", "memory_patterns", "memory_vectors", "memory_stm")
)

CLEAR_DERIVED = tuple(table.delete().where(table.c.memory_id == P("memory")) for table in DERIVED)


def named_statements() -> dict[str, Statement]:
    """Return every statement of this module under its name."""
    kinds = (Named, sa.sql.expression.Executable)
    return {name.lower(): value for name, value in globals().items() if name.isupper() and isinstance(value, kinds)}
