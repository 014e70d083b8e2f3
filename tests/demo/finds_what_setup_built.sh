#!/bin/sh
# passes: rsync copied the tree, setup.sh ran in it, and the test runs at its root
got=$(cat built/greeting.txt)
[ "$got" = 'GOOD MORNING' ] || { echo "$0:4: expected 'GOOD MORNING', got '$got'"; exit 1; }
[ "$(cd .. && pwd -P)" = "$(cd "$RRRSPEC_WORKING_DIR" && pwd -P)" ] || {
    echo "$0:5: runs in '$(pwd -P)', not below '$RRRSPEC_WORKING_DIR'"
    exit 1
}
echo "finds what setup built: ok"
