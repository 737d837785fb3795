/*
 * Stands in for the two libraries with which ganesha counts for Prometheus, for three reasons:
 *
 * - They make a histogram for each operation and each status of NFS as ganesha starts, whatever its configuration says
 *   (`Enable_Metrics = false` only closes the port): 19 of its 28 MB, and more than half of the time that it takes to start,
 *   which every failover waits for. The file server has metrics of its own.
 * - ganesha ends grace when it looks whether all clients have reclaimed, which its reaper does every half lease and nobody
 *   asks it to. It counts here that a client has said so (RECLAIM_COMPLETE): the reaper is woken at that moment, so that
 *   clients wait for one another and no longer. A wake that gets lost costs what it did before, half a lease.
 * - A library in this place may also have ganesha serve on a socket that its parent keeps open when it dies (`bind`), have it
 *   wait for its turn when all that needs no volume is done (`mkdir`; clients that come meanwhile wait for it, connected), and
 *   answer nobody without its parent's leave (`sendmsg`).
 *
 * Handles are pointers that only these functions look at. `put-shim` puts the library in place and proves that no name is
 * missing, on either side.
 */
struct metadata {
  const char *description;
  const char *unit;
};
struct label {
  const char *key;
  const char *value;
};
struct buckets {
  const void *limits;
  unsigned short count;
};

extern char *strstr(const char *text, const char *part);
extern int memcmp(const void *a, const void *b, unsigned long length);
extern void *dlsym(void *where, const char *name);
extern int getsockname(int socket, void *address, unsigned *length);
extern int setsockopt(int socket, int level, int option, const void *value, unsigned length);
extern int fcntl(int descriptor, int command, ...);
extern int dup2(int from, int to);
extern int listen(int socket, int backlog);
extern int close(int descriptor);
extern char *getenv(const char *name);
extern int unsetenv(const char *name);
extern int atoi(const char *text);
extern long read(int descriptor, void *into, unsigned long length);
extern long write(int descriptor, const void *from, unsigned long length);
extern void _exit(int code);
extern void *mmap(void *at, unsigned long length, int protection, int flags, int descriptor, long offset);
extern int clock_gettime(int clock, void *into);
extern int usleep(unsigned us);
extern int *__errno_location(void);

/* Of Linux, the same on x86-64 and arm64. */
enum { f_getfl = 3, f_setfl = 4, o_nonblock = 04000, sol_socket = 1, so_keepalive = 9, eintr = 4, prot_read = 1, map_shared = 1, clock_boottime = 7 };

/* ganesha's own: has the reaper look now. Takes no lock that an operation holds. */
extern void reaper_wake(void);
/* ganesha's own: waits until all of its threads are there. */
extern void nfs_init_wait(void);
/* ganesha's own: what clients tell one start of the server from another by. Of type time_t; read after the first `mkdir`. */
extern long long nfs_ServerEpoch;

/* The handle of what counts RECLAIM_COMPLETE, with any status. */
static char reclaimed;

void *monitoring__register_counter(const char *name, struct metadata metadata, const struct label *labels,
                                   unsigned short count) {
  unsigned short at;
  for (at = 0; at < count; at++) {
    if (labels[at].value && strstr(labels[at].value, "RECLAIM_COMPLETE")) return &reclaimed;
  }
  return 0;
}

/* Called when the operation has been carried out. */
void monitoring__counter_inc(void *counter, long long value) {
  if (counter == &reclaimed) reaper_wake();
}

/* Where the file server puts a socket that it has bound to the volume's port. */
enum { inherited = 3 };
/* Of connections that nobody has taken yet: more than a cluster has nodes. ganesha sets its own. */
enum { backlog = 1024 };

/*
 * Takes the inherited socket in the place of one that is to be bound to the same address and port. The parent keeps it open when
 * ganesha dies: the kernel goes on to accept for the next one, and no client is refused. Blocking and kept alive, as ganesha makes
 * its own. Any other call, and any without such a socket, is the C library's.
 */
int bind(int socket, const void *address, unsigned length) {
  int (*libc_bind)(int, const void *, unsigned) = dlsym((void *)-1L /* RTLD_NEXT */, "bind");
  unsigned char have[128];
  unsigned size = sizeof have;
  int on = 1;
  /* Family, port, and the address of IPv4; for IPv6 up to the scope, which nobody sets. */
  unsigned compared = length < 24 ? 8 : 24;
  if (length < 8 || socket == inherited || getsockname(inherited, have, &size) != 0 || size != length ||
      memcmp(have, address, compared) != 0 || dup2(inherited, socket) < 0) {
    return libc_bind(socket, address, length);
  }
  close(inherited);
  fcntl(socket, f_setfl, fcntl(socket, f_getfl) & ~o_nonblock);
  setsockopt(socket, sol_socket, so_keepalive, &on, sizeof on);
  return 0;
}

/*
 * Until when answers may be sent, ns of CLOCK_BOOTTIME, written twice by the parent: while they differ, it is being written.
 * Absent: for ever.
 */
static const volatile unsigned long long *permit;

/*
 * Waits for the server's turn: reads the server's epoch (8 bytes, least first) from the descriptor that VFILE_GATE names. Ends
 * the process when its parent has ended. Once: this library is there twice, and each calls the next one's `mkdir`. The file of
 * the permit is the descriptor that VFILE_PERMIT names.
 *
 * From here on the kernel accepts on the inherited socket, which the parent is told with one byte: clients may be sent here
 * before there is an answer, and need not be sent when there is one.
 */
static void wait_for_turn(void) {
  const char *gate = getenv("VFILE_GATE");
  const char *permits = getenv("VFILE_PERMIT");
  long long epoch;
  unsigned long have = 0;
  if (!gate) return;
  if (permits) {
    permit = mmap(0, 2 * sizeof *permit, prot_read, map_shared, atoi(permits), 0);
    if (permit == (void *)-1L) _exit(1);
    close(atoi(permits));
  }
  if (listen(inherited, backlog) == 0 && write(atoi(gate), "", 1) != 1) _exit(1);
  while (have < sizeof epoch) {
    long got = read(atoi(gate), (char *)&epoch + have, sizeof epoch - have);
    if (got == 0 || (got < 0 && *__errno_location() != eintr)) _exit(got < 0);
    if (got > 0) have += got;
  }
  close(atoi(gate));
  unsetenv("VFILE_GATE");
  nfs_ServerEpoch = epoch;
}

/*
 * ganesha's first `mkdir` makes the directory of its clients' records: the first time that it touches the volume, right before
 * its grace period begins. By then it has read program, libraries and configuration, and has set up what it keeps in memory.
 */
int mkdir(const char *path, unsigned mode) {
  int (*libc_mkdir)(const char *, unsigned) = dlsym((void *)-1L /* RTLD_NEXT */, "mkdir");
  wait_for_turn();
  return libc_mkdir(path, mode);
}

/*
 * ganesha takes connections before the threads are there to which it hands part of its work, which then is not done: it cannot
 * call a client back, and may crash. Clients that have waited for it, connected, would meet it then.
 */
int accept(int socket, void *address, unsigned *length) {
  int (*libc_accept)(int, void *, unsigned *) = dlsym((void *)-1L /* RTLD_NEXT */, "accept");
  nfs_init_wait();
  return libc_accept(socket, address, length);
}

static int permitted(void) {
  struct {
    long s;
    long ns;
  } now;
  unsigned long long until = permit[0];
  return until == permit[1] && clock_gettime(clock_boottime, &now) == 0 &&
         now.s * 1000000000ULL + now.ns < until;
}

/*
 * ganesha sends its answers with this. One is sent only while the server's lease certainly holds, by a clock that goes on while
 * a host is suspended; else it waits until the lease has been renewed or the process is killed. What an answer tells was done
 * before, so under the lease, and the next server finds it. Without this a host that was frozen could, right after the thaw,
 * acknowledge writes of its own clients to a disk that another host had taken over, before its supervisor has its turn.
 */
long sendmsg(int socket, const void *message, int flags) {
  static long (*libc_sendmsg)(int, const void *, int);
  if (!libc_sendmsg) libc_sendmsg = dlsym((void *)-1L /* RTLD_NEXT */, "sendmsg");
  while (permit && !permitted()) usleep(2000);
  return libc_sendmsg(socket, message, flags);
}

#define NOTHING(name) void *name(void) { return 0; }
#define NO_BUCKETS(name) struct buckets name(void) { struct buckets none = {0, 0}; return none; }

NOTHING(monitoring__get_registry_handle)
NOTHING(monitoring__register_gauge)
NOTHING(monitoring__register_histogram)
NOTHING(monitoring__gauge_inc)
NOTHING(monitoring__gauge_dec)
NOTHING(monitoring__gauge_set)
NOTHING(monitoring__histogram_observe)
NO_BUCKETS(monitoring__buckets_exp2)
NO_BUCKETS(monitoring__buckets_exp2_compact)
NOTHING(dynamic_metrics__init)
NOTHING(dynamic_metrics__mdcache_cache_hit)
NOTHING(dynamic_metrics__mdcache_cache_miss)
NOTHING(dynamic_metrics__observe_nfs_io)
NOTHING(dynamic_metrics__observe_nfs_request)
NOTHING(prometheus_exposer__start)
NOTHING(prometheus_exposer__stop)
