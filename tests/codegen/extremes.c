/* The largest error of an elementary function over float32 values by their bits, against the C library's double precision; and of its
   float64 version over given values, against its extended precision. In units in the last place of the right value. */
#include <float.h>
#include HEADER

#ifdef SINGLE
typedef double exact;
#define OF(f) f
enum { DIGITS = 24, LEAST = -149 };
#else
typedef long double exact;
#define OF(f) f##l
enum { DIGITS = 53, LEAST = -1074 };
#endif

static exact e_sigmoid(exact x) { exact e = OF(exp)(-OF(fabs)(x)); return (x >= 0 ? 1 : e)/(1 + e); }
static exact e_softplus(exact x) { return (x > 0 ? x : 0) + OF(log1p)(OF(exp)(-OF(fabs)(x))); }

static exact e_gelu(exact x) { return x < -1000 ? -0. : x*OF(erfc)(-x*OF(sqrt)((exact)0.5))/2; } /* far left its limit */

static double units(scalar found, exact right) {
    scalar rounded = (scalar)right;
    if (found == rounded || (found != found && rounded != rounded)) return 0;
    if (found != found || rounded != rounded || isinf(found) || isinf(rounded)) return INFINITY;
    int power;
    (void)frexp((double)rounded, &power);
    return (double)(OF(fabs)((exact)found - right)/OF(ldexp)(1, power - DIGITS > LEAST ? power - DIGITS : LEAST));
}

#define FUNCTIONS(X) X(tanh, OF(tanh)) X(exp, OF(exp)) X(log, OF(log)) X(erf, OF(erf)) X(atan, OF(atan)) X(sin, OF(sin)) X(cos, OF(cos)) \
    X(sigmoid, e_sigmoid) X(softplus, e_softplus) X(gelu, e_gelu)
#define WORST(name, right) \
    double worst_##name(const scalar *x, long count) { \
        double top = 0; \
        for (long i = 0; i < count; i++) { double u = units(f_##name(x[i]), right((exact)x[i])); if (u > top) top = u; } \
        return top; \
    }
FUNCTIONS(WORST)

/* over the float32 values whose bits are first, first + stride, and so on, below stop */
#ifdef SINGLE
#define BETWEEN(name, right) \
    double between_##name(long first, long stop, long stride) { \
        double top = 0; \
        for (long b = first; b < stop; b += stride) { \
            scalar x = as_real((bits)(unsigned)b); \
            double u = units(f_##name(x), right((exact)x)); \
            if (u > top) top = u; \
        } \
        return top; \
    }
FUNCTIONS(BETWEEN)
#endif
