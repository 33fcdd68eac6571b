-- What the consumer writes: each event once, its effect, the read model, and its offsets where they are kept here.

CREATE TABLE processed_event (
  consumer     VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  event_id     BINARY(16)   NOT NULL,
  processed_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  PRIMARY KEY (consumer, event_id)
);

CREATE TABLE account_view (
  account_id BIGINT       NOT NULL PRIMARY KEY,
  balance    BIGINT       NOT NULL DEFAULT 0,
  version    BIGINT       NOT NULL DEFAULT 0,
  entries    BIGINT       NOT NULL DEFAULT 0,
  updated_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6)
);

-- For measuring only: written in the transaction of the effect, read by no service, and without a unique key on purpose.
CREATE TABLE effect_log (
  seq        BIGINT       NOT NULL AUTO_INCREMENT PRIMARY KEY,
  event_id   BINARY(16)   NOT NULL,
  account_id BIGINT       NOT NULL,
  version    BIGINT       NOT NULL,
  member     VARCHAR(64)  NOT NULL,
  at         TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)
);

CREATE TABLE consumer_offset (
  consumer       VARCHAR(64)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  topic          VARCHAR(249) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  partition_id   INT          NOT NULL,
  next_offset    BIGINT       NOT NULL,         -- the first one that is not applied yet
  PRIMARY KEY (consumer, topic, partition_id)
);
