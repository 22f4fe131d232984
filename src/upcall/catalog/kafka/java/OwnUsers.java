package upcall;

import java.security.NoSuchAlgorithmException;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import javax.security.auth.callback.Callback;
import javax.security.auth.callback.NameCallback;
import javax.security.auth.callback.UnsupportedCallbackException;
import javax.security.auth.login.AppConfigurationEntry;
import org.apache.kafka.common.security.auth.AuthenticateCallbackHandler;
import org.apache.kafka.common.security.scram.ScramCredential;
import org.apache.kafka.common.security.scram.ScramCredentialCallback;
import org.apache.kafka.common.security.scram.internals.ScramFormatter;
import org.apache.kafka.common.security.scram.internals.ScramMechanism;

/**
 * SCRAM for users that stand in the broker's own settings: {@code user_NAME="password"} in a listener's JAAS entry, as
 * Kafka writes it for PLAIN.
 *
 * <p>Kafka keeps the users of SCRAM in its metadata. Its controllers cannot read them before they have agreed, and
 * cannot agree before they have let each other in. PLAIN would do, but it tells the password to whoever listens at the
 * address of a broker that is away. With SCRAM both sides prove that they know it, and neither says it.
 */
public final class OwnUsers implements AuthenticateCallbackHandler {
    private static final String PREFIX = "user_";
    /** Kafka's least. The passwords are random and long: what a slow hash guards against cannot happen to them. */
    private static final int ITERATIONS = 4096;
    /** By mechanism and password, for each network thread asks for the same. */
    private static final Map<String, ScramCredential> CREDENTIALS = new ConcurrentHashMap<>();

    private final Map<String, ScramCredential> users = new HashMap<>();

    @Override
    public void configure(Map<String, ?> configs, String mechanism, List<AppConfigurationEntry> entries) {
        for (AppConfigurationEntry entry : entries) {
            entry.getOptions().forEach((option, password) -> {
                if (option.startsWith(PREFIX)) {
                    users.put(option.substring(PREFIX.length()), credential(mechanism, (String) password));
                }
            });
        }
    }

    @Override
    public void handle(Callback[] callbacks) throws UnsupportedCallbackException {
        String user = null;
        for (Callback callback : callbacks) {
            if (callback instanceof NameCallback) {
                user = ((NameCallback) callback).getDefaultName();
            } else if (callback instanceof ScramCredentialCallback) {
                ((ScramCredentialCallback) callback).scramCredential(users.get(user));
            } else {
                throw new UnsupportedCallbackException(callback);
            }
        }
    }

    @Override
    public void close() {}

    private static ScramCredential credential(String mechanism, String password) {
        return CREDENTIALS.computeIfAbsent(mechanism + ":" + password, key -> {
            try {
                ScramFormatter formatter = new ScramFormatter(ScramMechanism.forMechanismName(mechanism));
                return formatter.generateCredential(password, ITERATIONS);
            } catch (NoSuchAlgorithmException error) {
                throw new IllegalStateException(error);
            }
        });
    }
}
