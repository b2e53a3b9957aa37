-- Every room numbers its own messages. The counter row is locked until the message is committed, so
-- numbers become visible in order and a reader that has seen n will never find a smaller one later.
CREATE TABLE rooms (
    name TEXT PRIMARY KEY,
    last_seq BIGINT NOT NULL
);
CREATE TABLE messages (
    room TEXT NOT NULL REFERENCES rooms (name),
    seq BIGINT NOT NULL,
    author TEXT NOT NULL,
    key TEXT NOT NULL,
    body TEXT NOT NULL,
    sent_ms BIGINT NOT NULL,
    PRIMARY KEY (room, seq),
    UNIQUE (room, author, key)
);
CREATE INDEX messages_by_time ON messages (sent_ms);
