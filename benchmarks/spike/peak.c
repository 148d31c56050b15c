/* The arithmetic ceiling: 16 independent multiply-adds on registers of 16 floats, repeated on every thread. */
typedef float v __attribute__((vector_size(64)));
#define EACH(do) do(0) do(1) do(2) do(3) do(4) do(5) do(6) do(7) do(8) do(9) do(10) do(11) do(12) do(13) do(14) do(15)
#define START(k) v a##k = (float)k - (v){};
#define STEP(k) a##k = a##k * y + x;
#define KEEP(k) __asm__ volatile("" : : "v"(a##k));

static void spin(long repeat) {
    v x = 1e-9f - (v){}, y = 0.999f - (v){};
    EACH(START)
    for (long r = 0; r < repeat; r++) {
        EACH(STEP)
        __asm__ volatile("" : "+v"(x), "+v"(y));
    }
    EACH(KEEP)
}

long peak(long repeat, long threads) {
    #pragma omp parallel num_threads(threads)
    spin(repeat);
    return repeat * threads * 2 * 16 * 16;
}
