#!/bin/sh
# passes: the child keeps stdout open, but neither delays the trial nor outlives it
sleep 600 &
echo "started $! and exits"
