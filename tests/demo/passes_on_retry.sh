#!/bin/sh
# flaky: fails in the first trial of a taskset and passes in the second, whichever slave runs it
# Each worker may have a separate tree, so the first trial is recorded outside of it.
seen=${DEMO_STATE:?an empty folder outside of the tree}/$RRRSPEC_TASKSET_KEY
if mkdir "$seen" 2>/dev/null; then
    echo "$0:6: expected a warm cache, got a cold one"
    exit 1
fi
[ -d "$seen" ] || { echo "$0:10: cannot write to '$DEMO_STATE'"; exit 1; }
echo "passes on retry: ok"
