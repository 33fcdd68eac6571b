import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.UUID;
import java.util.concurrent.CyclicBarrier;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * The same work as bench/consume_loop.c by Kafka's client for Java and Connector/J, with the same statements: one transaction a batch of dedup rows, the read
 * model summed up per account, and effects; the offsets after.
 *
 *     ConsumeBatch plain|bare HOST PORT USER PASSWORD SCHEMA TOPIC PARTITIONS RECORDS BATCH PASSES [property=value]...
 *
 * A thread, a consumer and a connection a partition. The topic is applied PASSES times, on empty tables each time; the last pass is the one that is measured.
 * plain: as one writes it, with Jackson, and prepared statements in batches that Connector/J rewrites to one statement of many rows (rewriteBatchedStatements).
 * bare: as the C program does it, the fields from the bytes of the record and the statements as text. Nothing is checked that the work does not need.
 */
public class ConsumeBatch {
  private static final int ACCOUNTS = 1 << 16, ID = 36, TEXT = 1 << 18, WAIT_MS = 100, COMMIT_NS = 100_000_000;
  private static final byte[] ACCOUNT = name("account_id"), AMOUNT = name("amount"), VERSION = name("version");
  private static final String DEDUP = "INSERT INTO processed_event (consumer, event_id) VALUES ";
  private static final String EFFECTS = "INSERT INTO effect_log (event_id, account_id, version, member) VALUES ";
  private static final String VIEW = "INSERT INTO account_view (account_id, balance, version, entries) VALUES ";
  private static final String UPDATE = " AS new ON DUPLICATE KEY UPDATE balance = account_view.balance + new.balance,"
      + " version = GREATEST(account_view.version, new.version), entries = account_view.entries + new.entries";

  private final TopicPartition partition;
  private final KafkaConsumer<byte[], byte[]> consumer;
  private final Statement statement;
  final long[] amounts = new long[ACCOUNTS], versions = new long[ACCOUNTS], entries = new long[ACCOUNTS];
  final int[] touched = new int[ACCOUNTS];
  private final StringBuilder dedup = new StringBuilder(TEXT), view = new StringBuilder(TEXT), effects = new StringBuilder(TEXT);
  int accounts;
  private long next, committed = System.nanoTime();

  ConsumeBatch(String[] args, int number) throws SQLException {
    Properties properties = Peer.properties(args, 10);
    properties.put("max.poll.records", args[8]);
    partition = new TopicPartition(args[5], number);
    consumer = new KafkaConsumer<>(properties, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    consumer.assign(List.of(partition));
    statement = connect(args).createStatement();
    statement.execute("SET SESSION transaction_isolation = 'READ-COMMITTED'");
    connection().setAutoCommit(false);
  }

  final Connection connection() throws SQLException {
    return statement.getConnection();
  }

  private static Connection connect(String[] args) throws SQLException {
    String url = "jdbc:mysql://" + args[0] + ":" + args[1] + "/" + args[4]
        + "?allowPublicKeyRetrieval=true&sslMode=DISABLED&useLocalSessionState=true&cacheServerConfiguration=true&maintainTimeStats=false"
        + "&rewriteBatchedStatements=true";
    return DriverManager.getConnection(url, args[2], args[3]);
  }

  private static byte[] name(String field) {
    return ("\"" + field + "\":").getBytes(StandardCharsets.US_ASCII);
  }

  private static int find(byte[] text, byte[] name) {
    for (int i = 0, end = text.length - name.length; i < end; i++) {
      if (text[i] == '"' && Arrays.equals(text, i, i + name.length, name, 0, name.length)) return i + name.length;
    }
    throw new IllegalArgumentException("a record without " + new String(name, StandardCharsets.US_ASCII));
  }

  private static long field(byte[] text, byte[] name) {
    int at = find(text, name);
    boolean negative = text[at] == '-';
    long value = 0;
    for (int i = negative ? at + 1 : at; text[i] >= '0' && text[i] <= '9'; i++) value = value * 10 + text[i] - '0';
    return negative ? -value : value;
  }

  private static StringBuilder putId(StringBuilder to, byte[] uuid) {
    to.append("0x");
    for (int i = 0; i < ID; i++) {
      if (uuid[i] != '-') to.append((char) uuid[i]);
    }
    return to;
  }

  final void add(int account, long amount, long version) {
    if (entries[account]++ == 0) touched[accounts++] = account;
    amounts[account] += amount;
    versions[account] = Math.max(versions[account], version);
  }

  void take(ConsumerRecord<byte[], byte[]> record) throws Exception {
    byte[] id = record.headers().lastHeader("event-id").value(), value = record.value();
    long account = field(value, ACCOUNT), version = field(value, VERSION);
    add((int) account, field(value, AMOUNT), version);
    putId(dedup.append(dedup.length() == 0 ? DEDUP : ",").append("('bench',"), id).append(')');
    putId(effects.append(effects.length() == 0 ? EFFECTS : ",").append('('), id).append(',').append(account).append(',').append(version).append(",'bench')");
  }

  private void makeView() {
    for (int i = 0; i < accounts; i++) {
      int a = touched[i];
      view.append(i == 0 ? VIEW : ",").append('(').append(a).append(',').append(amounts[a]).append(',').append(versions[a]).append(',').append(entries[a])
          .append(')');
      amounts[a] = versions[a] = entries[a] = 0;
    }
    view.append(UPDATE);
  }

  private void execute(StringBuilder text) throws SQLException {
    statement.executeUpdate(text.toString());
    text.setLength(0);
  }

  private void commitOffset() {
    if (System.nanoTime() - committed < COMMIT_NS) return;
    consumer.commitAsync(Map.of(partition, new OffsetAndMetadata(next)), null);
    committed = System.nanoTime();
  }

  void write() throws SQLException {
    makeView();
    execute(dedup);
    execute(view);
    execute(effects);
  }

  private void apply(List<ConsumerRecord<byte[], byte[]>> records) throws Exception {
    for (ConsumerRecord<byte[], byte[]> record : records) take(record);
    Arrays.sort(touched, 0, accounts);
    write();
    accounts = 0;
    connection().commit();
    next = records.get(records.size() - 1).offset() + 1;
    commitOffset();
  }

  private void pass(long end) throws Exception {
    consumer.seekToBeginning(List.of(partition));
    for (next = 0; next < end;) {
      List<ConsumerRecord<byte[], byte[]>> records = consumer.poll(Duration.ofMillis(WAIT_MS)).records(partition);
      if (!records.isEmpty()) apply(records);
    }
  }

  /** Where the partition ends: nobody writes any more. */
  private long end() {
    return consumer.endOffsets(List.of(partition)).get(partition);
  }

  private void run(int passes, CyclicBarrier between) throws Exception {
    long end = end();
    for (int i = 0; i < passes; i++) {
      between.await();
      pass(end);
    }
    between.await();
  }

  private static void empty(Connection db) throws SQLException {
    try (Statement statement = db.createStatement()) {
      for (String table : new String[] {"processed_event", "effect_log", "account_view"}) statement.execute("TRUNCATE " + table);
    }
  }

  /** Between two passes, when all threads are there. */
  private static Runnable turn(Connection db, int passes, long records) {
    int[] done = {0};
    return () -> {
      try {
        if (done[0] == passes) {
          Peer.report(records);
          Runtime.getRuntime().halt(0);
        }
        empty(db);
        if (++done[0] == passes) Peer.start();
      } catch (SQLException failure) {
        Peer.die(failure);
      }
    };
  }

  /** With the libraries that one takes for it. */
  private static final class Plain extends ConsumeBatch {
    private final ObjectMapper json = new ObjectMapper();
    private final PreparedStatement dedup, view, effects;

    Plain(String[] args, int number) throws SQLException {
      super(args, number);
      Connection db = connection();
      dedup = db.prepareStatement(DEDUP + "('bench',?)");
      view = db.prepareStatement(VIEW + "(?,?,?,?)" + UPDATE);
      effects = db.prepareStatement(EFFECTS + "(?,?,?,'bench')");
    }

    private static byte[] id(ConsumerRecord<byte[], byte[]> record) {
      UUID id = UUID.fromString(new String(record.headers().lastHeader("event-id").value(), StandardCharsets.US_ASCII));
      return ByteBuffer.allocate(16).putLong(id.getMostSignificantBits()).putLong(id.getLeastSignificantBits()).array();
    }

    @Override
    void take(ConsumerRecord<byte[], byte[]> record) throws Exception {
      JsonNode event = json.readTree(record.value());
      int account = event.get("account_id").intValue();
      long version = event.get("version").longValue();
      byte[] id = id(record);
      add(account, event.get("amount").longValue(), version);
      dedup.setBytes(1, id);
      dedup.addBatch();
      effects.setBytes(1, id);
      effects.setLong(2, account);
      effects.setLong(3, version);
      effects.addBatch();
    }

    @Override
    void write() throws SQLException {
      for (int i = 0; i < accounts; i++) {
        int a = touched[i];
        view.setInt(1, a);
        view.setLong(2, amounts[a]);
        view.setLong(3, versions[a]);
        view.setLong(4, entries[a]);
        view.addBatch();
        amounts[a] = versions[a] = entries[a] = 0;
      }
      dedup.executeBatch();
      view.executeBatch();
      effects.executeBatch();
    }
  }

  public static void main(String[] words) throws Exception {
    Peer.dieOfFailures();
    boolean plain = words[0].equals("plain");
    String[] args = Arrays.copyOfRange(words, 1, words.length);
    int partitions = Integer.parseInt(args[6]), passes = Integer.parseInt(args[9]);
    CyclicBarrier between = new CyclicBarrier(partitions, turn(connect(args), passes, Long.parseLong(args[7])));
    for (int p = 0; p < partitions; p++) {
      ConsumeBatch lane = plain ? new Plain(args, p) : new ConsumeBatch(args, p);
      new Thread(() -> {
        try {
          lane.run(passes, between);
        } catch (Throwable failure) {
          Peer.die(failure);
        }
      }).start();
    }
  }
}
