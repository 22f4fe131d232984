package upcall;

import java.lang.reflect.Proxy;
import java.net.URI;
import java.rmi.registry.LocateRegistry;
import java.util.Hashtable;
import javax.naming.Context;
import javax.naming.NamingException;
import javax.naming.spi.InitialContextFactory;

/**
 * Looks names like {@code rmi://host:port/jmxrmi} up in that RMI registry.
 *
 * <p>JMX clients find their server through JNDI, whose RMI provider (module jdk.naming.rmi) small runtime images leave
 * out. Named by {@code -Djava.naming.factory.initial}, this class stands in for it, and nodetool works as it is.
 */
public final class RegistryContextFactory implements InitialContextFactory {
    @Override
    public Context getInitialContext(Hashtable<?, ?> environment) {
        return (Context) Proxy.newProxyInstance(
                getClass().getClassLoader(), new Class<?>[] {Context.class}, (proxy, method, arguments) -> {
                    switch (method.getName()) {
                        case "lookup":
                            return lookup(arguments[0].toString());
                        case "close":
                            return null;
                        default:
                            throw new NamingException("only lookup is supported, not " + method.getName());
                    }
                });
    }

    private static Object lookup(String name) throws NamingException {
        URI place = URI.create(name);
        try {
            return LocateRegistry.getRegistry(place.getHost(), place.getPort()).lookup(place.getPath().substring(1));
        } catch (Exception cause) {
            NamingException error = new NamingException("no answer from the RMI registry at " + name + ": " + cause);
            error.setRootCause(cause);
            throw error;
        }
    }
}
