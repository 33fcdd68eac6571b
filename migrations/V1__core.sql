-- The ledger and the outbox: what the command service writes in one transaction.
-- Event ids are UUID version 7, 128 bits that sort by time: BIN_TO_UUID(event_id) shows one, UUID_TO_BIN('...') looks one up.

CREATE TABLE account (
  id         BIGINT       NOT NULL PRIMARY KEY,
  balance    BIGINT       NOT NULL DEFAULT 0,
  version    BIGINT       NOT NULL DEFAULT 0,   -- grows by one with each entry
  created_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)
);

CREATE TABLE ledger_entry (
  id         BIGINT         NOT NULL AUTO_INCREMENT PRIMARY KEY,
  event_id   BINARY(16)     NOT NULL,
  request_id VARBINARY(128) NOT NULL,           -- of the caller: the same id gets the same answer
  account_id BIGINT         NOT NULL,
  amount     BIGINT         NOT NULL,
  balance    BIGINT         NOT NULL,           -- after this entry
  version    BIGINT         NOT NULL,           -- of the account, after this entry
  created_at TIMESTAMP(6)   NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  UNIQUE KEY event_id (event_id),
  UNIQUE KEY request_id (request_id),
  UNIQUE KEY account_version (account_id, version)
);

-- A row waits until published_at is set (mark = update), or until it is deleted (mark = delete), or below the relay's position (cursor).
-- `shard` is CRC32(message_key) % 64: the unit that relays share out among themselves.
CREATE TABLE outbox_event (
  id            BIGINT            NOT NULL AUTO_INCREMENT PRIMARY KEY,
  event_id      BINARY(16)        NOT NULL,
  shard         SMALLINT UNSIGNED NOT NULL,
  message_key   VARBINARY(255)    NOT NULL,
  payload       MEDIUMBLOB        NOT NULL,
  headers       JSON              NULL,         -- [["name","value"], ...] besides event-id
  created_at    TIMESTAMP(6)      NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  published_at  TIMESTAMP(6)      NULL,
  parked_reason VARCHAR(255)      NULL,         -- a row that can never be sent: published_at is set too, so that it is out of the way
  KEY unsent (published_at, id, shard)   -- the unsent ones in the order of their ids; the published ones by age, for the clean-up
);

CREATE TABLE relay_lease (
  shard      SMALLINT UNSIGNED NOT NULL PRIMARY KEY,
  owner      VARCHAR(64)       NULL,
  token      BIGINT            NOT NULL DEFAULT 0,   -- the fence: grows with each owner
  expires_at TIMESTAMP(3)      NULL,
  position   BIGINT            NOT NULL DEFAULT 0    -- mark = cursor: rows up to here are sent
);

-- Who is alive: each has its share of the shards.
CREATE TABLE relay_member (
  name    VARCHAR(64)  NOT NULL PRIMARY KEY,
  seen_at TIMESTAMP(3) NOT NULL
);
