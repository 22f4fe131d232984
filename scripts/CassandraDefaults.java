import java.lang.reflect.Field;
import java.lang.reflect.Modifier;

/** Prints what each setting of this version of Cassandra is where nobody says: a line each. See cassandra_settings.py. */
public final class CassandraDefaults {
    public static void main(String[] arguments) throws Exception {
        Class<?> type = Class.forName("org.apache.cassandra.config.Config");
        Object usual = type.getDeclaredConstructor().newInstance();
        for (Field field : type.getFields()) {
            Object value = Modifier.isStatic(field.getModifiers()) ? null : field.get(usual);
            if (value != null) {
                System.out.println(field.getName() + "\t" + value);
            }
        }
        System.exit(0);
    }
}
