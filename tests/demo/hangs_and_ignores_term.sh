#!/bin/sh
# times out: never exits, not even on SIGTERM; only SIGKILL works
trap '' TERM
echo 'ignoring SIGTERM'
while :; do sleep 60; done
