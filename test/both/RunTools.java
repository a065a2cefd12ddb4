// SPDX-License-Identifier: Apache-2.0
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import org.apache.kafka.common.utils.Exit;

/**
 * Runs Kafka's command line tools one after another in one JVM, since most of what a tool takes is its start.
 * A line of the input is a class and its arguments, parted by tabs. The answer is a line with the status and the number of
 * bytes, and then the bytes that the tool wrote to either output.
 */
public class RunTools {
    static class Ended extends RuntimeException {
        final int status;

        Ended(int status) {
            this.status = status;
        }
    }

    static int run(String[] words) {
        try {
            Class.forName(words[0]).getMethod("main", String[].class)
                .invoke(null, (Object) Arrays.copyOfRange(words, 1, words.length));
            return 0;
        } catch (java.lang.reflect.InvocationTargetException e) {
            if (e.getCause() instanceof Ended) return ((Ended) e.getCause()).status;
            e.getCause().printStackTrace();
            return 1;
        } catch (ReflectiveOperationException e) {
            e.printStackTrace();
            return 1;
        }
    }

    public static void main(String[] none) throws Exception {
        Exit.setExitProcedure((status, message) -> { throw new Ended(status); });
        PrintStream answers = System.out;
        BufferedReader orders = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = orders.readLine(); line != null; line = orders.readLine()) {
            ByteArrayOutputStream written = new ByteArrayOutputStream();
            PrintStream out = new PrintStream(written, true, StandardCharsets.UTF_8);
            System.setOut(out);
            System.setErr(out);
            int status = run(line.split("\t"));
            out.flush();
            answers.println(status + " " + written.size());
            written.writeTo(answers);
            answers.flush();
        }
    }
}
