package upcall;

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import org.apache.cassandra.auth.ConfirmedRoles;
import org.apache.cassandra.auth.DataResource;
import org.apache.cassandra.auth.FunctionResource;
import org.apache.cassandra.auth.IResource;
import org.apache.cassandra.cql3.QueryProcessor;
import org.apache.cassandra.db.ConsistencyLevel;
import org.mindrot.jbcrypt.BCrypt;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A ring that never knew a default password.
 *
 * <p>Cassandra's own role manager makes the superuser {@code cassandra} with the password {@code cassandra}, and
 * whoever logs in first may change it. This one makes two roles instead, with passwords from files that only the node
 * reads: {@code admin}, the superuser of whoever runs the ring, and {@code client}, which may do all with data and
 * functions and nothing with roles.
 *
 * <p>Each node makes what it does not find, with the same result, and with the oldest timestamp there is: whatever a
 * person changed later wins. A node says that the roles are there when every copy was written, for one copy is the
 * first to be asked; a ring in which some never come up waits for them only so long.
 */
public final class OwnRoles extends ConfirmedRoles {
    private static final Logger LOG = LoggerFactory.getLogger(OwnRoles.class);
    /** Of a new hash. The passwords are random and long: what a slow hash guards against cannot happen to them. */
    private static final int HASH_ROUNDS_LOG2 = 4;
    private static final long WAIT_FOR_ALL_COPIES_NS = 60_000_000_000L;

    private final long since = System.nanoTime();

    @Override
    protected void scheduleSetupTask(Callable<Void> ofDefaultRole) {
        super.scheduleSetupTask(this::setUp);
    }

    private Void setUp() throws Exception {
        make("client", false, DataResource.root(), FunctionResource.root());
        make("admin", true);
        LOG.info("Roles are there");
        return null;
    }

    /**
     * First what it may do, then the role itself, for nodes remember for a while what they found of who logged in.
     * Whoever makes the role has written the grants himself: one that is found may be another node's that is still on
     * its way to the other copies.
     */
    private void make(String role, boolean superuser, IResource... mayUse) throws Exception {
        if (isKnown(role)) {
            return;
        }
        for (IResource resource : mayUse) {
            grant(role, resource);
        }
        Path file = Path.of(System.getProperty("upcall.password." + role));
        String password = new String(Files.readAllBytes(file), StandardCharsets.UTF_8).trim();
        String hash = BCrypt.hashpw(password, BCrypt.gensalt(HASH_ROUNDS_LOG2));
        write("INSERT INTO system_auth.roles (role, is_superuser, can_login, salted_hash) VALUES ('" + role + "', "
                + superuser + ", true, '" + hash + "') USING TIMESTAMP 0");
    }

    /** All that may be done with the resource, as a GRANT writes it: the permissions, and the way back to them. */
    private void grant(String role, IResource resource) throws Exception {
        String all = resource.applicablePermissions().stream()
                .map(permission -> "'" + permission + "'").collect(Collectors.joining(", ", "{", "}"));
        write("INSERT INTO system_auth.resource_role_permissons_index (resource, role) VALUES ('" + resource.getName()
                + "', '" + role + "') USING TIMESTAMP 0");
        write("UPDATE system_auth.role_permissions USING TIMESTAMP 0 SET permissions = permissions + " + all
                + " WHERE role = '" + role + "' AND resource = '" + resource.getName() + "'");
    }

    private static boolean isKnown(String role) throws Exception {
        String query = "SELECT role FROM system_auth.roles WHERE role = '" + role + "'";
        return !QueryProcessor.process(query, ConsistencyLevel.ONE).isEmpty();
    }

    private void write(String statement) throws Exception {
        boolean waited = System.nanoTime() - since > WAIT_FOR_ALL_COPIES_NS;
        QueryProcessor.process(statement, waited ? ConsistencyLevel.QUORUM : ConsistencyLevel.ALL);
    }
}
