PRAGMA user_version = 3;
BEGIN;
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
CREATE TABLE embedding (
    chunk_id INTEGER PRIMARY KEY REFERENCES chunk (id),
    vector BLOB NOT NULL
);
CREATE TABLE removed_chunk (
    chunk_id INTEGER PRIMARY KEY,
    generation INTEGER NOT NULL
);
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
CREATE TABLE snapshot (
    learner TEXT PRIMARY KEY,
    position INTEGER NOT NULL,
    state BLOB NOT NULL
);
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE batch (
    id TEXT PRIMARY KEY,
    at INTEGER NOT NULL,
    questions INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'completed', 'cancelled')),
    record TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE batch_result (
    batch TEXT NOT NULL REFERENCES batch (id),
    place INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (batch, place)
) WITHOUT ROWID;
CREATE TABLE register (
    name TEXT PRIMARY KEY,
    record TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO source VALUES ('a.md', 'hash of a', 300);
INSERT INTO document VALUES (1, 'a.md', 'a.md', 'On a.md', 'markdown', '{"draft":true,"format":"the document''s own, which gives way","year":2026.5}', '1', 3, 100, 1);
INSERT INTO document VALUES (2, 'b.jsonl#1', 'b.jsonl', 'On b.jsonl#1', 'markdown', '{"draft":false,"format":"the document''s own, which gives way","year":2026.5}', '2', 3, 200, 2);
INSERT INTO chunk VALUES (1, 1, 0, '{}', 7, 1, 'a.md, version 1, part 0: größer ≠ ''quoted'' 😀');
INSERT INTO chunk VALUES (2, 1, 1, '{"pages":{"first":1,"last":2}}', 8, 1, 'a.md, version 1, part 1: größer ≠ ''quoted'' 😀');
INSERT INTO chunk VALUES (3, 1, 2, '{"headings":["One","Two"],"rows":{"first":1,"last":20}}', 9, 1, 'a.md, version 1, part 2: größer ≠ ''quoted'' 😀');
INSERT INTO chunk VALUES (7, 2, 0, '{}', 7, 2, 'b.jsonl#1, version 2, part 0: größer ≠ ''quoted'' 😀');
INSERT INTO chunk VALUES (8, 2, 1, '{"pages":{"first":1,"last":2}}', 8, 2, 'b.jsonl#1, version 2, part 1: größer ≠ ''quoted'' 😀');
INSERT INTO chunk VALUES (9, 2, 2, '{"headings":["One","Two"],"rows":{"first":1,"last":20}}', 9, 2, 'b.jsonl#1, version 2, part 2: größer ≠ ''quoted'' 😀');
INSERT INTO embedding VALUES (1, X'0000003F000080BE0000803F00000000');
INSERT INTO embedding VALUES (2, X'0000003F000080BE0000803F0000803F');
INSERT INTO embedding VALUES (3, X'0000003F000080BE0000803F00000040');
INSERT INTO embedding VALUES (7, X'0000003F000080BE0000004000000000');
INSERT INTO embedding VALUES (8, X'0000003F000080BE000000400000803F');
INSERT INTO embedding VALUES (9, X'0000003F000080BE0000004000000040');
INSERT INTO removed_chunk VALUES (4, 2);
INSERT INTO removed_chunk VALUES (5, 2);
INSERT INTO removed_chunk VALUES (6, 3);
INSERT INTO decision VALUES ('01M3250V010000000100000000', 1790000000001, '{"v":1,"record":{"id":"01M3250V010000000100000000","at":1790000000001,"query":"what''s “hybrid”?","user":{"tenant":"acme","attributes":{"role":"nurse"}},"features":{"version":1,"values":{"words":0.3333333333333333}},"policy":"fixed(hybrid), exploration 0.05","candidates":[{"plan":{"strategy":"hybrid","depth":50,"context_tokens":2000,"answerer":{"model":"small"}},"prediction":{"quality":0.30000000000000004,"quality_deviation":0.1,"latency_ms":12.5,"outcomes":9},"propensity":0.95},{"plan":{"strategy":"sparse","depth":50,"context_tokens":2000,"answerer":"extractive"},"prediction":{"quality":0.30000000000000004,"quality_deviation":0.1,"latency_ms":12.5,"outcomes":9},"propensity":0.05}],"chosen":0,"reason":"the baseline"}}');
INSERT INTO decision VALUES ('01M3250V020000000200000000', 1790000000002, '{"v":1,"record":{"id":"01M3250V020000000200000000","at":1790000000002,"query":"what''s “hybrid”?","user":{"tenant":"acme","attributes":{"role":"nurse"}},"features":{"version":1,"values":{"words":0.3333333333333333}},"policy":"fixed(hybrid), exploration 0.05","candidates":[{"plan":{"strategy":"hybrid","depth":50,"context_tokens":2000,"answerer":{"model":"small"}},"prediction":{"quality":0.30000000000000004,"quality_deviation":0.1,"latency_ms":12.5,"outcomes":9},"propensity":0.95},{"plan":{"strategy":"sparse","depth":50,"context_tokens":2000,"answerer":"extractive"},"prediction":{"quality":0.30000000000000004,"quality_deviation":0.1,"latency_ms":12.5,"outcomes":9},"propensity":0.05}],"chosen":0,"reason":"the baseline"}}');
INSERT INTO answer VALUES ('01M3250V010000000100000000', '{"v":1,"record":{"text":"It joins two lists [1].","found":true,"citations":[{"marker":1,"chunk":7,"quote":{"start":0,"end":6}}],"evidence":[{"chunk":7,"document":3,"document_key":"notes.md","title":"Notes","location":{"pages":{"first":1,"last":2}},"text":"Hybrid search joins two lists.","score":0.1,"components":[["bm25",11.3],["cosine",0.7]]}],"usage":{"input_tokens":120,"output_tokens":9},"cost":17,"timings":[{"stage":"retrieve","ms":4.2}],"degraded":null,"finish_reason":"stop","at":7}}');
INSERT INTO outcome VALUES (1, '01M3250V010000000100000000', 1790000000006, '{"v":1,"record":{"request":"01M3250V010000000100000000","at":1790000000006,"judgement":{"kind":"thumb","up":true},"comment":"line one\nline two"}}');
INSERT INTO outcome VALUES (2, '01M3250V020000000200000000', 1790000000007, '{"v":1,"record":{"request":"01M3250V020000000200000000","at":1790000000007,"judgement":{"kind":"score","value":0.25},"comment":"line one\nline two"}}');
INSERT INTO outcome VALUES (3, '01M3250V010000000100000000', 1790000000006, '{"v":1,"record":{"request":"01M3250V010000000100000000","at":1790000000006,"judgement":{"kind":"passage","chunk":3,"correct":true},"comment":"line one\nline two"}}');
INSERT INTO snapshot VALUES ('mean', 2, X'010203');
INSERT INTO meta VALUES ('checks', 0);
INSERT INTO meta VALUES ('generation', 3);
INSERT INTO batch VALUES ('01M3250V030000000300000000', 400, 2, 'open', '[1, 2]');
INSERT INTO batch_result VALUES ('01M3250V030000000300000000', 1, 1, '"no"');
INSERT INTO register VALUES ('prompts', '{"kept": true}');
DELETE FROM sqlite_sequence;
INSERT INTO sqlite_sequence VALUES ('chunk', 9);
INSERT INTO sqlite_sequence VALUES ('document', 4);
INSERT INTO sqlite_sequence VALUES ('outcome', 3);
CREATE INDEX document_by_source ON document (source);
CREATE INDEX chunk_by_generation ON chunk (generation);
CREATE INDEX removed_chunk_by_generation ON removed_chunk (generation);
CREATE INDEX outcome_by_request ON outcome (request);
CREATE INDEX open_batch ON batch (id) WHERE state = 'open';
COMMIT;
