#!/bin/sh
# examples.sh: builds and runs the Go and the Node example; one whose tools are missing, or whose packages cannot be had, is not run and says so.
# Exit 1: one that ran is not as predicted.
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.." || exit 1
bad=0
for language in go node; do
  if ! why=$("$here/$language/run.sh" consumer --build 2>&1); then
    echo "  note    the $language example is not run: $(echo "$why" | tail -n 1)"
    continue
  fi
  ./rlab run "docs/bring-your-own/$language.lua" || bad=1
done
exit $bad
