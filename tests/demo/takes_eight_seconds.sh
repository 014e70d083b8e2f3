#!/bin/sh
# passes, slowly: its estimate makes it start first and extends its timeout
for second in 1 2 3 4 5 6 7 8; do
    sleep 1
    echo "second $second"
done
