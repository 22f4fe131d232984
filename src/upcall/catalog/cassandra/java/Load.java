package upcall;

import javax.management.ObjectName;
import javax.management.remote.rmi.RMIConnector;

/**
 * Has a node load the sstables of a folder ({@code KEYSPACE/TABLE}) into the ring, each row to the nodes that keep it:
 * {@code Load HOST PORT PASSWORD_FILE FOLDER}. Ends once they have it.
 */
public final class Load {
    private Load() {}

    public static void main(String[] arguments) throws Exception {
        RMIConnector connector = Jmx.connected(arguments);
        ObjectName service = new ObjectName("org.apache.cassandra.db:type=StorageService");
        try {
            connector.getMBeanServerConnection().invoke(
                    service, "bulkLoad", new Object[] {arguments[3]}, new String[] {String.class.getName()});
        } catch (Exception error) {
            throw Jmx.refused("not loaded: " + Jmx.words(error));
        }
        System.exit(0);
    }
}
