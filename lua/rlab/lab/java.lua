-- Kafka's own Java client as a child process: a transactional producer of org.apache.kafka:kafka-clients, from the broker's jars, driven line by line.
-- Its few lines of Java are compiled once for this machine, by javac or by Eclipse's compiler (a jar that `make deps` fetches).
local err = require "rlab.err"
local fs = require "rlab.fs"
local json = require "rlab.json"
local layout = require "rlab.stack.layout"
local must = require "rlab.must"
local process = require "rlab.process"
local tools = require "rlab.stack.tools"

local M = {}

local CLASS = "RlabTransactions"
local ANSWER_AT_MOST = "30s"

-- Lines in: init | begin | send TOPIC PARTITION VALUE | commit | abort | quit. A line of JSON for each out.
local SOURCE = [[
import java.io.*;
import java.util.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.serialization.StringSerializer;

public class RlabTransactions {
    static String sent(RecordMetadata m) { return ",\"partition\":" + m.partition() + ",\"offset\":" + m.offset(); }

    static String run(KafkaProducer<String, String> p, String[] w) throws Exception {
        switch (w[0]) {
        case "init": p.initTransactions(); return "";
        case "begin": p.beginTransaction(); return "";
        case "send": return sent(p.send(new ProducerRecord<>(w[1], Integer.parseInt(w[2]), null, w[3])).get());
        case "commit": p.commitTransaction(); return "";
        case "abort": p.abortTransaction(); return "";
        default: throw new IllegalArgumentException(w[0]);
        }
    }

    static String quoted(String s) {
        StringBuilder b = new StringBuilder("\"");
        for (char c : s.toCharArray()) b.append(c < 32 || c > 126 || c == '"' || c == '\\' ? String.format("\\u%04x", (int) c) : "" + c);
        return b.append('"').toString();
    }

    public static void main(String[] args) throws Exception {
        Properties settings = new Properties();
        for (String arg : args) settings.put(arg.substring(0, arg.indexOf('=')), arg.substring(arg.indexOf('=') + 1));
        KafkaProducer<String, String> p = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer());
        Properties about = new Properties();
        about.load(KafkaProducer.class.getResourceAsStream("/kafka/kafka-version.properties"));
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        System.out.println("{\"ok\":true,\"version\":" + quoted(about.getProperty("version")) + "}");
        for (String line; (line = in.readLine()) != null && !line.equals("quit");) {
            try {
                System.out.println("{\"ok\":true" + run(p, line.split(" ")) + "}");
            } catch (Throwable e) {
                System.out.println("{\"ok\":false,\"error\":" + quoted(e.toString()) + "}");
            }
        }
        p.close();
        System.exit(0);
    }
}
]]

local function missing(message)
  return nil, err.new { domain = "rlab", code = 0, name = "MISSING", message = message }
end

-- The compiler's words up to the sources' name.
local function compiler(java)
  local javac = tools.which("javac", java.path:gsub("/java$", ""))
  if javac then return { javac, "--release", "17" } end
  local flyway = tools.flyway()
  for _, name in ipairs(flyway and fs.list(flyway.root .. "/libs") or {}) do
    if name:match "^ecj%-.*%.jar$" then return { java.path, "-jar", flyway.root .. "/libs/" .. name, "-17", "-proc:none" } end
  end
  return missing "no Java compiler: run make deps (it fetches Eclipse's), or install a JDK"
end

local function compile(java, kafka, folder)
  local words, failure = compiler(java)
  if not words then return nil, failure end
  local tmp
  tmp, failure = fs.tmpdir "rlab-java"
  if not tmp then return nil, failure end
  local _ <close> = setmetatable({}, { __close = function() fs.remove(tmp) end })
  local source = ("%s/%s.java"):format(tmp, CLASS)
  must(fs.write(source, SOURCE))
  for _, word in ipairs { "-d", tmp, "-cp", kafka.classpath, source } do words[#words + 1] = word end
  local text, status = tools.output(words, "60s")
  if not text or status.code ~= 0 then return missing("the Java client does not compile: " .. (text and text:match "[^\n]+" or tostring(status))) end
  must(fs.mkdir(folder))
  return fs.write(("%s/%s.class"):format(folder, CLASS), must(fs.read(("%s/%s.class"):format(tmp, CLASS))))
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

local Producer = {}
Producer.__index = Producer

local function ask(p, line)
  must(p.process:write(line .. "\n"))
  local answer = require("rlab.task").timeout(ANSWER_AT_MOST, p.next)
  if not answer then p.lab:give_up("the Java client did not answer '%s' within %s; its log: %s.log", line, ANSWER_AT_MOST, p.tag) end
  local reply = must(json.decode(answer))
  if reply.ok then return reply end
  return nil, err.new { domain = "java", code = 0, name = reply.error:match "([%w]+Exception)" or "ERROR", message = reply.error }
end

function Producer:init_transactions() return ask(self, "init") end

function Producer:begin() return ask(self, "begin") end

-- send{topic=, partition=, value=} -> {partition, offset} | nil, err
function Producer:send(record) return ask(self, ("send %s %d %s"):format(record.topic, record.partition, record.value)) end

function Producer:commit() return ask(self, "commit") end

function Producer:abort() return ask(self, "abort") end

function Producer:close()
  self.process:write "quit\n"
  if not self.process:wait "5s" then
    self.process:kill "KILL"
    self.process:wait "5s"
  end
  self.process:close()
end

local function command(java, kafka, folder, settings)
  local cmd = { java.path, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-cp", folder .. ":" .. kafka.classpath, CLASS }
  local words = {}
  for key, value in pairs(settings) do words[#words + 1] = ("%s=%s"):format(key, value) end
  table.sort(words)
  return table.move(words, 1, #words, #cmd + 1, cmd)
end

-- java_producer{["transactional.id"] =, ["bootstrap.servers"] =, ...} -> a transactional producer of the Java client; .version of kafka-clients.
-- Inconclusive, with what is missing, where it cannot run.
function M.java_producer(lab, settings)
  local java, kafka = must(tools.java()), must(tools.kafka())
  local folder, failure = class_folder(java, kafka)
  if not folder then lab:give_up("%s", failure.message) end
  local tag = require("rlab.lab.children").tag(lab, "java")
  local child = must(process.spawn { cmd = command(java, kafka, folder, settings), stdin = "pipe", stdout = "capture",
    stderr = ("%s/%s.log"):format(lab.run.dir, tag) })
  local p = setmetatable({ lab = lab, tag = tag, process = child, next = child:lines() }, Producer)
  lab:own(p)
  local hello = require("rlab.task").timeout(ANSWER_AT_MOST, p.next)
  if not hello then lab:give_up("the Java client did not start; its log: %s.log", tag) end
  p.version = must(json.decode(hello)).version
  lab.client_settings = lab.client_settings or {}
  table.insert(lab.client_settings, { kind = "java producer", settings = settings })
  return p
end

return M
