package org.apache.cassandra.auth;

import org.apache.cassandra.cql3.QueryOptions;
import org.apache.cassandra.cql3.QueryProcessor;
import org.apache.cassandra.cql3.statements.SelectStatement;
import org.apache.cassandra.service.ClientState;
import org.apache.cassandra.transport.messages.ResultMessage;

/**
 * Nobody is refused because one copy has no password of his: see {@link ConfirmedRoles}.
 *
 * <p>The majority is asked for the whole role: what its answer repairs on a late copy are the columns that were asked
 * for, and a copy with a password alone would know half of somebody.
 */
public final class ConfirmedPasswords extends PasswordAuthenticator {
    private SelectStatement wholeRole;

    @Override
    public void setup() {
        super.setup();
        wholeRole = (SelectStatement) QueryProcessor.getStatement(
                "SELECT * FROM system_auth.roles WHERE role = ?", ClientState.forInternalCalls());
    }

    @Override
    ResultMessage.Rows select(SelectStatement ofPassword, QueryOptions options) {
        ResultMessage.Rows found = super.select(ofPassword, options);
        boolean known = ConfirmedRoles.knows(found, "salted_hash");
        return known ? found : super.select(wholeRole, ConfirmedRoles.ofMajority(options));
    }
}
