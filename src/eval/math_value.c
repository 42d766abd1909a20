/* math_value.c - an expression as a complex number, its variables at chosen points, and whether two
 * expressions have the same values. Points are positive, so that roots and logarithms of a variable
 * have one meaning. */
#include "eval/math.h"

#include <complex.h>
#include <math.h>

/* C11's, which glibc leaves out for clang. */
#ifndef CMPLX
#define CMPLX(real, imaginary) __builtin_complex((double)(real), (double)(imaginary))
#endif

/* Expressions agree when they differ by no more than this share: some thousand times what double
 * arithmetic loses in the few operations that an answer has, and far less than two different
 * answers of a benchmark differ by. */
#define SAME_SHARE 1e-9
/* What is this close to zero counts as zero beside numbers around 1, such as sin(pi). */
#define SAME_ZERO 1e-15
#define POINTS    5

typedef struct place {
    math_view view;
    int point;
} place;

static double complex value(const math_node *n, const place *at);

static double complex not_a_number(void) {
    return CMPLX(NAN, NAN);
}

/* A number in 0.6 .. 2.9 that depends on the variable's name and on the point (FNV-1a). */
static double variable_value(const char *name, int point) {
    uint32_t hash = 2166136261u + (uint32_t)point * 0x9e3779b9u;
    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * 16777619u;
    hash ^= hash >> 15;
    hash *= 0x2c1b3c6du;
    hash ^= hash >> 13;
    return 0.6 + 2.3 * ((double)hash + 0.5) / 4294967296.0;
}

static bool is_real(double complex z) {
    return cimag(z) == 0;
}

/* Small integer powers by multiplying: they stay exact, and real where the base is. */
static double complex power(double complex a, double complex b) {
    double n = creal(b);
    if (!is_real(b) || n != floor(n) || fabs(n) > 64)
        return is_real(a) && is_real(b) && creal(a) >= 0 ? CMPLX(pow(creal(a), n), 0) : cpow(a, b);
    double complex product = 1;
    for (int i = 0; i < (int)fabs(n); i++)
        product *= a;
    return n < 0 ? 1 / product : product;
}

/* The real root where there is one, as with cube roots of negative numbers. */
static double complex root(double complex a, double complex degree) {
    double n = creal(degree);
    if (is_real(degree) && is_real(a) && creal(a) < 0 && n == floor(n) && fmod(n, 2) != 0)
        return -pow(-creal(a), 1 / n);
    return is_real(a) && is_real(degree) && creal(a) >= 0 ? CMPLX(pow(creal(a), 1 / n), 0)
                                                          : cpow(a, 1 / degree);
}

static double complex factorial(double complex a) {
    double n = creal(a);
    if (!is_real(a) || n < 0 || n > 170)
        return not_a_number();
    if (n != floor(n))
        return tgamma(n + 1);
    double product = 1;
    for (int i = 2; i <= (int)n; i++)
        product *= i;
    return product;
}

static double complex binomial(double complex a, double complex b) {
    double n = creal(a), k = creal(b), product = 1;
    if (!is_real(a) || !is_real(b) || k != floor(k) || k < 0 || k > 1000)
        return not_a_number();
    for (int i = 1; i <= (int)k; i++)
        product = product * (n - k + i) / i;
    return product;
}

typedef struct function_entry {
    const char *name;
    double complex (*of)(double complex);
} function_entry;

static double complex cotangent(double complex a) {
    return 1 / ctan(a);
}
static double complex secant(double complex a) {
    return 1 / ccos(a);
}
static double complex cosecant(double complex a) {
    return 1 / csin(a);
}
static double complex magnitude(double complex a) {
    return cabs(a);
}
static double complex rounded_down(double complex a) {
    /* 2.9999999999 that was meant to be 3 */
    double nearest = rint(creal(a));
    return fabs(creal(a) - nearest) < 1e-9 ? nearest : floor(creal(a));
}
static double complex rounded_up(double complex a) {
    return -rounded_down(-a);
}

static const function_entry functions[] = {
    {"sqrt", csqrt},         {"sin", csin},       {"cos", ccos},     {"tan", ctan},
    {"cot", cotangent},      {"sec", secant},     {"csc", cosecant}, {"arcsin", casin},
    {"arccos", cacos},       {"arctan", catan},   {"sinh", csinh},   {"cosh", ccosh},
    {"tanh", ctanh},         {"ln", clog},        {"exp", cexp},     {"abs", magnitude},
    {"floor", rounded_down}, {"ceil", rounded_up}};

static double complex function_value(const math_node *n, const place *at) {
    double complex a = value(n->first, at);
    double complex b = n->count > 1 ? value(n->first->next, at) : 0;
    if (strcmp(n->name, "root") == 0)
        return root(a, b);
    if (strcmp(n->name, "binom") == 0)
        return binomial(a, b);
    if (strcmp(n->name, "log") == 0 || strcmp(n->name, "lg") == 0)
        return clog(a) / (n->count > 1 ? clog(b) : n->name[1] == 'g' ? log(10) : 1);
    for (size_t i = 0; n->count == 1 && i < sizeof functions / sizeof *functions; i++)
        if (strcmp(functions[i].name, n->name) == 0)
            return functions[i].of(a);
    return not_a_number();
}

static double complex value(const math_node *n, const place *at) {
    double complex a = 0, b = 0;
    if (n->kind >= MATH_ADD && n->kind <= MATH_FACTORIAL) {
        a = value(n->first, at);
        b = n->count > 1 ? value(n->first->next, at) : 0;
    }
    switch (n->kind) {
    case MATH_NUMBER: return n->number;
    case MATH_VARIABLE: return variable_value(n->name, at->point);
    case MATH_IMAGINARY: return I;
    case MATH_INFINITY: return INFINITY;
    case MATH_ADD: return a + b;
    case MATH_SUBTRACT: return a - b;
    case MATH_MULTIPLY: /* times a real number, infinity stays real */
        return is_real(a)   ? CMPLX(creal(a) * creal(b), is_real(b) ? 0 : creal(a) * cimag(b))
                 : is_real(b) ? CMPLX(creal(a) * creal(b), cimag(a) * creal(b))
                            : a * b;
    case MATH_DIVIDE: return is_real(b) ? CMPLX(creal(a) / creal(b), cimag(a) / creal(b)) : a / b;
    case MATH_POWER: return power(a, b);
    case MATH_NEGATE: return CMPLX(-creal(a), is_real(a) ? 0 : -cimag(a));
    case MATH_PLUS_MINUS: return at->view.sign * n->sign > 0 ? a + b : a - b;
    case MATH_PERCENT: return a * at->view.percent;
    case MATH_FACTORIAL: return factorial(a);
    case MATH_FUNCTION: return function_value(n, at);
    default: return not_a_number();
    }
}

/* ---- Comparing ------------------------------------------------------------------------------- */

/* A number as it was written, maybe with a minus; *sign and *number say it. */
static bool is_literal(const math_node *n, double *number, int *decimals) {
    double sign = 1;
    for (; n->kind == MATH_NEGATE; n = n->first)
        sign = -sign;
    if (n->kind != MATH_NUMBER || !n->literal)
        return false;
    *number = sign * n->number;
    *decimals = n->decimals;
    return true;
}

/* A decimal fraction with six digits or more stands for what it was rounded from, as in the
 * original: 0.333333 for 1/3. */
static bool is_rounded(const math_node *n, double complex a, double complex b) {
    double number;
    int decimals;
    return is_literal(n, &number, &decimals) && decimals >= 6 && is_real(a) && is_real(b) &&
           fabs(creal(a) - creal(b)) <= 5e-7 && fabs(creal(a) - creal(b)) <= 1e-4 * fabs(creal(b));
}

static bool is_whole(double complex z) {
    return is_real(z) && creal(z) == floor(creal(z)) && fabs(creal(z)) < 9e15;
}

static bool close_by(double complex a, double complex b) {
    if (isinf(creal(a)) || isinf(creal(b)))
        return is_real(a) && is_real(b) && creal(a) == creal(b);
    double size = fmax(cabs(a), cabs(b)), share = SAME_SHARE;
    if (is_whole(a) && is_whole(b)) /* neighbouring integers are never the same */
        share = 4e-16;
    return cabs(a - b) <= fmax(share * size, SAME_ZERO);
}

static bool is_number(double complex z) {
    return !isnan(creal(z)) && !isnan(cimag(z));
}

bool math_same_value(const math_node *a, math_view va, const math_node *b, math_view vb,
                     double *ratio) {
    double x, y;
    int x_decimals, y_decimals, seen = 0;
    double complex first = 0;
    /* Two numbers as written are the same or not: no rounding lies between them. */
    if (!ratio && is_literal(a, &x, &x_decimals) && is_literal(b, &y, &y_decimals))
        return x == y;
    for (int point = 0; point < POINTS; point++) {
        const place at_a = {.view = va, .point = point}, at_b = {.view = vb, .point = point};
        double complex p = value(a, &at_a), q = value(b, &at_b);
        if (!is_number(p) && !is_number(q))
            continue;
        if (!is_number(p) || !is_number(q))
            return false;
        if (ratio) {
            if (cabs(q) < 1e-12 || cabs(p) < 1e-12)
                return false;
            if (!seen++)
                first = p / q;
            if (!is_real(first) || !close_by(p, first * q))
                return false;
            *ratio = creal(first);
            continue;
        }
        if (!close_by(p, q) && !is_rounded(a, p, q) && !is_rounded(b, q, p))
            return false;
        seen++;
    }
    return seen >= 2;
}
