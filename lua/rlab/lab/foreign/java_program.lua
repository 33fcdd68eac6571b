-- Kafka's own Java client as a child process: producers and consumers of org.apache.kafka:kafka-clients,
-- from the broker's jars, driven line by line.
-- Its few lines of Java are compiled once for this machine, by javac or by Eclipse's compiler (a jar that
-- `make deps` fetches).
local clients = require "rlab.lab.foreign.client"
local defer = require "rlab.defer"
local err = require "rlab.err"
local fs = require "rlab.fs"
local layout = require "rlab.stack.layout"
local must = require "rlab.must"
local tools = require "rlab.stack.tools"

local M = {}

local CLASS = "RlabClients"

-- Speaks the lines of rlab.lab.foreign.client; how long an end may take is its max.block.ms.
local SOURCE = [[
import java.io.*;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.*;

public class RlabClients {
    static String sent(RecordMetadata m) {
        return ",\"partition\":" + m.partition() + ",\"offset\":" + m.offset();
    }

    static final Map<String, KafkaProducer<String, String>> producers = new ConcurrentHashMap<>();
    static final Map<String, Reader> readers = new ConcurrentHashMap<>();
    static final Map<String, ExecutorService> threads = new ConcurrentHashMap<>();

    static Properties settings(String[] w) {
        Properties settings = new Properties();
        for (int i = 2; i < w.length; i++) {
            int equals = w[i].indexOf('=');
            settings.put(w[i].substring(0, equals), w[i].substring(equals + 1));
        }
        return settings;
    }

    static class Reader {
        final KafkaConsumer<String, String> consumer;
        final Map<TopicPartition, OffsetAndMetadata> inHand = new HashMap<>();

        Reader(Properties settings) {
            String topic = (String) settings.remove("topic");
            consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer());
            consumer.subscribe(List.of(topic));
        }

        String poll(int ms) {
            long until = System.nanoTime() + ms * 1_000_000L;
            StringBuilder list = new StringBuilder();
            while (list.length() == 0 && System.nanoTime() < until) {
                for (ConsumerRecord<String, String> r : consumer.poll(Duration.ofMillis(50))) {
                    inHand.put(new TopicPartition(r.topic(), r.partition()),
                        new OffsetAndMetadata(r.offset() + 1));
                    list.append(list.length() == 0 ? "" : ",").append("{\"partition\":" + r.partition()
                        + ",\"offset\":" + r.offset() + ",\"value\":" + quoted(r.value()) + "}");
                }
            }
            return list.length() == 0 ? "" : ",\"records\":[" + list + "]";
        }

        String run(String[] w) {
            switch (w[1]) {
            case "poll": return poll(Integer.parseInt(w[3])); // how many: max.poll.records
            case "commit":
                consumer.commitSync(inHand);
                inHand.clear();
                return "";
            case "close": consumer.close(); return "";
            default: throw new IllegalArgumentException(w[1]);
            }
        }
    }

    static String run(String[] w) throws Exception {
        if (w[1].equals("open")) {
            producers.put(w[0],
                new KafkaProducer<>(settings(w), new StringSerializer(), new StringSerializer()));
            return "";
        }
        if (w[1].equals("consume")) {
            readers.put(w[0], new Reader(settings(w)));
            return "";
        }
        return readers.containsKey(w[0]) ? readers.get(w[0]).run(w) : produce(w);
    }

    static String produce(String[] w) throws Exception {
        KafkaProducer<String, String> p = producers.get(w[0]);
        switch (w[1]) {
        case "init": p.initTransactions(); return "";
        case "begin": p.beginTransaction(); return "";
        case "put": return sent(p.send(new ProducerRecord<>(w[2], w[3], w[4])).get());
        case "send":
            return sent(p.send(new ProducerRecord<>(w[2], Integer.parseInt(w[3]), null, w[4])).get());
        case "commit": p.commitTransaction(); return "";
        case "abort": p.abortTransaction(); return "";
        case "close": p.close(Duration.ofSeconds(2)); return "";
        default: throw new IllegalArgumentException(w[1]);
        }
    }

    static void answer(String line) {
        String[] w = line.split(" ");
        String head = "{\"to\":" + quoted(w[0]) + ",\"ok\":";
        try {
            System.out.println(head + "true" + run(w) + "}");
        } catch (Throwable e) {
            System.out.println(head + "false,\"error\":" + quoted(e.toString()) + "}");
        }
    }

    static String quoted(String s) {
        StringBuilder b = new StringBuilder("\"");
        for (char c : s.toCharArray()) {
            boolean plain = c >= 32 && c <= 126 && c != '"' && c != '\\';
            b.append(plain ? "" + c : String.format("\\u%04x", (int) c));
        }
        return b.append('"').toString();
    }

    public static void main(String[] args) throws Exception {
        Properties about = new Properties();
        about.load(KafkaProducer.class.getResourceAsStream("/kafka/kafka-version.properties"));
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        String version = quoted(about.getProperty("version"));
        System.out.println("{\"to\":\"\",\"ok\":true,\"version\":" + version + "}");
        for (String line; (line = in.readLine()) != null;) {
            String next = line;
            threads.computeIfAbsent(line.split(" ")[0], name -> Executors.newSingleThreadExecutor())
                .submit(() -> answer(next));
        }
        System.exit(0);
    }
}
]]

local function missing(message)
  return nil, err.new { domain = "rlab", code = 0, name = "MISSING", message = message }
end

local function copy(from, to, name)
  return fs.write(("%s/%s"):format(to, name), must(fs.read(("%s/%s"):format(from, name))))
end

local function compile(java, kafka, folder)
  local words, failure = tools.javac(java)
  if not words then return nil, failure end
  local tmp
  tmp, failure = fs.tmpdir "rlab-java"
  if not tmp then return nil, failure end
  local _ <close> = defer(function() fs.remove(tmp) end)
  local source = ("%s/%s.java"):format(tmp, CLASS)
  must(fs.write(source, SOURCE))
  for _, word in ipairs { "-d", tmp, "-cp", kafka.classpath, source } do words[#words + 1] = word end
  local text, status = tools.output(words, "60s")
  if not text or status.code ~= 0 then
    return missing("the Java client does not compile: " .. (text and text:match "[^\n]+" or tostring(status)))
  end
  must(fs.mkdir(folder))
  for _, name in ipairs(must(fs.list(tmp))) do
    if name:find "%.class$" and name ~= CLASS .. ".class" then copy(tmp, folder, name) end
  end
  return copy(tmp, folder, CLASS .. ".class") -- last: it says that all are there
end

-- The folder of the compiled class; a changed source gets another one.
local function class_folder(java, kafka)
  local sum = 5381
  for i = 1, #SOURCE do sum = (sum * 33 + SOURCE:byte(i)) & 0xffffffffffff end
  local folder = ("%s/java-client-%012x"):format(layout.cache(), sum)
  if fs.exists(("%s/%s.class"):format(folder, CLASS)) then return folder end
  local ok, failure = compile(java, kafka, folder)
  if not ok then return nil, failure end
  return folder
end

-- ---- the process: one for an arm, with a producer for each name ----

local function command(java, kafka, folder)
  local cmd = { java.path, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto" }
  -- good for class paths that begin as the brokers' does
  local archive = require("rlab.stack.kafka").archive { java = java, kafka = kafka }
  if archive then cmd[#cmd + 1] = "-XX:SharedArchiveFile=" .. archive end
  return table.move({ "-cp", kafka.classpath .. ":" .. folder, CLASS }, 1, 3, #cmd + 1, cmd)
end

-- start(lab, tag) -> client (rlab.lab.foreign.client); inconclusive, with what is missing, where it cannot
--   run
function M.start(lab, tag)
  local java, kafka = must(tools.java()), must(tools.kafka())
  local folder, failure = class_folder(java, kafka)
  if not folder then lab:give_up("%s", failure.message) end
  return clients.start(lab, { tag = tag, says = "the Java client", cmd = command(java, kafka, folder) })
end

return M
