/* A libnvidia-ml.so.1 with two devices. Device 0 draws 100 W, device 1 50 W, since boot.
   STUB_INIT: what nvmlInit returns. STUB_NO_ENERGY: the energy counter is not supported.
   STUB_NO_TEMPERATURE: as that. STUB_RESET: a file; where it is, the counter starts at 0.
   STUB_PROCESSES: a file with lines "<device> <pid> <bytes>"; absent: not supported.
   Compiled with -DBARE, all that is not needed to count devices is missing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { OK = 0, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7 };
typedef struct { int index; } device;
typedef struct { unsigned pid; unsigned long long used; unsigned gi, ci; } process;
static device devices[2] = {{0}, {1}};

static int init(void) { const char *e = getenv("STUB_INIT"); return e ? atoi(e) : OK; }
int nvmlInit_v2(void) { return init(); }
int nvmlInitWithFlags(unsigned flags) { return init(); }
int nvmlShutdown(void) {
    const char *path = getenv("STUB_SHUTDOWN");
    if (path) { FILE *f = fopen(path, "a"); fputs("x", f); fclose(f); }
    return OK;
}
const char *nvmlErrorString(int code) { return "stub"; }
int nvmlDeviceGetCount_v2(unsigned *n) { *n = 2; return OK; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, device **d) {
    if (i > 1) return NOT_FOUND;
    *d = &devices[i];
    return OK;
}

#ifndef BARE
int nvmlSystemGetDriverVersion(char *s, unsigned n) { snprintf(s, n, "999.1"); return OK; }
int nvmlDeviceGetName(device *d, char *s, unsigned n) { snprintf(s, n, "Stub"); return OK; }
int nvmlDeviceGetUUID(device *d, char *s, unsigned n) {
    snprintf(s, n, "GPU-%d000", d->index);
    return OK;
}
int nvmlDeviceGetMemoryInfo(device *d, unsigned long long *m) {
    m[0] = 8ULL << 30; m[1] = 7ULL << 30; m[2] = 1ULL << 30;
    return OK;
}
int nvmlDeviceGetUtilizationRates(device *d, unsigned *u) {
    u[0] = d->index ? 20 : 60; u[1] = 0;
    return OK;
}
static unsigned watts(device *d) { return d->index ? 50 : 100; }
int nvmlDeviceGetTotalEnergyConsumption(device *d, unsigned long long *mj) {
    if (getenv("STUB_NO_ENERGY")) return NOT_SUPPORTED;
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    *mj = (t.tv_sec * 1000ULL + t.tv_nsec / 1000000) * watts(d);
    const char *path = getenv("STUB_RESET");
    FILE *f = path ? fopen(path, "r") : NULL;
    if (f) { *mj = 0; fclose(f); }
    return OK;
}
int nvmlDeviceGetTemperature(device *d, unsigned sensor, unsigned *celsius) {
    if (sensor || getenv("STUB_NO_TEMPERATURE")) return NOT_SUPPORTED;
    *celsius = d->index ? 45 : 65;
    return OK;
}
int nvmlDeviceGetPowerUsage(device *d, unsigned *mw) { *mw = watts(d) * 1000; return OK; }
int nvmlDeviceGetComputeRunningProcesses_v3(device *d, unsigned *n, process *out) {
    const char *path = getenv("STUB_PROCESSES");
    if (!path) return NOT_SUPPORTED;
    FILE *f = fopen(path, "r");
    unsigned found = 0, room = *n, index;
    process p;
    memset(&p, 0, sizeof p);
    while (f && fscanf(f, "%u %u %llu", &index, &p.pid, &p.used) == 3)
        if ((int)index == d->index) { if (out && found < room) out[found] = p; found++; }
    if (f) fclose(f);
    *n = found;
    return found > room ? INSUFFICIENT_SIZE : OK;
}
#endif
