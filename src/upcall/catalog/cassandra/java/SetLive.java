package upcall;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import javax.management.Attribute;
import javax.management.MBeanAttributeInfo;
import javax.management.MBeanServerConnection;
import javax.management.ObjectName;
import javax.management.remote.rmi.RMIConnector;

/**
 * Sets attributes of a running node: {@code SetLive HOST PORT PASSWORD_FILE}, and on the standard input for each setting
 * its name, the bean, the attribute and the value, separated by tabs.
 *
 * <p>Each is read back: what the node has is what was asked, or this ends with code 3 and says what it has. So it does
 * when the node refuses a value. All that comes before stays set; nothing after it is.
 */
public final class SetLive {
    private SetLive() {}

    public static void main(String[] arguments) throws Exception {
        BufferedReader given = new BufferedReader(new InputStreamReader(System.in));
        try (RMIConnector connector = Jmx.connected(arguments)) {
            MBeanServerConnection node = connector.getMBeanServerConnection();
            for (String line = given.readLine(); line != null; line = given.readLine()) {
                String[] words = line.split("\t", 4);
                set(node, words[0], new ObjectName(words[1]), words[2], words[3]);
            }
        }
    }

    private static void set(MBeanServerConnection node, String setting, ObjectName bean, String attribute, String text)
            throws Exception {
        Object now;
        try {
            Object value = read(typeOf(node, bean, attribute), text);
            node.setAttribute(bean, new Attribute(attribute, value));
            now = node.getAttribute(bean, attribute);
            if (value.equals(now)) {
                return;
            }
        } catch (IllegalArgumentException | javax.management.JMException | javax.management.JMRuntimeException error) {
            throw Jmx.refused(setting + ": " + Jmx.words(error));
        }
        throw Jmx.refused(setting + ": " + text + " was set, and the node has " + now);
    }

    private static String typeOf(MBeanServerConnection node, ObjectName bean, String attribute) throws Exception {
        for (MBeanAttributeInfo each : node.getMBeanInfo(bean).getAttributes()) {
            if (each.getName().equals(attribute)) {
                return each.getType();
            }
        }
        throw new IllegalArgumentException("this version has no attribute " + attribute);
    }

    private static Object read(String type, String text) {
        switch (type) {
            case "int":
            case "java.lang.Integer":
                return Integer.valueOf(text);
            case "long":
            case "java.lang.Long":
                return Long.valueOf(text);
            case "double":
                return Double.valueOf(text);
            case "boolean":
                return Boolean.valueOf(text);
            default:
                return text;
        }
    }
}
