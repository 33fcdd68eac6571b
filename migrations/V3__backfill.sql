-- How far a chunked job has come; written in the transaction of each chunk.

CREATE TABLE backfill_checkpoint (
  job        VARCHAR(64)  NOT NULL,
  shard      INT          NOT NULL,
  position   BIGINT       NOT NULL DEFAULT 0,   -- the last key that is done
  upper      BIGINT       NOT NULL,             -- where the shard ends
  chunks     BIGINT       NOT NULL DEFAULT 0,
  updated_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
  PRIMARY KEY (job, shard)
);
