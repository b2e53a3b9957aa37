/* The `pidone` of a virtual environment: starts the environment's interpreter with the options that keep out what an
 * image sets for its apps' Python. Installers write a script's first line without options, and a shell in between would
 * lose variables whose names are not its own kind (discovery.type). Called by NAME, BIN/pidone ARGS becomes
 *   INTERPRETER -I -S -X utf8 -X mask=MASK -X adopts=PID -X pidone=NAME BIN/pidone-direct ARGS
 * with the INTERPRETER that the installer wrote into the first line of pidone-direct. execve keeps the PID.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "native.h"

static int fail(const char *what) {
  fputs("pidone: ", stderr);
  perror(what);
  return 70; /* EX_SOFTWARE */
}

int main(int argc, char **argv) {
  char path[PATH_MAX], direct[PATH_MAX + 16], line[PATH_MAX + 8], name[PATH_MAX + 8];
  char mask[32] = "mask=0", adopts[32];
  answer_health(argc, argv);
  if (getpid() == 1) hold_signals(mask, sizeof mask);
  adopt_orphans(argc, argv, adopts, sizeof adopts);
  if (!realpath((const char *)getauxval(AT_EXECFN), path)) return fail("its own file"); /* may be a link named tini */
  strcpy(strrchr(strcpy(direct, path), '/') + 1, "pidone-direct"); /* beside it also under another name: cp pidone pm2 */
  FILE *script = fopen(direct, "re");
  if (!script || !fgets(line, sizeof line, script)) {
    fprintf(stderr, "pidone: %s is a copy without its pidone-direct; make it a link (ln -s)\n", path);
    return fail(direct);
  }
  line[strcspn(line, "\r\n")] = 0;
  char *interpreter = line + 2 + strspn(line + 2, " ");
  snprintf(name, sizeof name, "pidone=%s", argc ? argv[0] : "pidone");
  char *front[] = {interpreter, "-I", "-S", "-X", "utf8", "-X", mask, "-X", adopts, "-X", name, direct};
  size_t count = sizeof front / sizeof *front;
  char **all = calloc(count + argc + 1, sizeof *all);
  if (!all) return fail("memory");
  memcpy(all, front, sizeof front);
  for (int i = 1; i < argc; i++) all[count + i - 1] = argv[i];
  execv(interpreter, all);
  return fail(interpreter);
}
