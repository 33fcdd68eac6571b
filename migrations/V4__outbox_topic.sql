-- Where a row goes, when that is not the relay's topic: two versions of a topic can be written in one transaction.
ALTER TABLE outbox_event ADD COLUMN topic VARCHAR(249) CHARACTER SET ascii COLLATE ascii_bin NULL;
