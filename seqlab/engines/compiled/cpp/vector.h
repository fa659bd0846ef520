// Vectors of the widest kind the machine has, and elementwise functions of them.
// REAL is float or double, given on the compiler's command line.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

typedef REAL real;
typedef std::conditional<sizeof(real) == 4, int32_t, int64_t>::type whole;

#if defined(__AVX512F__)
constexpr int BYTES = 64, BLOCK_ROWS = 12;
#elif defined(__AVX__)
constexpr int BYTES = 32, BLOCK_ROWS = 6;
#else
constexpr int BYTES = 16, BLOCK_ROWS = 8;
#endif
constexpr int LANES = BYTES / sizeof(real);

typedef real V __attribute__((vector_size(BYTES)));
typedef whole M __attribute__((vector_size(BYTES)));
typedef real UnalignedV __attribute__((vector_size(BYTES), aligned(sizeof(real)), may_alias));

static inline V all(real value) { return V{} + value; }
static inline M all_of(bool value) { return M{} - whole(value); }

// FULL: a whole vector; otherwise only the first n lanes are real.
template <bool FULL>
static inline V load(const real* from, int n) {
  if (FULL) return *reinterpret_cast<const UnalignedV*>(from);
  V value = {};
  std::memcpy(&value, from, n * sizeof(real));
  return value;
}

template <bool FULL>
static inline void store(real* to, V value, int n) {
  if (FULL)
    *reinterpret_cast<UnalignedV*>(to) = value;
  else
    std::memcpy(to, &value, n * sizeof(real));
}

// Keeps a vector that was loaded: compilers like to load it again for each of few uses.
static inline void in_register(V& value) {
#if defined(__x86_64__)
  asm("" : "+v"(value));
#elif defined(__aarch64__)
  asm("" : "+w"(value));
#endif
}

// A square of LANES vectors, turned about its diagonal: blocks of D x D change places, D = 1, 2, ...
#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define TURNS 1
template <int D, int... J>
static inline void exchange(V& a, V& b, std::integer_sequence<int, J...>) {
  const V first = __builtin_shufflevector(a, b, ((J & D) ? LANES + J - D : J)...);
  b = __builtin_shufflevector(a, b, ((J & D) ? LANES + J : J + D)...);
  a = first;
}
template <int D = 1>
static inline void turn(V* square) {
  if constexpr (D < LANES) {
#pragma GCC unroll 16
    for (int i = 0; i < LANES; ++i)
      if (!(i & D)) exchange<D>(square[i], square[i + D], std::make_integer_sequence<int, LANES>{});
    turn<2 * D>(square);
  }
}
#endif
#endif

static inline V choose(M condition, V yes, V no) { return condition ? yes : no; }

#define LANEWISE(name, expression)                  \
  static inline V name(V x) {                       \
    V y;                                            \
    for (int i = 0; i < LANES; ++i) {               \
      const real a = x[i];                          \
      y[i] = expression;                            \
    }                                               \
    return y;                                       \
  }
LANEWISE(v_log_exact, std::log(a))
LANEWISE(v_log1p_exact, std::log1p(a))
LANEWISE(v_sqrt, std::sqrt(a))
LANEWISE(v_rsqrt, real(1) / std::sqrt(a))
LANEWISE(v_sin, std::sin(a))
LANEWISE(v_cos, std::cos(a))
LANEWISE(v_atan, std::atan(a))
LANEWISE(v_erf, std::erf(a))
LANEWISE(v_floor, std::floor(a))
LANEWISE(v_exp_exact, std::exp(a))
LANEWISE(v_expm1, std::expm1(a))
LANEWISE(v_tanh_exact, std::tanh(a))

static inline V v_pow(V x, V exponent) {
  V y;
  for (int i = 0; i < LANES; ++i) y[i] = std::pow(real(x[i]), real(exponent[i]));
  return y;
}

static inline V v_abs(V x) { return x < 0 ? -x : x; }
static inline V v_sign(V x) { return (x > 0 ? all(1) : all(0)) - (x < 0 ? all(1) : all(0)); }
// the comparison is true for NaN, which then passes, as in torch
static inline V v_max(V x, V y) { return (x >= y) | (x != x) ? x : y; }
static inline V v_min(V x, V y) { return (x <= y) | (x != x) ? x : y; }

// exp for float: x = n ln 2 + r, a polynomial for e^r (Cephes), n added to the exponent's bits; x is
// from -87.3 to 88.3, or NaN.
static inline V v_exp_within(V x) {
  const V round = all(real(12582912.0));
  const V n = (x * real(1.44269504088896341) + round) - round;
  V r = x - n * real(0.693359375);
  r = r + n * real(2.12194440e-4);
  V y = all(real(1.9875691500e-4));
  y = y * r + real(1.3981999507e-3);
  y = y * r + real(8.3334519073e-3);
  y = y * r + real(4.1665795894e-2);
  y = y * r + real(1.6666665459e-1);
  y = y * r + real(5.0000001201e-1);
  y = y * (r * r) + r + real(1);
  const M exponent = (__builtin_convertvector(n, M) + whole(127)) << whole(sizeof(real) == 4 ? 23 : 52);
  V scale;
  std::memcpy(&scale, &exponent, sizeof(V));
  return y * scale;
}

static inline V within(V x, real least, real most) {
  const V bounded = x > most ? all(most) : x;
  return bounded < least ? all(least) : bounded;
}

static inline V v_exp(V x) {
  if (sizeof(real) == 8) return v_exp_exact(x);
  const M high = x > real(88);  // of e times the power one below
  V y = v_exp_within(within(high ? x - real(1) : x, real(-87.3365478515625), real(88)));
  y = high ? y * real(2.718281828459045) : y;
  y = x > real(88.72283) ? all(std::numeric_limits<real>::infinity()) : y;
  return x < real(-103.97) ? all(0) : y;
}

// for float: from 17 on it is 1
static inline V v_sigmoid(V x) {
  if (sizeof(real) == 8) return real(1) / (real(1) + v_exp_exact(-x));
  const V y = real(1) / (real(1) + v_exp_within(within(-x, real(-87), real(88.3762626647949))));
  return x < real(-88.72283) ? all(0) : y;
}

// tanh for float: an odd polynomial near zero (Cephes), 1 - 2 / (e^2a + 1) elsewhere, 1 from 9.1 on.
static inline V v_tanh(V x) {
  if (sizeof(real) == 8) return v_tanh_exact(x);
  const V a = v_abs(x), square = x * x;
  V near = all(real(-5.70498872745e-3));
  near = near * square + real(2.06390887954e-2);
  near = near * square + real(-5.37397155531e-2);
  near = near * square + real(1.33314422036e-1);
  near = near * square + real(-3.33332819422e-1);
  near = near * square * x + x;
  const V bounded = a > real(9.1) ? all(real(9.1)) : a;
  const V far = real(1) - real(2) / (v_exp_within(bounded + bounded) + real(1));
  return a < real(0.625) ? near : (x < 0 ? -far : far);
}

// log for float: x = 2^n m, m around 1, a polynomial for log m (Cephes).
static inline V v_log(V x) {
  if (sizeof(real) == 8) return v_log_exact(x);
  const M tiny = x < real(1.17549435e-38);  // without an exponent of its own
  const V wide = tiny ? x * real(8388608) : x;
  M bits;
  std::memcpy(&bits, &wide, sizeof(V));
  const M exponent = (bits - whole(0x3f3504f3)) >> whole(23);  // of sqrt(1/2) and more
  bits -= exponent << whole(23);
  V r;
  std::memcpy(&r, &bits, sizeof(V));
  r = r - real(1);
  const V n = __builtin_convertvector(exponent, V) - (tiny ? all(23) : all(0)), square = r * r;
  V y = all(real(7.0376836292e-2));
  y = y * r + real(-1.1514610310e-1);
  y = y * r + real(1.1676998740e-1);
  y = y * r + real(-1.2420140846e-1);
  y = y * r + real(1.4249322787e-1);
  y = y * r + real(-1.6668057665e-1);
  y = y * r + real(2.0000714765e-1);
  y = y * r + real(-2.4999993993e-1);
  y = y * r + real(3.3333331174e-1);
  y = y * r * square + n * real(-2.12194440e-4) - square * real(0.5);
  y = (r + y) + n * real(0.693359375);
  y = x < std::numeric_limits<real>::infinity() ? y : x;  // NaN too
  y = x < 0 ? all(std::numeric_limits<real>::quiet_NaN()) : y;
  return x == 0 ? all(-std::numeric_limits<real>::infinity()) : y;
}

// log(1 + x) for float: the part of x that 1 + x loses is made up for (Kahan).
static inline V v_log1p(V x) {
  if (sizeof(real) == 8) return v_log1p_exact(x);
  const V whole_part = x + real(1), seen = whole_part - real(1);
  const V y = v_log(whole_part) * (x / (seen == 0 ? all(1) : seen));
  const M near = seen == 0, far = x == std::numeric_limits<real>::infinity();
  return near | far ? x : y;
}
