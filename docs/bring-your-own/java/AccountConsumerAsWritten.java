import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.serialization.StringDeserializer;

/** The same consumer as it is often written first: at least once is taken for exactly once, so a repeated record is applied again. */
public class AccountConsumerAsWritten {
    private static final ObjectMapper JSON = new ObjectMapper();
    private final Connection db;

    AccountConsumerAsWritten(Connection db) {
        this.db = db;
    }

    static String env(String name) {
        return System.getenv("RLAB_" + name);
    }

    static Connection connect() throws SQLException {
        String url = "jdbc:mysql://" + env("MYSQL_HOST") + ":" + env("MYSQL_PORT") + "/" + env("MYSQL_DATABASE")
            + "?sslMode=REQUIRED&sessionVariables=innodb_lock_wait_timeout=20";
        Connection db = DriverManager.getConnection(url, env("MYSQL_USER"), env("MYSQL_PASSWORD"));
        db.setAutoCommit(false);
        return db;
    }

    static KafkaConsumer<String, String> subscribe() {
        KafkaConsumer<String, String> consumer = new KafkaConsumer<>(Map.of(
            "bootstrap.servers", env("BROKERS"), "group.id", env("GROUP"), "client.id", env("NAME"), "auto.offset.reset", "earliest",
            "enable.auto.commit", "false", "session.timeout.ms", "3000", "heartbeat.interval.ms", "500",
            "key.deserializer", StringDeserializer.class.getName(), "value.deserializer", StringDeserializer.class.getName()));
        consumer.subscribe(List.of(env("TOPIC")));
        return consumer;
    }

    void run(String sql, Object... values) throws SQLException {
        try (PreparedStatement statement = db.prepareStatement(sql)) {
            for (int i = 0; i < values.length; i++) {
                statement.setObject(i + 1, values[i]);
            }
            statement.executeUpdate();
        }
    }

    /** One transaction: the read model and the effect. */
    void apply(JsonNode event) throws SQLException {
        String id = event.get("event_id").asText();
        long account = event.get("account_id").asLong();
        long version = event.get("version").asLong();
        run("INSERT INTO account_view (account_id, balance, version, entries) VALUES (?, ?, ?, 1) AS new ON DUPLICATE KEY UPDATE"
            + " balance = account_view.balance + new.balance, version = GREATEST(account_view.version, new.version),"
            + " entries = account_view.entries + 1", account, event.get("amount").asLong(), version);
        run("INSERT INTO effect_log (event_id, account_id, version, member) VALUES (UUID_TO_BIN(?), ?, ?, ?)", id, account, version, env("NAME"));
        db.commit();
    }

    public static void main(String[] args) throws Exception {
        try (Connection db = connect(); KafkaConsumer<String, String> consumer = subscribe()) {
            AccountConsumerAsWritten work = new AccountConsumerAsWritten(db);
            Thread main = Thread.currentThread();
            Runtime.getRuntime().addShutdownHook(new Thread(() -> {
                consumer.wakeup();
                try {
                    main.join(5000);
                } catch (InterruptedException late) {
                    Thread.currentThread().interrupt();
                }
            }));
            while (true) {
                for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(100))) {
                    work.apply(JSON.readTree(record.value()));
                }
                consumer.commitSync();
            }
        } catch (WakeupException stopped) {
            Runtime.getRuntime().halt(0);
        }
    }
}
