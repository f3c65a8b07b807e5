// The scalars of the typed tests. In: SWAV_TEST_FEW_SCALARS, for builds that look for other errors than a scalar's own
// (a sanitizer's, another system of Thrust). Out: lists for TEST_CASE_TEMPLATE: all scalars, or a wide and a 16-bit
// one.
#pragma once

#include <Eigen/Core>

#ifdef SWAV_TEST_FEW_SCALARS
#define SWAV_WIDE_SCALARS float
#define SWAV_PRECISE_SCALARS float
#define SWAV_ROUNDED_SCALARS float, Eigen::half
#define SWAV_DEVICE_SCALARS float, Eigen::half
#define SWAV_SCALARS float, Eigen::half
#else
#define SWAV_WIDE_SCALARS float, double
#define SWAV_PRECISE_SCALARS float, double, long double
#define SWAV_ROUNDED_SCALARS float, Eigen::half, Eigen::bfloat16
#define SWAV_DEVICE_SCALARS float, double, Eigen::half, Eigen::bfloat16
#define SWAV_SCALARS float, double, long double, Eigen::half, Eigen::bfloat16
#endif
