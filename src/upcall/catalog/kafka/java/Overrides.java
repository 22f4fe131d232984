package upcall;

import java.io.BufferedReader;
import java.io.FileInputStream;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.common.config.ConfigResource;

/**
 * Takes settings of its own away from a broker that need not run: {@code Overrides CONTROLLER PROPERTIES BROKER}, and on
 * the standard input one name a line.
 *
 * <p>They are records in the metadata, which the controllers keep, and a broker that cannot live with one reads it at each
 * start. Brokers take such a change for themselves alone, and Kafka's own tool first asks the broker what it has; the
 * active controller takes it for any.
 */
public final class Overrides {
    private static final long WAIT_S = 20;

    private Overrides() {}

    public static void main(String[] arguments) throws Exception {
        try {
            takeAway(arguments);
        } catch (Exception error) {
            Throwable cause = error;
            while (cause.getCause() != null) {
                cause = cause.getCause();
            }
            System.err.println(cause); // In one line: whoever ran this reads the last one.
            System.exit(1);
        }
    }

    private static void takeAway(String[] arguments) throws Exception {
        Properties properties = new Properties();
        try (FileInputStream file = new FileInputStream(arguments[1])) {
            properties.load(file);
        }
        properties.put("bootstrap.controllers", arguments[0]);
        String wait = String.valueOf(TimeUnit.SECONDS.toMillis(WAIT_S));
        properties.put("default.api.timeout.ms", wait);
        properties.put("request.timeout.ms", wait);
        List<AlterConfigOp> changes = new ArrayList<>();
        BufferedReader given = new BufferedReader(new InputStreamReader(System.in));
        for (String line = given.readLine(); line != null; line = given.readLine()) {
            changes.add(new AlterConfigOp(new ConfigEntry(line.strip(), null), AlterConfigOp.OpType.DELETE));
        }
        ConfigResource broker = new ConfigResource(ConfigResource.Type.BROKER, arguments[2]);
        Map<ConfigResource, Collection<AlterConfigOp>> wanted = Map.of(broker, changes);
        try (Admin admin = Admin.create(properties)) {
            admin.incrementalAlterConfigs(wanted).all().get(WAIT_S * 2, TimeUnit.SECONDS);
        }
    }
}
