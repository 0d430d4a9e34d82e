CREATE TABLE ledger_old (
    key     TEXT    NOT NULL PRIMARY KEY,
    value   BLOB    NOT NULL,
    version INTEGER NOT NULL,
    until   INTEGER
) STRICT;

INSERT INTO ledger_old (key, value, version, until) SELECT key, value, version, until FROM ledger;
DROP TABLE ledger;
ALTER TABLE ledger_old RENAME TO ledger;
CREATE INDEX ledger_until ON ledger (until) WHERE until IS NOT NULL;
