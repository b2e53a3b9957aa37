/* What the launchers of the virtual environment and of the bundle have in common. */
#ifndef PIDONE_NATIVE_H
#define PIDONE_NATIVE_H

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

/* As process 1 a signal without a handler is lost: they wait until there is one. The mask is handed on for the apps. */
static void hold_signals(char *option, size_t size) {
  sigset_t all, before;
  unsigned long long mask = 0;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, &before);
  for (int number = 1; number <= 64; number++)
    if (sigismember(&before, number) == 1) mask |= 1ULL << (number - 1);
  snprintf(option, size, "mask=%llx", mask);
}

/* Whether these words ask for a supervisor or an init rather than for a command, as far as that is plain. */
static int asks_to_adopt(int argc, char **argv) {
  const char *slash = argc ? strrchr(argv[0], '/') : NULL, *name = slash ? slash + 1 : argc ? argv[0] : "pidone";
  if (!strcmp(name, "pm2-runtime") || !strcmp(name, "pm2-docker")) return 1;
  if (strcmp(name, "pidone")) return 0;
  if (argc > 2 && !strcmp(argv[1], "exec")) return argv[2][0] != '-' || !strcmp(argv[2], "--");
  if (argc > 2 && !strcmp(argv[1], "start")) argv++, argc--;
  return argc < 2 || strpbrk(argv[1], "./") || !strcmp(argv[1], "--");
}

/* Orphans come to us from now on, which `option` says. Python has no prctl(2), and importing ctypes for this one call
 * takes 2 ms of a start; where the option has another number than ours, Python does it itself. */
static void adopt_orphans(int argc, char **argv, char *option, size_t size) {
  int adopts = getpid() != 1 && asks_to_adopt(argc, argv) && !prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  snprintf(option, size, "adopts=%d", adopts ? (int)getpid() : 0);
}

struct peer { /* struct ucred of unix(7), which the headers keep for _GNU_SOURCE */
  pid_t pid;
  uid_t uid;
  gid_t gid;
};

/* The socket that `health` asks first, as control/socket_file.py finds it; 0 if there is more to it than a name. */
static int usual_socket(struct sockaddr_un *address) {
  const char *given = getenv("PIDONE_SOCKET"), *session = getenv("XDG_RUNTIME_DIR");
  unsigned uid = geteuid();
  int length;
  address->sun_family = AF_UNIX;
  if (given && *given)
    length = strcmp(given, "none") ? snprintf(address->sun_path, sizeof address->sun_path, "%s", given) : 0;
  else if (session && *session)
    return 0;
  else if (uid)
    length = snprintf(address->sun_path, sizeof address->sun_path, "/run/pidone-u%u.sock", uid);
  else
    length = snprintf(address->sun_path, sizeof address->sun_path, "/run/pidone.sock");
  return length > 0 && (size_t)length < sizeof address->sun_path;
}

/* A connection to a runtime of our own user, or -1. Whom else to believe is control/peers.py's to decide. */
static int connect_to_own(void) {
  struct sockaddr_un address = {0};
  struct stat status;
  struct peer peer;
  struct timeval patience = {.tv_sec = 3}; /* TIMEOUT of cli/operate/health.py */
  socklen_t size = sizeof peer;
  if (!usual_socket(&address) || lstat(address.sun_path, &status) || !S_ISSOCK(status.st_mode)) return -1;
  if (status.st_uid != 0 && status.st_uid != geteuid()) return -1;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  if (!connect(fd, (struct sockaddr *)&address, sizeof address) &&
      !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) && peer.uid == geteuid())
    return fd;
  close(fd);
  return -1;
}

/* Ends with 0 where the question is a plain `pidone health` and the answer a plain yes: an image's HEALTHCHECK asks
 * every few seconds, and an interpreter takes 25 ms of CPU each time to say so. Returns for everything else, which
 * cli/operate/health.py then asks anew, explains and decides. */
static void answer_health(int argc, char **argv) {
  static const char question[] = "GET /readyz?verbose HTTP/1.0\r\n\r\n";
  char answer[65536];
  size_t length = 0;
  ssize_t part = 0;
  if (argc != 2 || strcmp(argv[1], "health")) return;
  const char *slash = strrchr(argv[0], '/');
  if (strcmp(slash ? slash + 1 : argv[0], "pidone")) return;
  int fd = connect_to_own();
  if (fd < 0) return;
  if (send(fd, question, sizeof question - 1, MSG_NOSIGNAL) == (ssize_t)sizeof question - 1)
    while (length < sizeof answer - 1 && (part = recv(fd, answer + length, sizeof answer - 1 - length, 0)) > 0)
      length += part;
  close(fd);
  answer[length] = 0;
  char *body = strstr(answer, "\r\n\r\n");
  if (part != 0 || !body || strncmp(answer, "HTTP/1.", 7) || strncmp(answer + 8, " 200 ", 5)) return;
  body += 4;
  size_t left = answer + length - body;
  for (size_t i = 0; i < left; i++) /* whatever a terminal might obey is Python's to show */
    if (body[i] != '\n' && (body[i] < ' ' || body[i] > '~')) return;
  if (fwrite(body, 1, left, stdout) == left && !fflush(stdout)) _exit(0);
}

#endif
