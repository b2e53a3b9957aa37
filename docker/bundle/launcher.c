/* Starts the bundled interpreter from wherever its folder is: no shell, no libc of the image, no environment.
 *
 * PREFIX/bin/pidone ARGS, called by NAME, becomes
 *   PREFIX/lib/ld.so --library-path PREFIX/lib --argv0 PREFIX/libexec/python3 PREFIX/lib/python3
 *     -I -S -X utf8 -X mask=MASK -X adopts=PID PREFIX/lib/start.py NAME ARGS
 * and called as python3, which pidone does for helpers of its own, an ordinary interpreter:
 *   PREFIX/lib/ld.so --library-path PREFIX/lib --argv0 PREFIX/libexec/python3 PREFIX/lib/python3 ARGS
 *
 * The loader is named on the command line because an ELF interpreter has to be an absolute path, and the library
 * path is an argument because LD_LIBRARY_PATH would reach every app. execve keeps the PID, so this may be PID 1.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "native.h"

extern char **environ;

int main(int argc, char **argv) {
  char prefix[PATH_MAX], loader[PATH_MAX + 32], libraries[PATH_MAX + 32], python[PATH_MAX + 32], start[PATH_MAX + 32];
  char executable[PATH_MAX + 32], mask[32] = "mask=0", adopts[32] = "adopts=0";
  ssize_t length = readlink("/proc/self/exe", prefix, sizeof prefix - 1); /* follows the links named like inits */
  if (length < 0) {
    perror("pidone: /proc/self/exe");
    return 70; /* EX_SOFTWARE */
  }
  prefix[length] = 0;
  for (int up = 0; up < 2; up++) { /* PREFIX/bin/pidone */
    char *slash = strrchr(prefix, '/');
    if (slash) *slash = 0;
  }
  snprintf(loader, sizeof loader, "%s/lib/ld.so", prefix);
  snprintf(libraries, sizeof libraries, "%s/lib", prefix);
  snprintf(executable, sizeof executable, "%s/libexec/python3", prefix);
  snprintf(python, sizeof python, "%s/lib/python3", prefix);
  snprintf(start, sizeof start, "%s/lib/start.py", prefix);
  answer_health(argc, argv);
  char *name = argc ? argv[0] : "pidone", *slash = strrchr(name, '/');
  char *front[] = {loader, "--library-path", libraries, "--argv0", executable, python,
                   "-I", "-S", "-X", "utf8", "-X", mask, "-X", adopts, start, name};
  size_t count = strcmp(slash ? slash + 1 : name, "python3") ? sizeof front / sizeof *front : 6;
  if (count > 6 && getpid() == 1) hold_signals(mask, sizeof mask);
  if (count > 6) adopt_orphans(argc, argv, adopts, sizeof adopts);
  char **all = calloc(count + argc + 1, sizeof *all);
  if (!all) return 70;
  memcpy(all, front, count * sizeof *front);
  for (int i = 1; i < argc; i++) all[count + i - 1] = argv[i];
  execve(loader, all, environ);
  perror(loader);
  return 70;
}
