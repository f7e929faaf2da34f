#!/bin/sh
# Asks the gRPC health service at ADDRESS, as a container's health check. A call is five bytes of frame and
# an empty message; the answer SERVING is the two bytes 08 01 behind its own frame.
set -eu
address=${1:-127.0.0.1:50051}
answer=$(printf '\0\0\0\0\0' | curl --silent --fail --max-time 3 --http2-prior-knowledge \
    --header 'content-type: application/grpc' --header 'te: trailers' --data-binary @- \
    "http://$address/grpc.health.v1.Health/Check" | od -An -tx1 | tr -d ' \n')
test "$answer" = 00000000020801
