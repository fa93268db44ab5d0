#!/bin/sh
# Prints the version of this pipeline: the tag without its "v", else one that names the commit.
set -eu

case ${CI_COMMIT_TAG:-} in
  v*) echo "${CI_COMMIT_TAG#v}" ;;
  '') echo "0.0.0-$CI_COMMIT_SHORT_SHA" ;;
  *)
    echo "Cannot name a version after tag \"$CI_COMMIT_TAG\": needs v and three numbers, for example v2.0.0" >&2
    exit 1
    ;;
esac
