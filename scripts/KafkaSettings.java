import java.lang.reflect.Field;
import java.util.Arrays;
import java.util.Collection;
import java.util.Map;
import java.util.StringJoiner;
import java.util.TreeMap;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.server.common.Feature;
import org.apache.kafka.server.common.MetadataVersion;

/** Prints what this version of Kafka knows of its settings and features: one JSON object a line. See kafka_settings.py. */
public final class KafkaSettings {
    public static void main(String[] arguments) throws Exception {
        print("broker", kafka.server.KafkaConfig.configDef(), modes());
        print("topic", org.apache.kafka.storage.internals.log.LogConfig.configDefCopy(), Map.of());
        MetadataVersion newest = MetadataVersion.LATEST_PRODUCTION;
        feature("metadata.version", MetadataVersion.MINIMUM_VERSION.featureLevel(), newest.featureLevel());
        for (MetadataVersion each : MetadataVersion.VERSIONS) {
            if (each.featureLevel() <= newest.featureLevel()) {
                System.out.println("{\"of\": \"level\", \"name\": \"" + each + "\", \"is\": " + each.featureLevel() + "}");
            }
        }
        for (Feature each : Feature.PRODUCTION_FEATURES) {
            feature(each.featureName(), each.minimumProduction(), each.latestProduction());
        }
    }

    private static void feature(String name, short least, short most) {
        System.out.println("{\"of\": \"feature\", \"name\": \"" + name + "\", \"min\": " + least + ", \"max\": " + most + "}");
    }

    /** Which settings change while a broker runs: "cluster-wide", "per-broker". Kafka moves this class about. */
    private static Map<?, ?> modes() throws Exception {
        String name = "dynamicConfigUpdateModes";
        try {
            Class<?> dynamic = Class.forName("org.apache.kafka.server.config.DynamicBrokerConfig");
            return (Map<?, ?>) dynamic.getMethod(name).invoke(null);
        } catch (ClassNotFoundException before42) {
            Object dynamic = field(Class.forName("kafka.server.DynamicBrokerConfig$"), null, "MODULE$");
            return (Map<?, ?>) dynamic.getClass().getMethod(name).invoke(dynamic);
        }
    }

    private static void print(String of, ConfigDef definitions, Map<?, ?> modes) throws Exception {
        for (ConfigDef.ConfigKey key : new TreeMap<>(definitions.configKeys()).values()) {
            StringJoiner line = new StringJoiner(", ", "{", "}");
            line.add("\"of\": \"" + of + "\"");
            line.add("\"name\": \"" + key.name + "\"");
            line.add("\"type\": \"" + key.type.toString().toLowerCase() + "\"");
            if (key.hasDefault() && key.defaultValue != null) {
                String text = ConfigDef.convertToString(key.defaultValue, key.type);
                line.add("\"default\": \"" + text.replace("\\", "\\\\").replace("\"", "\\\"") + "\"");
            }
            if ("cluster-wide".equals(modes.get(key.name)) && !loadsCode(key.name)) {
                line.add("\"live\": true");
            }
            if (key.validator instanceof ConfigDef.Range) {
                for (String bound : new String[] {"min", "max"}) {
                    Object value = field(key.validator, bound);
                    if (value != null) {
                        line.add("\"" + bound + "\": " + value);
                    }
                }
            } else if (key.validator != null) {
                String among = words(key.validator);
                if (among != null) {
                    line.add("\"among\": " + among);
                    line.add("\"any_case\": " + key.validator.getClass().getName().contains("CaseInsensitive"));
                }
            }
            System.out.println(line);
        }
    }

    /** What takes a broker more than another value. */
    private static boolean loadsCode(String name) {
        return name.equals("config.providers") || name.equals("metric.reporters");
    }

    /** Of validators that hold the words they accept; null: another kind. */
    private static String words(Object validator) {
        for (String name : new String[] {"validStrings", "validString"}) {
            try {
                Object found = field(validator, name);
                if (found instanceof Collection) {
                    StringJoiner list = new StringJoiner(", ", "[", "]");
                    ((Collection<?>) found).forEach(word -> list.add("\"" + word + "\""));
                    return list.toString();
                }
                if (found != null) {
                    return words(found);
                }
            } catch (ReflectiveOperationException notThere) {
                continue;
            }
        }
        return null;
    }

    private static Object field(Object of, String name) throws ReflectiveOperationException {
        return field(of.getClass(), of, name);
    }

    private static Object field(Class<?> type, Object of, String name) throws ReflectiveOperationException {
        Field field = type.getDeclaredField(name);
        field.setAccessible(true);
        return field.get(of);
    }
}
