#!/bin/sh
# Packs what `cmake --install` installs: the same sources and version give the same bytes, always.
# Usage: package.sh BUILD-FOLDER NAME     writes BUILD-FOLDER/NAME.tar.gz and NAME.tar.gz.sha256
set -eu

build=$1
name=$2
root=$build/package

rm -rf "$root"
cmake --install "$build" --prefix "$root" --strip >/dev/null
chmod -R u=rwX,go=rX "$root"

# No --gzip: gzip would write its own time and name. Aside and renamed: never half a package.
(cd "$root" && tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 --format=gnu -cf - bin etc lib) |
  gzip -n -9 >"$build/$name.tar.gz.partial"
mv "$build/$name.tar.gz.partial" "$build/$name.tar.gz"
(cd "$build" && sha256sum "$name.tar.gz" >"$name.tar.gz.sha256")
