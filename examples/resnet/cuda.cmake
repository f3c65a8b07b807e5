# CUDA for the trainer: nvcc, cudart, cuBLAS and cuDNN 9, and NCCL and nvJPEG where they are found.
if(NOT CMAKE_CUDA_COMPILER)
  find_program(SWAV_NVCC nvcc PATHS /usr/local/cuda/bin)
  set(CMAKE_CUDA_COMPILER ${SWAV_NVCC})
endif()
set(CMAKE_CUDA_ARCHITECTURES ${SWAV_CUDA_ARCHITECTURES})
enable_language(CUDA)
find_package(CUDAToolkit 12.4 REQUIRED)
# NAMES_PER_DIR: Python's packages have libcudnn.so.9 alone, and header and library are to be of one folder.
find_path(SWAV_CUDNN_INCLUDE cudnn.h PATHS ${CUDAToolkit_INCLUDE_DIRS})
find_library(SWAV_CUDNN_LIBRARY NAMES cudnn libcudnn.so.9 NAMES_PER_DIR PATHS ${CUDAToolkit_LIBRARY_DIR})
mark_as_advanced(SWAV_CUDNN_INCLUDE SWAV_CUDNN_LIBRARY)
if(NOT SWAV_CUDNN_INCLUDE OR NOT SWAV_CUDNN_LIBRARY)
  message(FATAL_ERROR "SWAV_WITH_CUDA wants cuDNN 9: name its folders in CMAKE_PREFIX_PATH")
endif()
find_path(SWAV_NCCL_INCLUDE nccl.h PATHS ${CUDAToolkit_INCLUDE_DIRS})
find_library(SWAV_NCCL_LIBRARY NAMES nccl libnccl.so.2 NAMES_PER_DIR PATHS ${CUDAToolkit_LIBRARY_DIR})
mark_as_advanced(SWAV_NCCL_INCLUDE SWAV_NCCL_LIBRARY)
if(NOT SWAV_NCCL_INCLUDE OR NOT SWAV_NCCL_LIBRARY)
  message(STATUS "NCCL not found: the trainer is built for one GPU")
  set(SWAV_NCCL_INCLUDE "")
  set(SWAV_NCCL_LIBRARY "")
endif()
find_path(SWAV_NVJPEG_INCLUDE nvjpeg.h PATHS ${CUDAToolkit_INCLUDE_DIRS})
find_library(SWAV_NVJPEG_LIBRARY NAMES nvjpeg libnvjpeg.so.13 libnvjpeg.so.12 NAMES_PER_DIR
             PATHS ${CUDAToolkit_LIBRARY_DIR})
mark_as_advanced(SWAV_NVJPEG_INCLUDE SWAV_NVJPEG_LIBRARY)
if(NOT SWAV_NVJPEG_INCLUDE OR NOT SWAV_NVJPEG_LIBRARY)
  message(STATUS "nvJPEG not found: the trainer is built without --decode gpu")
  set(SWAV_NVJPEG_INCLUDE "")
  set(SWAV_NVJPEG_LIBRARY "")
endif()

# Adds files of CUDA to a library. Flags are theirs alone: nvcc does not know those of the host's compiler.
function(swav_add_cuda_objects library)
  add_library(${library}_cuda OBJECT ${ARGN})
  target_include_directories(${library}_cuda PRIVATE ${CMAKE_CURRENT_FUNCTION_LIST_DIR} ${PROJECT_SOURCE_DIR}/include)
  target_include_directories(${library}_cuda SYSTEM PRIVATE ${SWAV_CUDNN_INCLUDE} ${SWAV_NCCL_INCLUDE}
                             ${SWAV_NVJPEG_INCLUDE})
  # Spelt out: CMake 3.25 does not know that nvcc 13 has C++20. Warnings are errors in tests/cuda/compile.sh alone: other
  # versions of nvcc and of the host's compiler have others.
  target_compile_options(${library}_cuda PRIVATE -std=c++20 --extended-lambda --expt-relaxed-constexpr
                                                 -Xcompiler=-Wall,-Wextra)
  target_sources(${library} PRIVATE $<TARGET_OBJECTS:${library}_cuda>)
  target_link_libraries(${library}_cuda PRIVATE $<TARGET_NAME_IF_EXISTS:nlohmann_json::nlohmann_json>)
  target_include_directories(${library} SYSTEM INTERFACE ${SWAV_CUDNN_INCLUDE})
  target_link_libraries(${library} PUBLIC CUDA::cudart CUDA::cublas ${SWAV_CUDNN_LIBRARY} ${SWAV_NCCL_LIBRARY}
                        ${SWAV_NVJPEG_LIBRARY})
endfunction()
