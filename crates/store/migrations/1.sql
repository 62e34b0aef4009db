-- A source is listed here only while all of it is stored: every later write to one of its documents takes it out.
CREATE TABLE source (
    path TEXT PRIMARY KEY,
    content_hash TEXT NOT NULL,
    stored_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE document (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    source TEXT NOT NULL,
    title TEXT NOT NULL,
    format TEXT NOT NULL,
    metadata TEXT NOT NULL,
    content_hash TEXT NOT NULL,
    chunks INTEGER NOT NULL,
    stored_at INTEGER NOT NULL,
    generation INTEGER NOT NULL
);
CREATE INDEX document_by_source ON document (source);

CREATE TABLE chunk (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    document_id INTEGER NOT NULL REFERENCES document (id),
    ordinal INTEGER NOT NULL,
    location TEXT NOT NULL,
    tokens INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    text TEXT NOT NULL,
    UNIQUE (document_id, ordinal)
);
CREATE INDEX chunk_by_generation ON chunk (generation);

-- 32-bit floats, little-endian. Apart from the chunks, so that reading passages does not pass over them.
CREATE TABLE embedding (
    chunk_id INTEGER PRIMARY KEY REFERENCES chunk (id),
    vector BLOB NOT NULL
);

-- What an index that is behind has to drop.
CREATE TABLE removed_chunk (
    chunk_id INTEGER PRIMARY KEY,
    generation INTEGER NOT NULL
);
CREATE INDEX removed_chunk_by_generation ON removed_chunk (generation);

CREATE TABLE decision (
    id TEXT PRIMARY KEY,
    at INTEGER NOT NULL,
    record TEXT NOT NULL
);

CREATE TABLE answer (
    request TEXT PRIMARY KEY REFERENCES decision (id),
    record TEXT NOT NULL
);

CREATE TABLE outcome (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    request TEXT NOT NULL REFERENCES decision (id),
    at INTEGER NOT NULL,
    record TEXT NOT NULL
);
CREATE INDEX outcome_by_request ON outcome (request);

CREATE TABLE snapshot (
    learner TEXT PRIMARY KEY,
    position INTEGER NOT NULL,
    state BLOB NOT NULL
);

CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO meta (key, value) VALUES ('generation', 0), ('checks', 0);
