package upcall;

import java.nio.file.Files;
import java.nio.file.Path;
import java.rmi.registry.LocateRegistry;
import java.util.Map;
import javax.management.remote.JMXConnector;
import javax.management.remote.rmi.RMIConnector;
import javax.management.remote.rmi.RMIServer;

/** How our tools reach a node: {@code HOST PORT PASSWORD_FILE}, in which one line has user and password. */
final class Jmx {
    /** A tool ends so when the node refused what was asked; the reason is on the standard error output. */
    private static final int REFUSED = 3;

    private Jmx() {}

    static RMIConnector connected(String[] arguments) throws Exception {
        String[] login = Files.readString(Path.of(arguments[2])).trim().split("\\s+", 2);
        RMIServer server = (RMIServer) LocateRegistry.getRegistry(arguments[0], Integer.parseInt(arguments[1]))
                .lookup("jmxrmi");
        RMIConnector connector = new RMIConnector(server, Map.of());
        connector.connect(Map.of(JMXConnector.CREDENTIALS, login));
        return connector;
    }

    static RuntimeException refused(String why) {
        System.err.println(why.replaceAll("\\s+", " "));
        System.exit(REFUSED);
        return new IllegalStateException(why);
    }

    /** What the node itself said, below what carried it. */
    static String words(Throwable error) {
        Throwable cause = error;
        while (cause.getCause() != null) {
            cause = cause.getCause();
        }
        return cause.getMessage();
    }
}
