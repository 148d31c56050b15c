/* Multiply-adds on registers alone: what a core can do at most. */
#include <time.h>
#if defined(__AVX512F__)
#define WIDTH 64
#elif defined(__AVX__)
#define WIDTH 32
#else
#define WIDTH 16
#endif
#define SPIN(type) \
    typedef type type##_lanes __attribute__((vector_size(WIDTH))); \
    double spin_##type(long loops, double *keep) { \
        enum { LANES = WIDTH/sizeof(type) }; \
        type##_lanes sums[12], factor, term; \
        for (int l = 0; l < LANES; l++) { factor[l] = (type)0.999; term[l] = (type)1e-3; } \
        for (int i = 0; i < 12; i++) sums[i] = term*(type)i; \
        struct timespec start, end; \
        clock_gettime(CLOCK_MONOTONIC, &start); \
        for (long k = 0; k < loops; k++) { \
            _Pragma("GCC unroll 12") for (int i = 0; i < 12; i++) sums[i] = sums[i]*factor + term; \
        } \
        clock_gettime(CLOCK_MONOTONIC, &end); \
        for (int i = 0; i < 12; i++) for (int l = 0; l < LANES; l++) *keep += sums[i][l]; \
        double seconds = (double)(end.tv_sec - start.tv_sec) + 1e-9*(double)(end.tv_nsec - start.tv_nsec); \
        return 24.0*LANES*(double)loops/seconds; \
    }
SPIN(float)
SPIN(double)
