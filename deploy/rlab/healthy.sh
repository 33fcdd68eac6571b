#!/bin/bash
# healthy.sh: is the service that listens on $RLAB_PORT ready? The image has no other HTTP client.
exec 3<>"/dev/tcp/127.0.0.1/${RLAB_PORT:?}" || exit 1
printf 'GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' "${1:-/actuator/health/readiness}" >&3
read -r -t 4 _ status _ <&3 && [ "$status" = 200 ]
