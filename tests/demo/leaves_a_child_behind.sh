#!/bin/sh
# passes: its child holds stdout open, but neither delays the trial nor outlives it
sleep 600 &
echo "started $!, and goes"
