-- The worker's timetable, and what its hourly roll-up produces.
CREATE TABLE jobs (
    kind TEXT PRIMARY KEY,
    every_ms BIGINT NOT NULL,
    due_ms BIGINT NOT NULL,
    runs BIGINT NOT NULL
);
INSERT INTO jobs (kind, every_ms, due_ms, runs) VALUES ('rollup', 60000, 0, 0);
INSERT INTO jobs (kind, every_ms, due_ms, runs) VALUES ('cleanup', 3600000, 0, 0);
CREATE TABLE room_hours (
    room TEXT NOT NULL,
    hour_ms BIGINT NOT NULL,
    messages BIGINT NOT NULL,
    authors BIGINT NOT NULL,
    PRIMARY KEY (room, hour_ms)
);
