import java.util.Map;
import org.flywaydb.core.Flyway;
import org.flywaydb.core.api.FlywayException;
import org.flywaydb.core.api.MigrationInfo;

/**
 * Runs Flyway on one schema: {@code Migrate COMMAND URL USER FOLDER}, the password in RLAB_PASSWORD. COMMAND is migrate, info or validate.
 * Prints lines of tab-separated words, "migration VERSION DESCRIPTION STATE INSTALLED" and at the end "done COUNT"; a failure is one line
 * "error MESSAGE" and status 1.
 */
public class Migrate {
  private static String word(Object value) {
    return value == null ? "" : value.toString().replaceAll("\\s+", " ").trim();
  }

  private static int list(Flyway flyway) {
    MigrationInfo[] all = flyway.info().all();
    for (MigrationInfo one : all) {
      System.out.println(String.join("\t", "migration", word(one.getVersion()), word(one.getDescription()), word(one.getState().getDisplayName()),
          word(one.getInstalledOn() == null ? null : one.getInstalledOn().toInstant())));
    }
    return all.length;
  }

  private static int run(String command, Flyway flyway) {
    switch (command) {
      case "migrate":
        return flyway.migrate().migrationsExecuted;
      case "validate":
        flyway.validate();
        return flyway.info().applied().length;
      default:
        return list(flyway);
    }
  }

  /** "Script V4__x.sql failed ... SQL State : 42000 Error Code : 1064 Message : You have an error ... Location : ... Line : 3" */
  private static String reason(Throwable failure) {
    Throwable deepest = failure;
    while (deepest.getCause() != null) deepest = deepest.getCause();
    String outer = word(failure.getMessage()), inner = word(deepest.getMessage());
    return outer.contains(inner) ? outer : outer + ": " + inner;
  }

  public static void main(String[] args) {
    java.util.logging.LogManager.getLogManager().reset();
    try {
      Flyway flyway = Flyway.configure().dataSource(args[1], args[2], System.getenv("RLAB_PASSWORD")).locations("filesystem:" + args[3])
          .configuration(Map.of("flyway.cleanDisabled", "true")).load();
      System.out.println("done\t" + run(args[0], flyway));
    } catch (FlywayException failure) {
      System.out.println("error\t" + reason(failure));
      System.exit(1);
    }
  }
}
