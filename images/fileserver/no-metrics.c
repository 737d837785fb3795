/*
 * Stands in for the two libraries with which ganesha counts for Prometheus. They make a histogram for each operation and each
 * status of NFS as ganesha starts, whatever its configuration says (`Enable_Metrics = false` only closes the port): 19 of its 28 MB,
 * and more than half of the time that it takes to start, which every failover waits for. The file server has metrics of its own.
 *
 * All that ganesha calls there, doing nothing. What is given back is a handle that only these functions look at; buckets are
 * an address and a count. `without-metrics` puts it in place and proves that no name is missing.
 */
struct buckets {
  const void *limits;
  unsigned short count;
};

#define NOTHING(name) void *name(void) { return 0; }
#define NO_BUCKETS(name) struct buckets name(void) { struct buckets none = {0, 0}; return none; }

NOTHING(monitoring__get_registry_handle)
NOTHING(monitoring__register_counter)
NOTHING(monitoring__register_gauge)
NOTHING(monitoring__register_histogram)
NOTHING(monitoring__counter_inc)
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
