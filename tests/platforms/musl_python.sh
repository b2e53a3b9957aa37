#!/bin/sh
# Builds CPython for musl out of Debian's sources: musl_python.sh FOLDER. Needs musl-tools, autoconf, automake, libtool, libltdl-dev
# and the options of an apt that knows sources in $APT. Without OpenSSL, which nothing in the suite needs. Some ten minutes.
set -eu
folder=$1
work=$folder.work
mkdir -p "$work/inc"
cd "$work"
apt-get $APT source --download-only -q python3.13 libffi
# Of zlib only the upstream archive: the rest of a source package may have been superseded in the pool.
apt-get $APT source --download-only -q zlib || ls zlib_*.orig.tar.*
for archive in *.orig.tar.?z; do tar xf "$archive"; done
for each in linux asm-generic mtd; do ln -sfn "/usr/include/$each" "inc/$each"; done
ln -sfn "/usr/include/$(gcc -print-multiarch)/asm" inc/asm
# musl-gcc answers --print-multiarch with glibc's, which configure takes for a contradiction.
printf '#!/bin/sh\ncase "$1" in --print-multiarch) exit;; esac\nexec musl-gcc -idirafter %s "$@"\n' "$work/inc" >cc
chmod +x cc
# This machine's packages are glibc's; pkg-config would offer their libraries, whose headers are not there.
export CC="$work/cc" PKG_CONFIG_LIBDIR="$work/none"
cd zlib-*/
CFLAGS='-O2 -fPIC' ./configure --static --prefix="$work/dep"
make install
cd ..
cd libffi-*/
autoreconf -fi
./configure --prefix="$work/dep" --disable-shared --with-pic --disable-docs --disable-multi-os-directory
make install
cd ..
cd Python-*/
./configure --prefix="$folder" --with-ensurepip=no --disable-test-modules \
  ZLIB_CFLAGS="-I$work/dep/include" ZLIB_LIBS="-L$work/dep/lib -lz" \
  LIBFFI_CFLAGS="-I$work/dep/include" LIBFFI_LIBS="$work/dep/lib/libffi.a"
# Threads of musl have 128 kB of stack otherwise, too little for an interpreter: as Alpine does it.
make -j2 OPT=-DNDEBUG CONFIGURE_CFLAGS=-O1 LDFLAGS=-Wl,-z,stack-size=1000000
make install
rm -r "$work"
