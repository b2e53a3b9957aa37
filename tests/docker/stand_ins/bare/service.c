/* A static program for an image that has nothing else: says what its environment is, and waits for SIGTERM. */
#include <signal.h>
#include <stdio.h>

extern char **environ;

int main(void) {
  sigset_t set;
  int number;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigprocmask(SIG_BLOCK, &set, NULL);
  for (char **entry = environ; *entry; entry++) printf("env %s\n", *entry);
  puts("ready");
  fflush(stdout);
  sigwait(&set, &number);
  puts("leaving");
  return 0;
}
