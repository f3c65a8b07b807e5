// Marks functions that device code may call. In: nothing. Out: SWAV_HOST_DEVICE, empty where there is no CUDA compiler.
#pragma once

#ifdef __CUDACC__
#define SWAV_HOST_DEVICE __host__ __device__
#else
#define SWAV_HOST_DEVICE
#endif
