import io.debezium.embedded.Connect;
import io.debezium.engine.DebeziumEngine;
import io.debezium.engine.RecordChangeEvent;
import io.debezium.engine.format.ChangeEventFormat;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.Future;
import javax.management.ObjectName;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.connect.header.Header;
import org.apache.kafka.connect.source.SourceRecord;

/**
 * An outbox relay of Debezium's embedded engine with its MySQL connector and outbox event router. As Debezium Server's Kafka sink does, a batch is sent, its
 * acknowledgements are waited for, and only then is it marked. Its offsets and schema history are files in RLAB_STATE, which a second life finds again.
 * The client's id is the group's name: Java's Produce names a topic by its id, and the proxy's rules look for the arm's name in a request.
 */
public final class Relay implements DebeziumEngine.ChangeConsumer<RecordChangeEvent<SourceRecord>> {
    private static final String SERVER = "relay";
    private final KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(
        Map.of("bootstrap.servers", env("BROKERS"), "client.id", env("GROUP"), "acks", "all"), new ByteArraySerializer(), new ByteArraySerializer());

    static String env(String name) {
        return System.getenv("RLAB_" + name);
    }

    static void die(Throwable failure) {
        failure.printStackTrace();
        Runtime.getRuntime().halt(1);
    }

    private static byte[] bytes(Object value) {
        return value instanceof byte[] ? (byte[]) value : value instanceof String ? ((String) value).getBytes() : ((ByteBuffer) value).array();
    }

    @Override
    public void handleBatch(List<RecordChangeEvent<SourceRecord>> events, DebeziumEngine.RecordCommitter<RecordChangeEvent<SourceRecord>> committer)
        throws InterruptedException {
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        for (RecordChangeEvent<SourceRecord> event : events) {
            SourceRecord record = event.record();
            if (!record.topic().equals(env("TOPIC"))) continue; // a heartbeat
            ProducerRecord<byte[], byte[]> out = new ProducerRecord<>(record.topic(), bytes(record.key()), bytes(record.value()));
            for (Header header : record.headers()) {
                // the router calls the event's id "id", rlab calls it "event-id", as text
                if (header.key().equals("id")) out.headers().add("event-id", uuid(bytes(header.value())));
            }
            sent.add(producer.send(out));
        }
        try {
            for (Future<RecordMetadata> one : sent) one.get();
        } catch (java.util.concurrent.ExecutionException failure) {
            die(failure.getCause());
        }
        for (RecordChangeEvent<SourceRecord> event : events) committer.markProcessed(event);
        committer.markBatchFinished();
    }

    private static byte[] uuid(byte[] id) {
        ByteBuffer b = ByteBuffer.wrap(id);
        return new java.util.UUID(b.getLong(), b.getLong()).toString().getBytes();
    }

    private static Properties settings() {
        Properties p = new Properties();
        String state = env("STATE"), schema = env("MYSQL_DATABASE");
        p.put("name", SERVER);
        p.put("connector.class", "io.debezium.connector.mysql.MySqlConnector");
        p.put("offset.storage", "org.apache.kafka.connect.storage.FileOffsetBackingStore");
        p.put("offset.storage.file.filename", state + ".offsets");
        p.put("offset.flush.interval.ms", "0");
        p.put("schema.history.internal", "io.debezium.storage.file.history.FileSchemaHistory");
        p.put("schema.history.internal.file.filename", state + ".history");
        p.put("topic.prefix", SERVER);
        p.put("database.hostname", env("MYSQL_HOST"));
        p.put("database.port", env("MYSQL_PORT"));
        p.put("database.user", env("MYSQL_USER"));
        p.put("database.password", env("MYSQL_PASSWORD"));
        p.put("database.server.id", String.valueOf(1 + new java.util.Random().nextInt(1 << 30)));
        p.put("database.ssl.mode", "disabled");
        p.put("driver.allowPublicKeyRetrieval", "true");
        p.put("database.include.list", schema);
        p.put("table.include.list", schema + ".outbox_event");
        p.put("column.exclude.list", ".*outbox_event.(shard|headers|created_at|published_at|parked_reason|topic)");
        p.put("snapshot.mode", "no_data");
        p.put("snapshot.locking.mode", "none");
        p.put("include.schema.changes", "false");
        p.put("poll.interval.ms", "20");
        p.put("transforms", "outbox");
        p.put("transforms.outbox.type", "io.debezium.transforms.outbox.EventRouter");
        p.put("transforms.outbox.table.field.event.id", "event_id");
        p.put("transforms.outbox.table.field.event.key", "message_key");
        p.put("transforms.outbox.route.topic.replacement", env("TOPIC"));
        return p;
    }

    private static void awaitBinlog() throws Exception {
        ObjectName name = new ObjectName("debezium.mysql:type=connector-metrics,context=streaming,server=" + SERVER);
        var beans = ManagementFactory.getPlatformMBeanServer();
        while (!beans.isRegistered(name) || !Boolean.TRUE.equals(beans.getAttribute(name, "Connected"))) Thread.sleep(20);
    }

    public static void main(String[] args) throws Exception {
        var engine = DebeziumEngine.create(ChangeEventFormat.of(Connect.class)).using(settings()).notifying(new Relay())
            .using((ok, message, failure) -> {
                if (failure != null) die(failure);
            }).build();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                engine.close();
            } catch (java.io.IOException late) {
                late.printStackTrace();
            }
            Runtime.getRuntime().halt(0);
        }));
        new Thread(engine, "engine").start();
        awaitBinlog();
        System.out.println("{\"say\":\"ready\"}");
    }
}
