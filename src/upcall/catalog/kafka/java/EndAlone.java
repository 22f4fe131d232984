package upcall;

import java.lang.management.ManagementFactory;
import java.util.Arrays;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import javax.management.JMException;
import javax.management.MBeanServer;
import javax.management.ObjectName;

/**
 * Runs a broker, and lets it end also when no quorum is left that could let it go.
 *
 * <p>A broker that is told to end asks the active controller to hand over what it leads, and waits for the answer: five
 * minutes, with no setting for it. When all brokers end at the same time, a controller ends with its broker, and whoever
 * is not answered before a majority is gone waits for nobody. Nothing is left to hand over then: what it has in sync it
 * still has when it comes back. So its wait is ended, and Kafka goes on to put its logs away as after an answer.
 *
 * <p>That a quorum stands shows in what is agreed on: the active controller writes a record every half second, for no
 * other purpose ({@code metadata.max.idle.interval.ms}).
 */
public final class EndAlone {
    /** Longer than the vote for a new controller: two seconds until the old one is missed, and one or two to elect. */
    private static final long ALONE_MS = 6000;
    private static final long LOOK_MS = 200;
    private static final String RAFT = "kafka.server:type=raft-metrics";
    private static final String AGREED = "high-watermark";
    private static final String BROKER = "kafka.server.BrokerServer";

    private EndAlone() {}

    /** The class that is to run, and its arguments. */
    public static void main(String[] args) throws Exception {
        Runtime.getRuntime().addShutdownHook(watcher());
        Class<?> broker = Class.forName(args[0]);
        broker.getMethod("main", String[].class).invoke(null, (Object) Arrays.copyOfRange(args, 1, args.length));
    }

    /** All hooks run at the same time; this one is over as soon as the broker has stopped waiting. */
    private static Thread watcher() {
        return new Thread(() -> {
            try {
                watch();
            } catch (InterruptedException | JMException error) {
                System.err.println("the end of this broker is not watched: " + error);
            }
        }, "end-alone");
    }

    private static void watch() throws InterruptedException, JMException {
        Object agreed = null;
        long since = System.nanoTime();
        boolean waited = false;
        while (true) {
            Thread waiting = waiting();
            if (waiting == null && (waited || System.nanoTime() - since > TimeUnit.MILLISECONDS.toNanos(ALONE_MS))) {
                return;
            }
            waited |= waiting != null;
            Object now = agreed();
            if (!now.equals(agreed)) {
                agreed = now;
                since = System.nanoTime();
            } else if (waiting != null && System.nanoTime() - since > TimeUnit.MILLISECONDS.toNanos(ALONE_MS)) {
                System.err.println("no quorum of controllers is left that could let this broker go: it ends by itself");
                waiting.interrupt();
                return;
            }
            Thread.sleep(LOOK_MS);
        }
    }

    private static Object agreed() throws JMException {
        MBeanServer beans = ManagementFactory.getPlatformMBeanServer();
        ObjectName raft = new ObjectName(RAFT);
        return beans.isRegistered(raft) ? beans.getAttribute(raft, AGREED) : "";
    }

    /** Who waits to be let go, and for nothing else: the future is asked by the broker's own {@code shutdown}. */
    private static Thread waiting() {
        for (Map.Entry<Thread, StackTraceElement[]> each : Thread.getAllStackTraces().entrySet()) {
            StackTraceElement[] frames = each.getValue();
            for (int at = 1; at < frames.length; at++) {
                boolean shutsDown = frames[at].getClassName().equals(BROKER) && frames[at].getMethodName().equals("shutdown");
                if (shutsDown && frames[at - 1].getClassName().equals("java.util.concurrent.CompletableFuture")) {
                    return each.getKey();
                }
            }
        }
        return null;
    }
}
