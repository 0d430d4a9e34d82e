-- The table refuses what the program refuses, whoever writes. SQLite adds no constraint to a table that is there.
CREATE TABLE ledger_new (
    key     TEXT    NOT NULL PRIMARY KEY CHECK (length(CAST(key AS BLOB)) BETWEEN 1 AND 512),
    value   BLOB    NOT NULL,
    version INTEGER NOT NULL,
    until   INTEGER             -- Unix milliseconds; afterwards the entry is as good as gone
) STRICT;

INSERT INTO ledger_new (key, value, version, until) SELECT key, value, version, until FROM ledger;
DROP TABLE ledger;
ALTER TABLE ledger_new RENAME TO ledger;
CREATE INDEX ledger_until ON ledger (until) WHERE until IS NOT NULL;
