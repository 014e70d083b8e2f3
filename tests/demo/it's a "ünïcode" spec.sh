#!/bin/sh
# passes: every shell on the way from the submitter must preserve this file's name
case $0 in
    *"it's a \"ünïcode\" spec.sh") echo "ünïcode: ok" ;;
    *) echo "the name arrived as '$0'"; exit 1 ;;
esac
