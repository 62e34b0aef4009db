-- Questions that are answered in the background. What they are is the engine's to read.
CREATE TABLE batch (
    id TEXT PRIMARY KEY,
    at INTEGER NOT NULL,
    questions INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'completed', 'cancelled')),
    record TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX open_batch ON batch (id) WHERE state = 'open';

-- One row a question that is done with.
CREATE TABLE batch_result (
    batch TEXT NOT NULL REFERENCES batch (id),
    place INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (batch, place)
) WITHOUT ROWID;
