package org.apache.cassandra.auth;

import org.apache.cassandra.cql3.QueryOptions;
import org.apache.cassandra.cql3.UntypedResultSet;
import org.apache.cassandra.cql3.statements.SelectStatement;
import org.apache.cassandra.db.ConsistencyLevel;
import org.apache.cassandra.transport.messages.ResultMessage;

/**
 * Nobody is unknown because one copy does not know him.
 *
 * <p>Roles are read from one copy, so that people can log in while most nodes are away. A copy that missed a write (a
 * busy node drops what it does not get to in time, and is told of it later) would have somebody refused who is there,
 * or know half of him: what was written after what it missed. So where one copy does not know all, a majority is
 * asked: what was acknowledged is known to one. When that does not answer, neither do we, and nothing is remembered.
 *
 * <p>In this package because only here is the one place through which all its reads of single roles go.
 */
public class ConfirmedRoles extends CassandraRoleManager {
    @Override
    ResultMessage.Rows select(SelectStatement statement, QueryOptions options) {
        ResultMessage.Rows found = super.select(statement, options);
        return knows(found, "is_superuser") ? found : super.select(statement, ofMajority(options));
    }

    static boolean knows(ResultMessage.Rows found, String column) {
        return !found.result.isEmpty() && UntypedResultSet.create(found.result).one().has(column);
    }

    static QueryOptions ofMajority(QueryOptions options) {
        return QueryOptions.forInternalCalls(ConsistencyLevel.QUORUM, options.getValues());
    }
}
