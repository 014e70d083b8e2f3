#!/bin/sh
# times out: never exits
echo 'waiting for a lock that is never released'
while :; do sleep 60; done
