-- What was decided and can't be made anew from the log, such as which versions of prompts are in use.
CREATE TABLE register (
    name TEXT PRIMARY KEY,
    record TEXT NOT NULL
) WITHOUT ROWID;
