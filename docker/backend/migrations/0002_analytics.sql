-- The aggregator's results, and how far it has read: both change in one transaction, so an event that is
-- delivered twice counts once.
CREATE TABLE room_minutes (
    room TEXT NOT NULL,
    minute_ms BIGINT NOT NULL,
    messages BIGINT NOT NULL,
    joins BIGINT NOT NULL,
    PRIMARY KEY (room, minute_ms)
);
CREATE TABLE stream_offsets (
    consumer TEXT PRIMARY KEY,
    last_id TEXT NOT NULL
);
-- Stands in for the Redis stream where there is no Redis.
CREATE TABLE stream_heads (
    name TEXT PRIMARY KEY,
    last_id BIGINT NOT NULL
);
CREATE TABLE stream_events (
    id BIGINT PRIMARY KEY,
    payload TEXT NOT NULL
);
