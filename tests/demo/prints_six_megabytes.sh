#!/bin/sh
# passes: prints more than a trial keeps; the middle is dropped, and the trial records how much
echo 'the first line'
i=0
while [ "$i" -lt 60 ]; do
    # 2,000 lines of 50 bytes
    awk 'BEGIN { for (i = 0; i < 2000; i++) printf "%049d\n", i }'
    i=$((i + 1))
done
echo 'the last line'
