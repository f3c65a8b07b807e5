// Everything a user of the CPU needs. In: Eigen. Out: namespace swav. The oneDNN product hook
// (backend/eigen/onednn_product.hpp) is apart, since it needs that library; each header also compiles on its own.
#pragma once

#include "swav/backend/eigen/device.hpp"
#include "swav/backend/eigen/product.hpp"
#include "swav/backend/eigen/scalar.hpp"
#include "swav/core/device.hpp"
#include "swav/core/error.hpp"
#include "swav/core/matrix_view.hpp"
#include "swav/core/philox.hpp"
#include "swav/core/scalar_traits.hpp"
#include "swav/sinkhorn/sinkhorn.hpp"
