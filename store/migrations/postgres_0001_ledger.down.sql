DROP SEQUENCE ledger_version;
DROP TABLE ledger;
