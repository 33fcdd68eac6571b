import io.debezium.embedded.Connect;
import io.debezium.engine.DebeziumEngine;
import io.debezium.engine.RecordChangeEvent;
import io.debezium.engine.format.ChangeEventFormat;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import javax.management.ObjectName;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.connect.header.Header;
import org.apache.kafka.connect.source.SourceRecord;

/**
 * The work of flow.relay by Debezium's embedded engine with the outbox event router: what is committed into outbox_event is read from the binlog and sent.
 *
 *     Debezium HOST PORT USER PASSWORD SCHEMA TOPIC WARM ROWS [property=value]...
 *
 * Says when it reads the binlog, when WARM rows were sent, and when the ROWS after them are all acknowledged. Large batches, no conversion (the records are
 * bytes already), only the columns that are needed, one thread for the router (two take a fifth more CPU time here), and the next batch is sent while the last
 * one's acknowledgements come. Nothing is cleaned up. The properties are the producer's.
 */
public final class Debezium implements DebeziumEngine.ChangeConsumer<RecordChangeEvent<SourceRecord>> {
  private static final String SERVER = "rlab";
  private static final int BATCH = 8192, QUEUE = 4 * BATCH, LOOK_MS = 20, READY_MS = 60_000, SERVER_IDS = 1 << 30;

  private static final class Batch {
    final List<RecordChangeEvent<SourceRecord>> events;
    final CountDownLatch waits; // for acknowledgements

    Batch(List<RecordChangeEvent<SourceRecord>> events) {
      this.events = events;
      waits = new CountDownLatch(events.size());
    }
  }

  private final long warm, rows;
  private final KafkaProducer<byte[], byte[]> producer;
  private Batch last = new Batch(List.of());
  private long sent;

  private Debezium(long warm, long rows, Properties producer) {
    this.warm = warm;
    this.rows = rows;
    this.producer = new KafkaProducer<>(producer, new ByteArraySerializer(), new ByteArraySerializer());
  }

  private static byte[] bytes(Object value) {
    return value instanceof byte[] ? (byte[]) value : ((ByteBuffer) value).array();
  }

  private void send(SourceRecord record, Batch batch) {
    ProducerRecord<byte[], byte[]> out = new ProducerRecord<>(record.topic(), bytes(record.key()), bytes(record.value()));
    for (Header header : record.headers()) out.headers().add(header.key(), bytes(header.value()));
    producer.send(out, (metadata, failure) -> {
      if (failure != null) Peer.die(failure);
      batch.waits.countDown();
    });
  }

  private static void settle(Batch batch, DebeziumEngine.RecordCommitter<RecordChangeEvent<SourceRecord>> committer) throws InterruptedException {
    batch.waits.await();
    for (RecordChangeEvent<SourceRecord> event : batch.events) committer.markProcessed(event);
    committer.markBatchFinished();
  }

  @Override
  public void handleBatch(List<RecordChangeEvent<SourceRecord>> events, DebeziumEngine.RecordCommitter<RecordChangeEvent<SourceRecord>> committer)
      throws InterruptedException {
    Batch batch = new Batch(events);
    for (RecordChangeEvent<SourceRecord> event : events) {
      if (sent++ == warm) Peer.start();
      send(event.record(), batch);
    }
    settle(last, committer);
    last = batch;
    if (sent < warm + rows) return;
    settle(batch, committer);
    Peer.report(rows);
    Runtime.getRuntime().halt(0);
  }

  private static Properties engine(String[] args) {
    Properties p = new Properties();
    p.put("name", SERVER);
    p.put("connector.class", "io.debezium.connector.mysql.MySqlConnector");
    p.put("offset.storage", "org.apache.kafka.connect.storage.MemoryOffsetBackingStore");
    p.put("schema.history.internal", "io.debezium.relational.history.MemorySchemaHistory");
    p.put("topic.prefix", SERVER);
    p.put("database.hostname", args[0]);
    p.put("database.port", args[1]);
    p.put("database.user", args[2]);
    p.put("database.password", args[3]);
    p.put("database.server.id", String.valueOf(1 + new java.util.Random().nextInt(SERVER_IDS)));
    p.put("database.ssl.mode", "disabled");
    p.put("driver.allowPublicKeyRetrieval", "true");
    p.put("database.include.list", args[4]);
    p.put("table.include.list", args[4] + ".outbox_event");
    p.put("column.exclude.list", ".*outbox_event.(shard|headers|created_at|published_at|parked_reason)");
    p.put("snapshot.mode", "no_data");
    p.put("snapshot.locking.mode", "none");
    p.put("schema.history.internal.store.only.captured.tables.ddl", "true");
    p.put("include.schema.changes", "false");
    p.put("extended.headers.enabled", "false");
    p.put("max.batch.size", String.valueOf(BATCH));
    p.put("max.queue.size", String.valueOf(QUEUE));
    p.put("poll.interval.ms", "5");
    p.put("record.processing.threads", "1");
    p.put("transforms", "outbox");
    p.put("transforms.outbox.type", "io.debezium.transforms.outbox.EventRouter");
    p.put("transforms.outbox.table.field.event.id", "event_id");
    p.put("transforms.outbox.table.field.event.key", "message_key");
    p.put("transforms.outbox.route.topic.replacement", args[5]);
    return p;
  }

  private static void waitUntilItReads() throws Exception {
    ObjectName name = new ObjectName("debezium.mysql:type=connector-metrics,context=streaming,server=" + SERVER);
    for (long until = System.currentTimeMillis() + READY_MS; System.currentTimeMillis() < until; Thread.sleep(LOOK_MS)) {
      var beans = ManagementFactory.getPlatformMBeanServer();
      if (beans.isRegistered(name) && Boolean.TRUE.equals(beans.getAttribute(name, "Connected"))) return;
    }
    throw new IllegalStateException("the binlog is not read after " + READY_MS / 1000 + " s");
  }

  public static void main(String[] args) throws Exception {
    Peer.dieOfFailures();
    var handler = new Debezium(Long.parseLong(args[6]), Long.parseLong(args[7]), Peer.properties(args, 8));
    var engine = DebeziumEngine.create(ChangeEventFormat.of(Connect.class)).using(engine(args)).notifying(handler)
        .using((ok, message, failure) -> Peer.die(failure != null ? failure : new IllegalStateException(message))).build();
    new Thread(engine, "engine").start();
    waitUntilItReads();
    Peer.ready();
  }
}
