#!/bin/sh
# What --setup of the demo runs: once for each worker, in the tree that rsync brought, before any test.
set -eu
mkdir -p built
tr '[:lower:]' '[:upper:]' <fixtures/greeting.txt >built/greeting.txt
echo "setup.sh: built/greeting.txt is ready"
