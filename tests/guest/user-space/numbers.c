// SPDX-License-Identifier: GPL-2.0-or-later
// Integer and floating-point work whose results are printed to the last bit.
// Runs in: neither program; compiled and run in a guest and on the host by tests/functional/test_user_space.py.
#define _GNU_SOURCE
#ifndef __TINYC__
#include <complex.h>
#endif
#include <fenv.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t state = 0x9e3779b97f4a7c15u;

static uint64_t next(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static uint64_t sum = 0xcbf29ce484222325u;

// Takes SIZE bytes of VALUE into the sum that the next tell() prints.
static void take(const void *value, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        sum = (sum ^ ((const uint8_t *)value)[i]) * 0x100000001b3u;
    }
}

static void tell(const char *name)
{
    printf("%s %016" PRIx64 "\n", name, sum);
    sum = 0xcbf29ce484222325u;
}

#define TAKE(value) \
    do { \
        __typeof__(value) taken = (value); \
        take(&taken, sizeof(taken)); \
    } while (0)

static void integers(void)
{
    for (int i = 0; i < 20000; i++) {
        uint64_t a = next(), b = next() >> (i & 63) | 1;
        int64_t c = (int64_t)next(), d = (int64_t)next() >> (i & 63) | 1;
        TAKE(a / b);
        TAKE(a % b);
        TAKE(d == -1 ? 0 : c / d);
        TAKE(d == -1 ? 0 : c % d);
        TAKE((uint32_t)a / (uint32_t)b);
        TAKE((int16_t)((int16_t)a / (int16_t)b));
        TAKE(a << (b & 63) | a >> (-b & 63));
        TAKE((uint8_t)((uint8_t)a * (uint8_t)b));
        TAKE(c >> (a & 63));
#ifndef __TINYC__
        TAKE(__builtin_popcountll(a) + __builtin_clzll(b) + __builtin_ctzll(a | 1u << 31));
        TAKE(__builtin_bswap64(a) ^ __builtin_bswap32((uint32_t)b));
        int64_t wide;
        TAKE((int)__builtin_mul_overflow(c, d, &wide));
        TAKE((int)__builtin_sub_overflow((int8_t)a, (int8_t)b, (int8_t *)&wide));
#endif
    }
    tell("integers");
#ifndef __TINYC__
    for (int i = 0; i < 20000; i++) {
        unsigned __int128 a = (unsigned __int128)next() << 64 | next(), b = (a ^ next()) >> (next() & 127) | 1;
        unsigned __int128 quotient = a / b, rest = a % b, product = a * b;
        take(&quotient, sizeof(quotient));
        take(&rest, sizeof(rest));
        take(&product, sizeof(product));
    }
    tell("int128");
#endif
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double any_double(void)
{
    uint64_t bits = next();
    double value;

    if (next() % 4) {
        bits = (bits & 0x800fffffffffffffu) | (0x3c0 + next() % 0x80) << 52;
    }
    memcpy(&value, &bits, sizeof(value));
    return isnan(value) ? 1.5 : value;
}

// NaNs of x86 differ in sign and payload by the order of operands, which is the compiler's choice.
static void take_double(double value)
{
    TAKE(isnan(value) ? 99.0 : value);
}

static void take_long(long double value)
{
    uint8_t bytes[16] = {0};

    memcpy(bytes, &value, 10);
    take(bytes, isnan(value) ? 1 : 10);
}

static void floats(void)
{
    static const int modes[] = {FE_TONEAREST, FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO};

    for (int mode = 0; mode < 4; mode++) {
        fesetround(modes[mode]);
        feclearexcept(FE_ALL_EXCEPT);
        for (int i = 0; i < 8000; i++) {
            volatile double a = any_double(), b = any_double();
            volatile float f = (float)a, g = (float)b;
            volatile long double l = a, m = (long double)b * 3;
            take_double(a + b);
            take_double(a - b);
            take_double(a * b);
            take_double(a / b);
            take_double(sqrt(fabs(a)));
            take_double(f * g + f / g);
            take_double(sqrtf(fabsf(f)));
            take_long(l + m);
            take_long(l * m);
            take_long(l / m);
            take_long(sqrtl(fabsl(l)));
            take_double((double)(l / m));
            take_double((float)(l - m));
            take_double(fabs(a) < 1e15 ? (double)llrint(a) + (double)lrintf(f / 1e30f) : 0);
            TAKE(fabs(a) < 2e9 ? (int)a : 0);
            TAKE(isless(a, b) | isgreater(l, m) << 1 | (f == g) << 2);
            take_double(rint(a) + nearbyint(b) + floor(a) + ceil(b) + trunc(a) + round(b));
            if (i % 1000 == 999) {
                TAKE(fetestexcept(FE_ALL_EXCEPT));
                feclearexcept(FE_ALL_EXCEPT);
            }
        }
        fesetround(FE_TONEAREST);
        tell("floats");
    }
}

static void functions(void)
{
    for (int i = 0; i < 3000; i++) {
        double a = any_double(), b = fabs(any_double());
        long double l = (long double)a / 7;
        take_double(sin(a) + cos(b));
        take_double(exp(fmod(a, 700)));
        take_double(log(b + 1e-300));
        take_double(pow(b, fmod(a, 10)));
        take_double(atan2(a, b) + tan(fmod(a, 1.5)));
        take_double(cbrt(a) + hypot(a, b));
        take_double(tgamma(fmod(b, 20)) + erf(a) + lgamma(b));
        take_double(remainder(a, b) + fmod(b, a) + ldexp(a, (int)(b > 100 ? 3 : b)));
        take_long(sinl(l) + cosl(l));
        take_long(expl(fmodl(l, 11000)));
        take_long(logl(fabsl(l) + 1));
        take_long(powl(fabsl(l), 0.3L) + atanl(l) + tanl(l));
        take_long(remainderl(l, 1.7L) + rintl(l) + log2l(fabsl(l) + 2) + exp2l(fmodl(l, 100)));
#ifndef __TINYC__
        double complex z = a + b * I;
        take_double(creal(csqrt(z)) + cimag(clog(z)));
#endif
    }
    tell("functions");
}

static void texts(void)
{
    for (int i = 0; i < 4000; i++) {
        char text[128];
        double a = any_double();
        int length = snprintf(text, sizeof(text), "%.17g %a %.3e %La %" PRId64, a, a, a, (long double)a / 3, next());
        take(text, (size_t)length);
        take_double(strtod(text, NULL) == a ? 1 : 0);
        snprintf(text, sizeof(text), "%.25Lg", (long double)a / 3);
        take_long(strtold(text, NULL));
        TAKE(strtof(text, NULL));
        TAKE(strtoull(text, NULL, 0));
    }
    tell("texts");
}

static void memory(void)
{
    enum { BYTES = 70000 };
    static char from[BYTES + 64], to[BYTES + 64];

    for (size_t i = 0; i < BYTES; i++) {
        from[i] = (char)(next() % 251 + 1);
    }
    for (int i = 0; i < 400; i++) {
        size_t start = next() % 64, size = next() % (i % 8 ? 600 : BYTES);
        memcpy(to + next() % 64, from + start, size);
        memmove(to + next() % 64, to + start, size);
        memset(to + start, i, size / 3);
        take(to, 64);
        TAKE((int)(memcmp(from + start, to + start, size) > 0));
        TAKE(strnlen(from + start, BYTES - 64));
        char *found = memchr(from + start, i % 251, size);
        TAKE(found ? found - from : -1);
        found = memmem(from, BYTES, from + start + size / 2, 9);
        TAKE(found ? found - from : -1);
        found = strpbrk(from + start, "\xfa\x01\x80");
        TAKE(found ? found - from : -1);
        TAKE(strspn(from + start, "abc") + strcspn(from + start, "xyz"));
        TAKE((int)(strncasecmp(from, from + start, 40) > 0));
    }
    take(to, sizeof(to));
    tell("memory");

    static double values[20000];
    for (size_t i = 0; i < 20000; i++) {
        values[i] = any_double();
    }
    qsort(values, 20000, sizeof(values[0]), by_value);
    take(values, sizeof(values));
    tell("sort");
}

int main(void)
{
    integers();
    floats();
    functions();
    texts();
    memory();
    return 0;
}
