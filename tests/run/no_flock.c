/* A file system that refuses locks, for LD_PRELOAD: flock fails with the number in NO_FLOCK_ERRNO, and so do fcntl's. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>

static int refused(void)
{
    const char *number = getenv("NO_FLOCK_ERRNO");
    return number ? atoi(number) : 0;
}

int flock(int descriptor, int operation)
{
    int number = refused();
    if (!number) {
        int (*real)(int, int) = (int (*)(int, int))dlsym(RTLD_NEXT, "flock");
        return real(descriptor, operation);
    }
    errno = number;
    return -1;
}

static int control(const char *name, int descriptor, int command, void *argument)
{
    int number = refused();
    int (*real)(int, int, ...) = (int (*)(int, int, ...))dlsym(RTLD_NEXT, name);
    if (number && (command == F_SETLK || command == F_SETLKW || command == F_GETLK)) {
        errno = number;
        return -1;
    }
    return real(descriptor, command, argument);
}

int fcntl(int descriptor, int command, ...)
{
    va_list rest;
    va_start(rest, command);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    return control("fcntl", descriptor, command, argument);
}

int fcntl64(int descriptor, int command, ...)
{
    va_list rest;
    va_start(rest, command);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    return control("fcntl64", descriptor, command, argument);
}
