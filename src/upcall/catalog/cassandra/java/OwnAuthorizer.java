package upcall;

import java.nio.ByteBuffer;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import org.apache.cassandra.auth.AuthenticatedUser;
import org.apache.cassandra.auth.CassandraAuthorizer;
import org.apache.cassandra.auth.IResource;
import org.apache.cassandra.auth.Permission;
import org.apache.cassandra.auth.RoleResource;
import org.apache.cassandra.cql3.QueryProcessor;
import org.apache.cassandra.cql3.UntypedResultSet;
import org.apache.cassandra.db.ConsistencyLevel;
import org.apache.cassandra.db.marshal.UTF8Type;
import org.apache.cassandra.utils.ByteBufferUtil;

/**
 * Nobody is taken for one without permissions because one copy says so.
 *
 * <p>Permissions are read from one copy, so that who may do what is known while most nodes are away, and what was found
 * is remembered for a while. A copy that missed a grant (a busy node drops what it does not get to in time, and is told
 * of it later) would have somebody refused who was granted all before he could log in. So where one copy knows of no
 * permission on all data, or all functions, a majority is asked: a grant is acknowledged by one. When that does not
 * answer, neither do we, and nothing is remembered.
 *
 * <p>Only there: of a single table hardly any role has permissions of its own, and each request asks for those too.
 */
public final class OwnAuthorizer extends CassandraAuthorizer {
    private static final String PERMISSIONS =
            "SELECT permissions FROM system_auth.role_permissions WHERE role = ? AND resource = ?";

    @Override
    public Set<Permission> authorize(AuthenticatedUser user, IResource resource) {
        Set<Permission> found = super.authorize(user, resource);
        if (!found.isEmpty() || resource.hasParent()) {
            return found;
        }
        Set<Permission> confirmed = EnumSet.noneOf(Permission.class);
        for (RoleResource role : user.getRoles()) {
            List<ByteBuffer> asked =
                    List.of(ByteBufferUtil.bytes(role.getRoleName()), ByteBufferUtil.bytes(resource.getName()));
            for (UntypedResultSet.Row row : QueryProcessor.process(PERMISSIONS, ConsistencyLevel.QUORUM, asked)) {
                if (row.has("permissions")) {
                    row.getSet("permissions", UTF8Type.instance)
                            .forEach(permission -> confirmed.add(Permission.valueOf(permission)));
                }
            }
        }
        return confirmed;
    }
}
