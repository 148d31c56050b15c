/* Elementwise functions for double: branch-free, so that loops over them are vectorised, and within 2 units in the last place. */
#include <math.h>
typedef long long bits;
static inline double as_real(bits i) { union { bits i; double x; } u = {.i = i}; return u.x; }
static inline bits as_bits(double x) { union { double x; bits i; } u = {.x = x}; return u.i; }
#define WHOLE 6755399441055744.0 /* 3 * 2^51: what is added to it is rounded to a whole number */
#define POWER_OF_2(n) as_real(((n) + 1023) << 52)
#define LOG2_HIGH 0.693147180369123816490
#define LOG2_LOW 1.90821492927058770002e-10

/* (e^r - 1 - r)/r^2 */
static inline double exp_rest(double r) {
    double q = 2.75572430606451047616e-7 + r*(2.51091417100212950251e-8 + r*2.0924386128896402652e-9);
    q = 0.00138888888888673320602 + r*(0.000198412698863955738712 + r*(0.0000248015873599835899516 + r*(0.00000275572439244157123503 + r*q)));
    return 0.499999999999999999877 + r*(0.166666666666666767089 + r*(0.0416666666666666995054 + r*(0.00833333333332152741113 + r*q)));
}

/* e^r for the rest r = h - k*LOG2_LOW of a logarithm, and what rounding took from it */
static inline double exp_near(double r, double low) {
    double s = 1 + r;
    return s + ((r - (s - 1)) + (r*r*exp_rest(r) + low));
}

static inline double f_exp(double x) {
    double c = x < -746 ? -746 : x;
    c = c > 710 ? 710 : c;
    double m = c*1.4426950408889634 + WHOLE, k = m - WHOLE, h = c - k*LOG2_HIGH, r = h - k*LOG2_LOW, low = (h - r) - k*LOG2_LOW;
    bits n = as_bits(m) - as_bits(WHOLE), half = n >> 1;
    return exp_near(r, low)*POWER_OF_2(half)*POWER_OF_2(n - half);
}

/* e^x for x <= 0: 2^600 times as much is not subnormal, and rounded once more where that is divided out */
static inline double f_decay(double x) {
    double c = x < -746 ? -746 : x;
    double m = c*1.4426950408889634 + (WHOLE + 1623), k = m - (WHOLE + 1623);
    double h = c - k*LOG2_HIGH, r = h - k*LOG2_LOW, low = (h - r) - k*LOG2_LOW;
    return exp_near(r, low)*as_real(as_bits(m) << 52)*2.409919865102884e-181;
}

/* log(1 + f) - f for 1 + f between the roots of 1/2 and 2 */
static inline double log_rest(double f) {
    double s = f/(2 + f), z = s*s, half = 0.5*f*f;
    double q = 0.22222198519592746875 + z*(0.181835677313676464085 + z*(0.153139495955445408461 + z*0.147970813541630400549));
    q = z*(0.666666666666673435657 + z*(0.399999999994136965261 + z*(0.285714287427748080932 + z*q)));
    return s*(half + q) - half;
}

static inline double f_log(double x) {
    bits tiny = x < 2.2250738585072014e-308;
    double scaled = tiny ? x*4503599627370496.0 : x;
    bits b = as_bits(scaled), n = (b - 0x3fe6a09e667f3bcd) >> 52;
    double f = as_real(b - (n << 52)) - 1, k = as_real(n - (tiny ? 52 : 0) + as_bits(WHOLE)) - WHOLE;
    double y = k*LOG2_HIGH + (f + (log_rest(f) + k*LOG2_LOW));
    y = x <= 1.7976931348623157e308 ? y : x;
    y = x == 0 ? -INFINITY : y;
    return x < 0 ? NAN : y;
}

static inline double f_tanh(double x) {
    double a = fabs(x), z = x*x, c = a > 20 ? -40 : -2*a;
    double m = c*1.4426950408889634 + (WHOLE + 1023), k = m - (WHOLE + 1023), r = (c - k*LOG2_HIGH) - k*LOG2_LOW;
    double e = (1 + (r + r*r*exp_rest(r)))*as_real(as_bits(m) << 52), far = 1 - 2*e/(1 + e);
    double q = -0.000233414152088749077501 + z*(0.0000833620260932820792433 - z*0.0000195221908218265899847);
    q = -0.00886323265538241333412 + z*(0.00359209255719640112438 + z*(-0.00145554613407568159116 + z*(0.00058845763518575056911 + z*q)));
    q = -0.333333333333332997483 + z*(0.133333333333268426699 + z*(-0.0539682539638846949748 + z*(0.0218694883892712700415 + z*q)));
    return copysign(a < 0.55 ? a + a*z*q : far, x);
}

static inline double f_erf(double x) {
    double a = fabs(x), z = x*x, t = a > 6 ? 6 : a;
    double p = 1.46602920904154273224e-8 + z*(-1.13748188222733779533e-9 + z*5.9604611572412144267e-11);
    p = 0.000120553311314120737194 + z*(-0.0000149255957364982183413 + z*(0.00000164610079263930810395 + z*(-1.63503905838920651349e-7 + z*p)));
    p = 0.112837916709548839933 + z*(-0.0268661706450777891654 + z*(0.00522397762482763060055 + z*(-0.000854832698138146665511 + z*p)));
    double near = x + x*(0.12837916709551257377 + z*(-0.376126389031837481672 + z*p));
    double q = -1.24643062389244450428e-7 + t*(1.34995957038451918991e-8 + t*(-1.01515795644993304194e-9
        + t*(4.74195927093544231712e-11 - t*1.03671010790459222138e-12)));
    q = -0.0000447144898370295883544 + t*(0.0000164021441011881470719 + t*(-0.00000429644804912237888786 + t*(8.44046844464176649928e-7 + t*q)));
    q = 0.00177130801371512908559 + t*(-0.000643167649282731667808 + t*(0.0000461862950635586548423 + t*(0.0000696239537315796027454 + t*q)));
    q = 0.636628744284130436656 + t*(0.102746525935657049276 + t*(-0.0190767226098464792148 + t*(-0.000282570361613949360008 + t*q)));
    double far = 1 - f_decay(-(1.85260406858707149839e-7 + t*(1.12837727367046906389 + t*q)));
    return a < 1 ? near : a == a ? copysign(far, x) : x;
}

static inline double f_atan(double x) {
    double a = fabs(x), u = a > 1 ? 1/a : a, z = u*u;
    double q = -0.000601571419201135474453 + z*(0.000105656749503408456807 - z*0.00000882460505616749073353);
    q = -0.0187069913273600948249 + z*(0.0113987874756872010303 + z*(-0.00566608931301023939332 + z*(0.00217758417169676076737 + z*q)));
    q = -0.0428771277148324726232 + z*(0.0382409162105069168231 + z*(-0.0328421363877598687519 + z*(0.0262336827901193317026 + z*q)));
    q = -0.0666658724291430429029 + z*(0.0588173947123865670732 + z*(-0.0525954997611940521632 + z*(0.0474537043200687033838 + z*q)));
    q = -0.142857142850840009871 + z*(0.111111110879874371025 + z*(-0.0909090857734896072833 + z*(0.0769230010029127397338 + z*q)));
    q = -0.333333333333332898356 + z*(0.199999999999911898066 + z*q);
    double y = u + u*z*q;
    return copysign(a > 1 ? 1.57079632679489655800 - (y - 6.123233995736766036e-17) : y, x);
}

/* x times the normal distribution at x, whose tail is exp(-x*x/2) p(t)/(a + 5), the square in two parts */
static inline double f_gelu(double x) {
    double a = fabs(x) > 39.5 ? 39.5 : fabs(x), r = 1/(a + 5), t = (a - 5)*r;
    double high = as_real(as_bits(a) & (bits)0xfffffffff8000000), rest = a - high;
    double square = a*a, low = ((high*high - square) + 2*high*rest) + rest*rest;
    double p = 9.2686590370271182253e-9 + t*(1.3221029627816940829e-9 + t*(-7.8427963636359202933e-10 + t*-1.4191921893580602647e-10));
    p = 4.3345610194757537315e-7 + t*(3.8753309224358397979e-8 + t*(-6.7401611797720313273e-8 + t*(-7.0680456539809060268e-9 + t*p)));
    p = 0.000016680843519640493514 + t*(3.9794571807920497776e-6 + t*(-2.7688616333729408268e-6 + t*(-3.3370603508359769732e-7 + t*p)));
    p = -0.00079786942842878629129 + t*(0.00054489897744543662663 + t*(-0.000059375585163440918731 + t*(-0.000049762364675076807155 + t*p)));
    p = 0.165020366170189682 + t*(-0.069118638706956706875 + t*(0.02079506680331946932 + t*(-0.0029933767603476348056 + t*p)));
    p = 0.76919304975006294363 + t*(-0.66538250289005685714 + t*(0.49530561596998063936 + t*(-0.31353315667128584865 + t*p)));
    double e = f_decay(-square/2), tail = a*(p*r)*(e - e*low/2);
    return x > 0 ? x - tail : x == x ? -tail : x;
}
