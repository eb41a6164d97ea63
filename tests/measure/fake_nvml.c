/* A stand-in for NVIDIA's libnvidia-ml.so.1: the functions that bench.measure.gpu calls, answered from a text file.

   The file is named by the environment variable FAKE_NVML and read anew at each call, so that answers may change while a
   process runs. Its lines are `key value`; keys of a device start with its index, as in `0.power_mw 70000`. The value
   `error N` makes the function return N; a key that is not there is one the driver does not support. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SUCCESS = 0,
    UNINITIALIZED = 1,
    INVALID_ARGUMENT = 2,
    NOT_SUPPORTED = 3,
    NOT_FOUND = 6,
    INSUFFICIENT_SIZE = 7,
    DRIVER_NOT_LOADED = 9
};

typedef struct {
    unsigned long long total, free, used;
} memory_t;

typedef struct {
    unsigned gpu, memory;
} utilization_t;

typedef struct {
    unsigned pid;
    unsigned long long used_bytes;
    unsigned gpu_instance, compute_instance;
} process_t;

static int initialized = 0;

/* Find what the file says of a key. */
static int told(const char *key, char *value, size_t size) {
    char line[512];
    const char *path = getenv("FAKE_NVML");
    FILE *file = path ? fopen(path, "r") : NULL;
    int result = NOT_SUPPORTED;
    if (!file) return DRIVER_NOT_LOADED;
    while (result == NOT_SUPPORTED && fgets(line, sizeof line, file)) {
        char *blank = strchr(line, ' ');
        if (!blank) continue;
        *blank = '\0';
        if (strcmp(line, key)) continue;
        blank[1 + strcspn(blank + 1, "\n")] = '\0';
        snprintf(value, size, "%s", blank + 1);
        result = SUCCESS;
        if (!strncmp(value, "error ", 6)) {
            result = atoi(value + 6);
            break;
        }
    }
    fclose(file);
    return result;
}

static int system_text(const char *key, char *value, size_t size) {
    return initialized ? told(key, value, size) : UNINITIALIZED;
}

/* A device's handle is its index and 1. */
static int device_text(void *device, const char *name, char *value, size_t size) {
    char key[128];
    snprintf(key, sizeof key, "%d.%s", (int)(intptr_t)device - 1, name);
    return system_text(key, value, size);
}

static int device_number(void *device, const char *name, unsigned long long *number) {
    char value[512];
    int result = device_text(device, name, value, sizeof value);
    if (result == SUCCESS) *number = strtoull(value, NULL, 0);
    return result;
}

static int device_unsigned(void *device, const char *name, unsigned *number) {
    unsigned long long wide = 0;
    int result = device_number(device, name, &wide);
    if (result == SUCCESS) *number = (unsigned)wide;
    return result;
}

int nvmlInitWithFlags(unsigned flags) {
    char value[512];
    int result = told("init", value, sizeof value);
    (void)flags;
    if (result == NOT_SUPPORTED) result = SUCCESS;
    initialized = result == SUCCESS;
    return result;
}

int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }

int nvmlShutdown(void) {
    initialized = 0;
    return SUCCESS;
}

const char *nvmlErrorString(int result) {
    (void)result;
    return "an error of the fake NVML";
}

int nvmlSystemGetDriverVersion(char *version, unsigned size) { return system_text("driver", version, size); }

int nvmlSystemGetCudaDriverVersion(int *version) {
    char value[512];
    int result = system_text("cuda", value, sizeof value);
    if (result == SUCCESS) *version = atoi(value);
    return result;
}

int nvmlDeviceGetCount_v2(unsigned *count) {
    char value[512];
    int result = system_text("devices", value, sizeof value);
    if (result == SUCCESS) *count = (unsigned)atoi(value);
    return result;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) {
    unsigned count = 0;
    int result = nvmlDeviceGetCount_v2(&count);
    if (result != SUCCESS) return result;
    if (index >= count) return INVALID_ARGUMENT;
    *device = (void *)(intptr_t)(index + 1);
    return SUCCESS;
}

int nvmlDeviceGetUUID(void *device, char *uuid, unsigned size) { return device_text(device, "uuid", uuid, size); }

int nvmlDeviceGetHandleByUUID(const char *uuid, void **device) {
    char value[512];
    for (unsigned index = 0; nvmlDeviceGetHandleByIndex_v2(index, device) == SUCCESS; index++)
        if (nvmlDeviceGetUUID(*device, value, sizeof value) == SUCCESS && !strcmp(value, uuid)) return SUCCESS;
    return initialized ? NOT_FOUND : UNINITIALIZED;
}

int nvmlDeviceGetName(void *device, char *name, unsigned size) { return device_text(device, "name", name, size); }

int nvmlDeviceGetMemoryInfo(void *device, memory_t *memory) {
    int result = device_number(device, "memory_total", &memory->total);
    if (result == SUCCESS) result = device_number(device, "memory_used", &memory->used);
    if (result == SUCCESS) memory->free = memory->total - memory->used;
    return result;
}

int nvmlDeviceGetUtilizationRates(void *device, utilization_t *rates) {
    rates->memory = 0;
    return device_unsigned(device, "util_pct", &rates->gpu);
}

/* Processes are written `pid:bytes pid:bytes`; `none` is an empty list, and `?` for bytes that are not told. */
int nvmlDeviceGetComputeRunningProcesses_v3(void *device, unsigned *count, process_t *processes) {
    char value[512];
    unsigned room = *count, found = 0;
    int result = device_text(device, "processes", value, sizeof value);
    if (result != SUCCESS) return result;
    for (char *entry = strtok(value, " "); entry && strcmp(entry, "none"); entry = strtok(NULL, " "), found++) {
        char *bytes = strchr(entry, ':') + 1;
        if (found >= room) continue;
        processes[found].pid = (unsigned)atoi(entry);
        processes[found].used_bytes = *bytes == '?' ? UINT64_MAX : strtoull(bytes, NULL, 10);
        processes[found].gpu_instance = processes[found].compute_instance = UINT32_MAX;
    }
    *count = found;
    return found > room ? INSUFFICIENT_SIZE : SUCCESS;
}

int nvmlDeviceGetPowerUsage(void *device, unsigned *milliwatts) {
    return device_unsigned(device, "power_mw", milliwatts);
}

int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *millijoules) {
    return device_number(device, "energy_mj", millijoules);
}

int nvmlDeviceGetTemperature(void *device, int sensor, unsigned *celsius) {
    return sensor == 0 ? device_unsigned(device, "temperature_c", celsius) : INVALID_ARGUMENT;
}

int nvmlDeviceGetClockInfo(void *device, int type, unsigned *mhz) {
    static const char *const clocks[] = {"clock_graphics_mhz", "clock_sm_mhz", "clock_memory_mhz", "clock_video_mhz"};
    return type >= 0 && type < 4 ? device_unsigned(device, clocks[type], mhz) : INVALID_ARGUMENT;
}

#ifndef BEFORE_DRIVER_535
int nvmlDeviceGetCurrentClocksEventReasons(void *device, unsigned long long *reasons) {
    return device_number(device, "reasons", reasons);
}
#endif

/* The same under its older name, which later drivers kept. */
int nvmlDeviceGetCurrentClocksThrottleReasons(void *device, unsigned long long *reasons) {
    return device_number(device, "reasons", reasons);
}
