CREATE TABLE ledger (
    key     TEXT    NOT NULL PRIMARY KEY,
    value   BLOB    NOT NULL,
    version INTEGER NOT NULL,
    until   INTEGER             -- Unix milliseconds; afterwards the entry is as good as gone
) STRICT;

CREATE INDEX ledger_until ON ledger (until) WHERE until IS NOT NULL;

-- Versions are given out once in the life of the ledger, never per key: an entry that was dropped and made again must
-- not look unchanged to somebody who read its predecessor.
CREATE TABLE ledger_version (
    last INTEGER NOT NULL
) STRICT;

INSERT INTO ledger_version (last) VALUES (0);
