ALTER TABLE ledger DROP CONSTRAINT ledger_key_size;
