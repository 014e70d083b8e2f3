#!/bin/sh
# passes: no shell between the submitter and here may trip over this file's name
case $0 in
    *"it's a \"ünïcode\" spec.sh") echo "ünïcode: ok" ;;
    *) echo "its name arrived as '$0'"; exit 1 ;;
esac
