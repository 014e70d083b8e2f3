#!/bin/sh
# passes: a test knows its slave's number, but has no access to Redis and no input
: "${RRRSPEC_TASKSET_KEY:?}" "${NUM_SLAVES:?}" "${SLAVE_NUMBER:?}" "${TEST_ENV_NUMBER?}"
if env | grep -i '^[A-Z_]*REDIS[A-Z_]*='; then
    echo "$0:4: the lines above should not be in the environment of a test"
    exit 1
fi
if read -r line; then
    echo "$0:8: expected no input, got '$line'"
    exit 1
fi
echo "knows its place: slave $SLAVE_NUMBER of $NUM_SLAVES"
