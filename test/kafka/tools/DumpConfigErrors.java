// SPDX-License-Identifier: Apache-2.0
import java.io.PrintWriter;
import java.lang.reflect.Field;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.util.*;
import org.apache.kafka.common.config.ConfigDef;

/**
 * Asks the classes of Apache Kafka what they say of settings with odd values, and of odd topic names.
 * Usage: DumpConfigErrors OUTFILE. Lines: table, name, value, message; "-" for a value that is fine, \0 for null.
 */
public class DumpConfigErrors {
    static final String[] VALUES = {null, "", " ", "x", "-4", "-3", "-2", "-1", "0", "1", "1.5", "9", "10", "18", "22", "23", "100", " 7 ", "+5", "--5",
        "true", "TRUE ", "yes", "a,b", "a, b", "a,a", "a,,b", "a,", ",", "delete", "compact,delete", "compact, delete", "delete,delete", "Delete",
        "delete,x", "gzip", "GZIP", "none", "producer", "CreateTime", "latest", "Earliest", "by_duration:PT1S", "by_duration:x", "by_duration:P1DT2H3M4.5S",
        "by_duration:-PT1S", "0:1,1:2", "*", "0:1,*", "0:", "0:1,", "a:b", "NaN", "1e3", "Infinity", "0.7", "1d", "1f", "0x10", "2147483647", "2147483648", "-2147483649",
        "9223372036854775807", "9223372036854775808", "32768", "read_committed", "bidirectional", "ssl", "SSL", "classic,consumer", "\u00e4"};
    static final String[] NAMES = {"", ".", "..", "...", "a", "a b", "a/b", "\u00e4", "a.b_c-D9", "x".repeat(249), "x".repeat(250), "__consumer_offsets", "a,b", "a:b", "a\"b"};
    static final String[][] TOGETHER = {{"nonsense", "1"}, {"retention.ms", "-1"}, {"min.compaction.lag.ms", "100", "max.compaction.lag.ms", "99"},
        {"min.compaction.lag.ms", "100", "max.compaction.lag.ms", "100"}, {"remote.storage.enable", "true"}, {"retention.ms", "-7"},
        {"cleanup.policy", ""}, {"remote.log.copy.disable", "true"}, {"retention.ms", "5", "local.retention.ms", "6"},
        {"Retention.ms", "1"}, {"min.compaction.lag.ms", "9223372036854775807"}, {"flush.ms", "x"}, {"segment.bytes", "14"}, {"internal.segment.bytes", "14"}};

    static String shown(String s) {
        return s == null ? "\\0" : s.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n");
    }

    static ConfigDef def(String c, String... names) throws Exception {
        Class<?> k = Class.forName(c);
        for (String n : names) {
            try {
                Method m = k.getDeclaredMethod(n);
                m.setAccessible(true);
                return (ConfigDef) m.invoke(null);
            } catch (NoSuchMethodException e) {
            }
            try {
                Field f = k.getDeclaredField(n);
                f.setAccessible(true);
                return (ConfigDef) f.get(null);
            } catch (NoSuchFieldException e) {
            }
        }
        throw new Exception(c);
    }

    static final Set<String> seen = new HashSet<>();
    static final Map<String, Integer> kinds = new HashMap<>();

    /** Of the topic's settings one of each rule, of the others two of each kind of rule. */
    static void values(PrintWriter p, String table, ConfigDef def) {
        for (ConfigDef.ConfigKey k : new TreeMap<>(def.configKeys()).values())
            if (seen.add(k.type + " " + k.validator) && (table.equals("topic") || kinds.merge(k.type + " " + (k.validator == null ? "" : k.validator.getClass().getName()), 1, Integer::sum) <= 2))
            for (String v : VALUES) {
                if (k.type == ConfigDef.Type.CLASS) continue;
                String message = "-";
                try {
                    Object parsed = ConfigDef.parseType(k.name, v, k.type);
                    if (k.validator != null) k.validator.ensureValid(k.name, parsed);
                } catch (Exception e) {
                    message = e.getMessage() == null ? e.getClass().getName() : e.getMessage();
                }
                p.println(table + "\t" + k.name + "\t" + shown(v) + "\t" + shown(message));
            }
    }

    static String call(Method m, Object... args) throws Exception {
        try {
            m.invoke(null, args);
            return "-";
        } catch (InvocationTargetException e) {
            return shown(e.getCause().getMessage());
        }
    }

    public static void main(String[] args) throws Exception {
        try (PrintWriter p = new PrintWriter(args[0], "UTF-8")) {
            p.println("# table\tname\tvalue\tmessage: what Kafka's own classes answer (- fine, \\0 null)");
            values(p, "topic", def("org.apache.kafka.storage.internals.log.LogConfig", "configDefCopy", "CONFIG"));
            values(p, "broker", def("org.apache.kafka.server.config.AbstractKafkaConfig", "CONFIG_DEF"));
            values(p, "group", def("org.apache.kafka.coordinator.group.GroupConfig", "CONFIG_DEF", "configDef"));
            values(p, "client-metrics", def("org.apache.kafka.server.metrics.ClientMetricsConfigs", "CONFIG", "configDef"));
            Class<?> log = Class.forName("org.apache.kafka.storage.internals.log.LogConfig");
            ConfigDef topic = def(log.getName(), "configDefCopy", "CONFIG");
            Map<String, Object> defaults = new HashMap<>();
            for (ConfigDef.ConfigKey k : topic.configKeys().values()) if (k.defaultValue != null) defaults.put(k.name, k.defaultValue);
            Method validate = null;
            for (Method m : log.getMethods()) if (m.getName().equals("validate") && m.getParameterCount() == 4) validate = m;
            for (String[] pairs : TOGETHER) {
                Properties props = new Properties();
                for (int i = 0; i < pairs.length; i += 2) props.put(pairs[i], pairs[i + 1]);
                p.println("topic together\t" + String.join(" ", pairs) + "\t\t" + call(validate, Map.of(), props, defaults, false));
            }
            Method name = Class.forName("org.apache.kafka.common.internals.Topic").getMethod("validate", String.class);
            for (String n : NAMES) p.println("topic name\t\t" + shown(n) + "\t" + call(name, n));
        }
    }
}
