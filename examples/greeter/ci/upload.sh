#!/bin/sh
# Uploads the package to the project's package registry. Writes artifact.env: where it is, and its digest.
set -eu

name=greeter-$(sh ci/version.sh)
url=$CI_API_V4_URL/projects/$CI_PROJECT_ID/packages/generic/greeter/${name#greeter-}/$name.tar.gz

# What is uploaded is what was packaged.
(cd build && sha256sum --check --quiet "$name.tar.gz.sha256")
sha256=$(cut -d ' ' -f 1 "build/$name.tar.gz.sha256")

# The token goes through standard input: any process of a machine can read the arguments of the others.
printf 'header = "JOB-TOKEN: %s"\n' "$CI_JOB_TOKEN" |
  curl --config - --fail-with-body --silent --show-error --retry 5 --upload-file "build/$name.tar.gz" "$url"

printf 'ARTIFACT_URL=%s\nARTIFACT_SHA256=%s\n' "$url" "$sha256" >artifact.env
