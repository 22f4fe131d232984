#!/bin/sh
# The `java` that Spark's worker finds in JAVA_HOME and starts executors with. It hands over to the real one, but
# - drops --add-modules=jdk.incubator.vector, a module that small runtimes lack and Spark can do without;
# - replaces the class path (a wildcard) by the list of jars that the class archive was made with, and adds the archive.
first=yes
for argument in "$@"; do
    if [ -n "$first" ]; then
        set --
        first=
    fi
    case "$argument" in
        --add-modules=jdk.incubator.vector) continue ;;
    esac
    if [ "$previous" = "-cp" ]; then
        argument=$SPARK_CLASSPATH_LIST
    fi
    previous=$argument
    set -- "$@" "$argument"
done
exec "$UPCALL_JAVA" "$UPCALL_JAVA_OPTIONS" "$@"
