-- The table refuses what the program refuses, whoever writes: a longer key could not be indexed.
ALTER TABLE ledger ADD CONSTRAINT ledger_key_size CHECK (octet_length(key) BETWEEN 1 AND 512);
