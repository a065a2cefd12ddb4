// SPDX-License-Identifier: Apache-2.0

// Runs Apache Kafka's own console tools one after another in one JVM, each by its unmodified main, so that a test need not
// pay for a start each. A line in: base64 of the words, each ended by a zero byte. A line out: exit status, then base64 of
// what the tool wrote to its standard output and to its standard error.
import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Base64;
import org.apache.kafka.common.utils.Exit;

public class Tools {
    private static final String[] PACKAGES = {
        "org.apache.kafka.tools.", "org.apache.kafka.tools.reassign.", "org.apache.kafka.tools.consumer.group.", "org.apache.kafka.tools.consumer.", "kafka.tools.", "kafka.admin."
    };

    private static final class Ended extends Error {
        final int status;

        Ended(int status) {
            super(null, null, false, false);
            this.status = status;
        }
    }

    private static volatile int ended = -1;

    private static Class<?> tool(String name) throws ClassNotFoundException {
        for (String place : PACKAGES) {
            try {
                return Class.forName(place + name);
            } catch (ClassNotFoundException e) {
                // the next one
            }
        }
        throw new ClassNotFoundException(name);
    }

    // A tool may catch what we throw to end it, so the first status counts.
    private static int run(String[] words) throws Exception {
        ended = -1;
        try {
            tool(words[0]).getMethod("main", String[].class).invoke(null, (Object) Arrays.copyOfRange(words, 1, words.length));
            return ended == -1 ? 0 : ended;
        } catch (InvocationTargetException e) {
            if (!(e.getCause() instanceof Ended)) {
                e.getCause().printStackTrace();
                return ended == -1 ? 1 : ended;
            }
            return ended;
        }
    }

    private static void end(int status) {
        if (ended == -1) {
            ended = status;
        }
        throw new Ended(status);
    }

    private static String coded(ByteArrayOutputStream bytes) {
        return Base64.getEncoder().encodeToString(bytes.toByteArray());
    }

    public static void main(String[] none) throws Exception {
        PrintStream answers = System.out;
        Exit.setExitProcedure((status, message) -> end(status));
        Exit.setHaltProcedure((status, message) -> end(status));
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String[] words = new String(Base64.getDecoder().decode(line), StandardCharsets.UTF_8).split("\0");
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            ByteArrayOutputStream err = new ByteArrayOutputStream();
            System.setOut(new PrintStream(out, true, StandardCharsets.UTF_8));
            System.setErr(new PrintStream(err, true, StandardCharsets.UTF_8));
            int status = run(words);
            System.out.flush();
            answers.println(status + " " + coded(out) + " " + coded(err) + " .");
            answers.flush();
        }
        Runtime.getRuntime().halt(0); // tools leave threads behind
    }
}
