#!/bin/sh
# Makes the bundle of a virtual environment with pidone: build.sh VENV FOLDER. Needs musl-gcc, binutils and Python.
# The same sources and packages give the same bytes, if PYTHONHASHSEED and SOURCE_DATE_EPOCH are the same.
set -eu
venv=$1 folder=$2
here=$(dirname "$0")
# Byte code without columns: a traceback has no carets, and every module is a twelfth smaller.
python3 -X no_debug_ranges "$here/make.py" "$venv" "$folder"
mkdir "$folder/bin" "$folder/libexec"
musl-gcc -static -Os -s -Wall -Wextra -Werror -I "$here/../../runtime/bin" -o "$folder/bin/pidone" "$here/launcher.c"
cp "$here/start.py" "$folder/lib/"
install -d "$folder/share/man/man1"
gzip -9nc "$venv/share/man/man1/pidone.1" >"$folder/share/man/man1/pidone.1.gz"
for name in bash-completion zsh fish; do
  cp -r "$venv/share/$name" "$folder/share/"
done
for name in pm2-runtime pm2-docker pm2 tini dumb-init ../libexec/python3; do
  ln -s ../bin/pidone "$folder/bin/$name"
done
find "$folder" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
