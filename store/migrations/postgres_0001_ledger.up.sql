CREATE TABLE ledger (
    key     text   COLLATE "C" NOT NULL PRIMARY KEY,
    value   bytea  NOT NULL,
    version bigint NOT NULL,
    until   bigint                      -- Unix milliseconds; afterwards the entry is as good as gone
);

CREATE INDEX ledger_until ON ledger (until) WHERE until IS NOT NULL;

-- Versions are given out once in the life of the ledger, never per key: an entry that was dropped and made again must
-- not look unchanged to somebody who read its predecessor.
CREATE SEQUENCE ledger_version AS bigint;
