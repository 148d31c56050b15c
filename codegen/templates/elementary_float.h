/* Elementwise functions for float: branch-free, so that loops over them are vectorised, and within 2 units in the last place. */
#include <math.h>
typedef int bits;
static inline float as_real(bits i) { union { bits i; float x; } u = {.i = i}; return u.x; }
static inline bits as_bits(float x) { union { float x; bits i; } u = {.x = x}; return u.i; }
#define WHOLE 12582912.0f /* 3 * 2^22: what is added to it is rounded to a whole number */
#define POWER_OF_2(n) as_real(((n) + 127) << 23)
#define LOG2_HIGH 0.693359375f
#define LOG2_LOW -2.12194440e-4f

/* (e^r - 1 - r)/r^2 */
static inline float exp_rest(float r) {
    return 0.50000000466f + r*(0.16666666791f + r*(0.04166635435f + r*(0.0083332791752f + r*(0.0013941033262f + r*0.00019910867204f))));
}

/* e^r for the rest r = h - k*LOG2_LOW of a logarithm, and what rounding took from it */
static inline float exp_near(float r, float low) {
    float s = 1 + r;
    return s + ((r - (s - 1)) + (r*r*exp_rest(r) + low));
}

static inline float f_exp(float x) {
    float c = x < -104 ? -104 : x;
    c = c > 89 ? 89 : c;
    float m = c*1.44269504f + WHOLE, k = m - WHOLE, h = c - k*LOG2_HIGH, r = h - k*LOG2_LOW, low = (h - r) - k*LOG2_LOW;
    bits n = as_bits(m) - as_bits(WHOLE), half = n >> 1;
    return exp_near(r, low)*POWER_OF_2(half)*POWER_OF_2(n - half);
}

/* e^x for x <= 0: 2^64 times as much is not subnormal, and rounded once more where that is divided out */
static inline float f_decay(float x) {
    float c = x < -104 ? -104 : x;
    float m = c*1.44269504f + (WHOLE + 191), k = m - (WHOLE + 191), h = c - k*LOG2_HIGH, r = h - k*LOG2_LOW, low = (h - r) - k*LOG2_LOW;
    return exp_near(r, low)*as_real(as_bits(m) << 23)*5.42101086e-20f;
}

/* log(1 + f) - f for 1 + f between the roots of 1/2 and 2 */
static inline float log_rest(float f) {
    float q = 0.14181837432f + f*(-0.13128635506f + f*(0.12877005002f - f*0.078543426912f));
    return f*f*(f*(0.33333316785f + f*(-0.25000808639f + f*(0.20002262702f + f*(-0.16624621897f + f*q)))) - 0.5f);
}

static inline float f_log(float x) {
    bits tiny = x < 1.17549435e-38f;
    float scaled = tiny ? x*8388608 : x;
    bits b = as_bits(scaled), n = (b - 0x3f3504f3) >> 23;
    float f = as_real(b - (n << 23)) - 1, k = (float)(n - (tiny ? 23 : 0));
    float y = k*LOG2_HIGH + (f + (log_rest(f) + k*LOG2_LOW));
    y = x <= 3.40282347e38f ? y : x;
    y = x == 0 ? -INFINITY : y;
    return x < 0 ? NAN : y;
}

static inline float f_tanh(float x) {
    float a = fabsf(x), z = x*x, c = a > 9.5f ? -19 : -2*a;
    float m = c*1.44269504f + (WHOLE + 127), k = m - (WHOLE + 127), r = (c - k*LOG2_HIGH) - k*LOG2_LOW;
    float e = (1 + (r + r*r*exp_rest(r)))*as_real(as_bits(m) << 23), far = 1 - 2*e/(1 + e);
    float q = -0.33333318144f + z*(0.13332605548f + z*(-0.05385428594f + z*(0.02107955599f - z*0.0062850250234f)));
    return copysignf(a < 0.55f ? a + a*z*q : far, x);
}

static inline float f_erf(float x) {
    float a = fabsf(x), z = x*x, t = a > 4 ? 4 : a;
    float p = 0.11283599767f + z*(-0.026854428297f + z*(0.0051895056687f + z*(-0.00080205899292f + z*7.8883153143e-5f)));
    float near = x + x*(0.1283791659f + z*(-0.37612627098f + z*p));
    float q = 0.10841637613f + t*(-0.025206898017f + t*(0.0042040713938f + t*(-0.00044124061036f + t*2.167905726e-5f)));
    float far = 1 - f_decay(-(-0.00018780835421f + t*(1.1295773496f + t*(0.63322198087f + t*q))));
    return a < 1 ? near : a == a ? copysignf(far, x) : x;
}

static inline float f_atan(float x) {
    float a = fabsf(x), u = a > 1 ? 1/a : a, z = u*u;
    float p = -0.084199129399f + z*(0.058241360443f + z*(-0.031461757536f + z*(0.011067386136f - z*0.0018278169428f)));
    float q = -0.3333330212f + z*(0.19998643605f + z*(-0.14265287034f + z*(0.10957757384f + z*p)));
    float y = u + u*z*q;
    return copysignf(a > 1 ? 1.57079637f - (y + 4.37113883e-8f) : y, x);
}

/* x times the normal distribution at x, whose tail is exp(-x*x/2) p(t)/(a + 4), the square in two parts */
static inline float f_gelu(float x) {
    float a = fabsf(x) > 15 ? 15 : fabsf(x), r = 1/(a + 4), t = 1 - 8*r;
    float high = as_real(as_bits(a) & (bits)0xfffff000), rest = a - high;
    float square = a*a, low = ((high*high - square) + 2*high*rest) + rest*rest;
    float p = 0.00013364042623f + t*(-0.00021777106565f + t*(-1.7259922923e-6f + t*2.1979043415e-5f));
    p = 0.060396643998f + t*(-0.00753868878f + t*(-0.0034799430258f + t*(0.0016242476373f + t*p)));
    p = 0.7552851305f + t*(-0.60789664021f + t*(0.38713739442f + t*(-0.18652198493f + t*p)));
    float e = f_decay(-square/2), tail = a*(p*r)*(e - e*low/2);
    return x > 0 ? x - tail : x == x ? -tail : x;
}
