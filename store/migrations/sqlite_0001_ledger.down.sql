DROP TABLE ledger_version;
DROP TABLE ledger;
