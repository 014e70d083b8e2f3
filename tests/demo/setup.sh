#!/bin/sh
# The demo's setup script: runs once per worker, in the tree that rsync copied, before any test.
set -eu
mkdir -p built
tr '[:lower:]' '[:upper:]' <fixtures/greeting.txt >built/greeting.txt
echo "setup.sh: built/greeting.txt is ready"
