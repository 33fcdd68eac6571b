"""The same consumer as it is often written first: with the client's default, by which a record counts as done when it is handed over."""
import json
import os
import signal

import pymysql
from confluent_kafka import Consumer

env = os.environ
DUPLICATE = 1062


def connect():
    return pymysql.connect(host=env["RLAB_MYSQL_HOST"], port=int(env["RLAB_MYSQL_PORT"]), user=env["RLAB_MYSQL_USER"],
                           password=env["RLAB_MYSQL_PASSWORD"], database=env["RLAB_MYSQL_DATABASE"], ssl={"check_hostname": False},
                           init_command="SET SESSION innodb_lock_wait_timeout = 20")


def apply(db, event):
    """One transaction: the id that makes a repeat harmless, the read model, the effect."""
    try:
        with db.cursor() as c:
            c.execute("INSERT INTO processed_event (consumer, event_id) VALUES ('python', UUID_TO_BIN(%s))", (event["event_id"],))
            c.execute("INSERT INTO account_view (account_id, balance, version, entries) VALUES (%s, %s, %s, 1) AS new ON DUPLICATE KEY UPDATE"
                      " balance = account_view.balance + new.balance, version = GREATEST(account_view.version, new.version),"
                      " entries = account_view.entries + 1", (event["account_id"], event["amount"], event["version"]))
            c.execute("INSERT INTO effect_log (event_id, account_id, version, member) VALUES (UUID_TO_BIN(%s), %s, %s, %s)",
                      (event["event_id"], event["account_id"], event["version"], env["RLAB_NAME"]))
        db.commit()
    except pymysql.err.IntegrityError as failure:
        db.rollback()
        if failure.args[0] != DUPLICATE:
            raise


def main():
    running = True

    def stop(*_):
        nonlocal running
        running = False

    signal.signal(signal.SIGTERM, stop)
    db = connect()
    consumer = Consumer({
        "bootstrap.servers": env["RLAB_BROKERS"],
        "group.id": env["RLAB_GROUP"],
        "client.id": env["RLAB_NAME"],
        "auto.offset.reset": "earliest",
        "session.timeout.ms": 3000,
        "heartbeat.interval.ms": 500,
        "auto.commit.interval.ms": 100,
    })
    consumer.subscribe([env["RLAB_TOPIC"]])
    while running:
        record = consumer.poll(0.1)
        if record is None:
            continue
        if record.error():
            raise SystemExit(str(record.error()))
        apply(db, json.loads(record.value()))
    consumer.close()


main()
