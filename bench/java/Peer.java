import java.lang.management.ManagementFactory;
import java.util.Locale;
import java.util.Properties;

/** What the Java programs of the bench share: the clocks that are compared, the lines of JSON that tell of them, and properties from name=value words. */
final class Peer {
  private static final double SECOND = 1e9;
  private static double began, cpuBegan;

  private Peer() {}

  private static double now() {
    return System.nanoTime() / SECOND;
  }

  /** CPU seconds of all threads: the collector's and the compiler's too. */
  private static double cpu() {
    return ((com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getProcessCpuTime() / SECOND;
  }

  private static void say(String line) {
    System.out.println(line);
    System.out.flush();
  }

  static void ready() {
    say("{\"ready\":true}");
  }

  static synchronized void start() {
    say("{\"started\":true}");
    began = now();
    cpuBegan = cpu();
  }

  static synchronized void report(long records) {
    say(String.format(Locale.ROOT, "{\"records\":%d,\"failed\":0,\"seconds\":%.6f,\"cpu\":%.6f}", records, now() - began, cpu() - cpuBegan));
  }

  static Properties properties(String[] words, int from) {
    Properties all = new Properties();
    for (int i = from; i < words.length; i++) {
      int at = words[i].indexOf('=');
      if (at < 0) throw new IllegalArgumentException(words[i] + ": name=value expected");
      all.put(words[i].substring(0, at), words[i].substring(at + 1));
    }
    return all;
  }

  /** A thread that fails ends the program: half a result is none. */
  static void dieOfFailures() {
    Thread.setDefaultUncaughtExceptionHandler((thread, failure) -> die(failure));
  }

  static void die(Throwable failure) {
    Throwable deepest = failure;
    while (deepest.getCause() != null) deepest = deepest.getCause();
    System.err.println("failed: " + deepest);
    System.err.flush();
    Runtime.getRuntime().halt(1);
  }
}
