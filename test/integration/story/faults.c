/* Put under a worker with LD_PRELOAD, makes the calls on the shared folder FAULT_FOLDER those of a broken file system.
 * FAULT is the kind; FAULT_AT counts the matching calls: that one goes wrong, and only that one,
 * unless it says otherwise.
 *   lost-write   says that a record was written, and drops it       lost-rename    the same for that rename and all later ones
 *   torn-write   writes half of it and says all                     lost-truncate  the same for truncations
 *   twice-write  writes it twice                                    lost-unlink    the same for one removal
 *   no-flock, no-fcntl   grants every lock of that kind at once, from the first call on
 *   repeated-rename, repeated-unlink   carries it out and says that there is no such file, as an NFS client does whose server
 *                was lost before it could answer; no fault of the volume
 *   stale-read   from that call on no record is seen that was not there before */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int is_fault(const char *kind) {
  const char *fault = getenv("FAULT");
  return fault && strcmp(fault, kind) == 0;
}

static int calls;
static int fault_at(void) {
  const char *at = getenv("FAULT_AT");
  return at ? atoi(at) : 1;
}
static int is_turn(void) { return ++calls == fault_at(); }
static int is_from_now_on(void) { return ++calls >= fault_at(); }

/* Carried out, but to be reported as not possible. */
static int repeated(int result) {
  if (result < 0) return result;
  errno = ENOENT;
  return -1;
}

static int in_folder(const char *path, const char *file) {
  const char *folder = getenv("FAULT_FOLDER");
  return folder && strncmp(path, folder, strlen(folder)) == 0 && strstr(path, file);
}

static int is_file(int fd, const char *file) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return in_folder(path, file);
}

/* What a worker, or `stress.pl`, counts upon when it was written. */
static int is_record(int fd) { return is_file(fd, "/log.") || is_file(fd, "/random.data"); }

ssize_t write(int fd, const void *data, size_t size) {
  if (is_fault("lost-write") && is_record(fd) && is_turn()) return size;
  if (is_fault("torn-write") && is_record(fd) && is_turn()) {
    REAL(write)(fd, data, size / 2);
    return size;
  }
  if (is_fault("twice-write") && is_record(fd) && is_turn()) REAL(write)(fd, data, size);
  return REAL(write)(fd, data, size);
}

ssize_t read(int fd, void *data, size_t size) {
  if (is_fault("stale-read") && is_file(fd, "/log.") && ++calls >= fault_at()) return 0;
  return REAL(read)(fd, data, size);
}

int rename(const char *from, const char *to) {
  if (is_fault("lost-rename") && in_folder(to, "/state.") && is_from_now_on()) return 0;
  int again = is_fault("repeated-rename") && in_folder(to, "/state.") && is_turn();
  return again ? repeated(REAL(rename)(from, to)) : REAL(rename)(from, to);
}

int unlink(const char *path) {
  if (is_fault("lost-unlink") && in_folder(path, "/entries/") && is_turn()) return 0;
  int again = is_fault("repeated-unlink") && in_folder(path, "/entries/") && is_turn();
  return again ? repeated(REAL(unlink)(path)) : REAL(unlink)(path);
}

static int lost_truncate(int fd) { return is_fault("lost-truncate") && is_file(fd, "/cycle.") && is_from_now_on(); }
int ftruncate(int fd, off_t size) { return lost_truncate(fd) ? 0 : REAL(ftruncate)(fd, size); }
int ftruncate64(int fd, off64_t size) { return lost_truncate(fd) ? 0 : REAL(ftruncate64)(fd, size); }

int flock(int fd, int operation) {
  return is_fault("no-flock") && is_file(fd, "/turns.") ? 0 : REAL(flock)(fd, operation);
}

static int grants(int fd, int command) {
  int locks = command == F_SETLK || command == F_SETLKW || command == F_SETLK64 || command == F_SETLKW64;
  return locks && is_fault("no-fcntl") && (is_file(fd, "/turns.") || is_file(fd, "/random.sums"));
}
#define FCNTL(name)                               \
  int name(int fd, int command, ...) {            \
    va_list list;                                 \
    va_start(list, command);                      \
    void *argument = va_arg(list, void *);        \
    va_end(list);                                 \
    return grants(fd, command) ? 0 : REAL(name)(fd, command, argument); \
  }
FCNTL(fcntl)
FCNTL(fcntl64)
