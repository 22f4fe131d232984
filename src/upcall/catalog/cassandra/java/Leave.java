package upcall;

import java.util.concurrent.atomic.AtomicReference;
import javax.management.MBeanServerConnection;
import javax.management.ObjectName;
import javax.management.remote.rmi.RMIConnector;

/**
 * Has a node begin to leave its ring: {@code Leave HOST PORT PASSWORD_FILE}. Ends once it leaves, or has left, which it
 * goes on with by itself; asked again it begins nothing twice.
 *
 * <p>A node keeps a list of the ranges that it has streamed away, and leaves these out when it decommissions again. After
 * a start in between it was a member of the ring, and what was written meanwhile is not where those ranges went. So a node
 * that is a member forgets the list first (it is Cassandra's own to do so only in later versions, CASSANDRA-16290).
 */
public final class Leave {
    private static final long LOOK_MS = 200;

    private Leave() {}

    public static void main(String[] arguments) throws Exception {
        RMIConnector connector = Jmx.connected(arguments);
        MBeanServerConnection node = connector.getMBeanServerConnection();
        ObjectName service = new ObjectName("org.apache.cassandra.db:type=StorageService");
        if (leaves(node, service)) {
            System.exit(0);
        }
        try {
            if (mode(node, service).equals("NORMAL")) {
                String[] table = {"system", "transferred_ranges_v2"};
                String text = String.class.getName();
                node.invoke(service, "truncate", table, new String[] {text, text});
            }
        } catch (Exception error) {
            throw Jmx.refused("what it streamed away before cannot be forgotten: " + Jmx.words(error));
        }
        AtomicReference<Exception> failed = new AtomicReference<>();
        Thread leaving = new Thread(() -> {
            try {
                node.invoke(service, "decommission", new Object[] {false}, new String[] {"boolean"});
            } catch (Exception error) {
                failed.set(error);
            }
        });
        leaving.setDaemon(true);
        leaving.start();
        while (leaving.isAlive() && !leaves(node, service)) {
            Thread.sleep(LOOK_MS);
        }
        if (failed.get() != null) {
            throw Jmx.refused(Jmx.words(failed.get()));
        }
        System.exit(0);
    }

    private static String mode(MBeanServerConnection node, ObjectName service) throws Exception {
        return (String) node.getAttribute(service, "OperationMode");
    }

    private static boolean leaves(MBeanServerConnection node, ObjectName service) throws Exception {
        String mode = mode(node, service);
        return mode.equals("LEAVING") || mode.equals("DECOMMISSIONED");
    }
}
