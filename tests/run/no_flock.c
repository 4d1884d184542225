/* A file system that refuses locks, for LD_PRELOAD: flock fails with a number of NO_FLOCK_ERRNO, and so do fcntl's.
   Of several, such as "37,95,524", each call and each process takes the next. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int refused(void)
{
    static unsigned calls = 0;
    const char *numbers = getenv("NO_FLOCK_ERRNO");
    unsigned count = 1, which;
    if (!numbers)
        return 0;
    for (const char *c = numbers; *c; c++)
        count += *c == ',';
    for (which = ((unsigned)getpid() + calls++) % count; which; which--)
        numbers = strchr(numbers, ',') + 1;
    return atoi(numbers);
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
