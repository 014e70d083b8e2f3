#!/bin/sh
# fails, in every trial
got=$(cat fixtures/greeting.txt)
[ "$got" = 'bonjour' ] || { echo "$0:4: expected 'bonjour', got '$got'"; exit 1; }
