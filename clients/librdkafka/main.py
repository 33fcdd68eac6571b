"""Producers and consumers of librdkafka, by confluent-kafka for Python, driven by lines on standard input as
lua/rlab/lab/foreign/client.lua writes them; each is answered by one line of JSON."""

import json
import queue
import sys
import threading
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, libversion

CALL_WITHIN = 20.0
lock = threading.Lock()


def say(answer):
    with lock:
        print(json.dumps(answer), flush=True)


class Writer:
    def __init__(self, settings):
        self.producer = Producer(settings)

    def put(self, topic, key, value):
        done = []
        self.producer.produce(topic, key=key, value=value,
                              on_delivery=lambda err, msg: done.append((err, msg)))
        self.producer.flush(CALL_WITHIN)
        if not done:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        err, msg = done[0]
        if err:
            raise KafkaException(err)
        return {"partition": msg.partition(), "offset": msg.offset()}

    def close(self):
        self.producer.flush(2)
        return {}


class Reader:
    def __init__(self, settings):
        topic = settings.pop("topic")
        self.consumer = Consumer(settings)
        self.in_hand = []
        self.consumer.subscribe([topic])

    def poll(self, most, ms):
        until, records = time.monotonic() + int(ms) / 1000, []
        while not records and time.monotonic() < until:
            for msg in self.consumer.consume(int(most), 0.2):
                if msg.error():
                    raise KafkaException(msg.error())
                self.in_hand.append(msg)
                records.append({"partition": msg.partition(), "offset": msg.offset(),
                                "value": msg.value().decode()})
        return {"records": records} if records else {}

    def commit(self, _ms=None):
        last = {(msg.topic(), msg.partition()): msg for msg in self.in_hand}
        self.in_hand = []
        for msg in last.values():
            self.consumer.commit(message=msg, asynchronous=False)
        return {}

    def close(self):
        self.consumer.close()
        return {}


clients, lines = {}, {}


def run(words):
    name, what, rest = words[0], words[1], words[2:]
    if what in ("open", "consume"):
        settings = dict(word.split("=", 1) for word in rest)
        clients[name] = (Writer if what == "open" else Reader)(settings)
        return {}
    if what not in ("put", "poll", "commit", "close"):
        raise ValueError(what)
    return getattr(clients[name], what)(*rest)


def code(failure):
    return failure.args[0].code() if isinstance(failure, KafkaException) else 0


def answer(words):
    try:
        say({"to": words[0], "ok": True, **run(words)})
    except Exception as failure:  # whatever it is, it is the answer
        say({"to": words[0], "ok": False, "error": str(failure), "code": code(failure)})


def serve(waiting):
    while True:
        answer(waiting.get())


say({"to": "", "ok": True, "version": libversion()[0]})
for line in sys.stdin:
    words = line.split()
    if words[0] not in lines:
        lines[words[0]] = queue.Queue()
        threading.Thread(target=serve, args=(lines[words[0]],), daemon=True).start()
    lines[words[0]].put(words)
