#!/bin/sh
# passes
sum=$((19 + 23))
[ "$sum" -eq 42 ] || { echo "$0:4: expected 42, got $sum"; exit 1; }
echo "adds numbers: ok"
