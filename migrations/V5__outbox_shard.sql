-- Relays share out 64 shards: a row of any other would never be sent, and nobody would say so.
ALTER TABLE outbox_event ADD CONSTRAINT outbox_shard CHECK (shard < 64);
