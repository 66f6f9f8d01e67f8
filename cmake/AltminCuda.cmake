# The CUDA backend. ALTMIN_CUDA: AUTO builds it where a toolkit of 12.4 or later is found, ON fails without one, OFF leaves
# it out. ALTMIN_CUDA_ARCHITECTURES: what it is compiled for, as CMAKE_CUDA_ARCHITECTURES spells it (75 to 100); the
# default is this machine's GPU, or, where there is none, 80 and 90 with PTX for what comes after.
#
# cudart is linked statically and finds the driver by itself; cuBLAS and cuSOLVER are loaded when the backend is opened. So a binary
# built with CUDA needs neither driver nor CUDA libraries to run its other backends, and no CUDA package to be installed.

set(ALTMIN_CUDA AUTO CACHE STRING "Build the CUDA backend: AUTO, ON or OFF")
set_property(CACHE ALTMIN_CUDA PROPERTY STRINGS AUTO ON OFF)
set(ALTMIN_CUDA_ARCHITECTURES "" CACHE STRING "GPU architectures, e.g. 75;80;90 (empty: this machine's, else 80, 90, PTX)")
set(ALTMIN_HAVE_CUDA OFF)

# Say why there is no CUDA backend, as loudly as was asked for.
macro(altmin_without_cuda reason)
  if(ALTMIN_CUDA STREQUAL "AUTO")
    message(STATUS "CUDA backend: no (${reason})")
  else()
    message(FATAL_ERROR "ALTMIN_CUDA is ON, but ${reason}")
  endif()
endmacro()

# The architectures of this machine's GPUs, "" when there is none: asked from the driver's own tool.
function(altmin_native_architectures result)
  set(${result} "" PARENT_SCOPE)
  find_program(ALTMIN_NVIDIA_SMI nvidia-smi)
  mark_as_advanced(ALTMIN_NVIDIA_SMI)
  if(NOT ALTMIN_NVIDIA_SMI)
    return()
  endif()
  execute_process(COMMAND ${ALTMIN_NVIDIA_SMI} --query-gpu=compute_cap --format=csv,noheader
                  OUTPUT_VARIABLE text RESULT_VARIABLE status ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(status EQUAL 0 AND text MATCHES "^[0-9]+[.][0-9]")
    string(REPLACE "." "" text "${text}")
    string(REGEX REPLACE "[ \t\r\n]+" ";" text "${text}")
    list(REMOVE_DUPLICATES text)
    list(TRANSFORM text APPEND "-real")
    set(${result} "${text}" PARENT_SCOPE)
  endif()
endfunction()

macro(altmin_enable_cuda)
  if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES ${ALTMIN_CUDA_ARCHITECTURES})
    if(NOT CMAKE_CUDA_ARCHITECTURES)
      altmin_native_architectures(CMAKE_CUDA_ARCHITECTURES)
    endif()
    if(NOT CMAKE_CUDA_ARCHITECTURES)
      set(CMAKE_CUDA_ARCHITECTURES 80-real 90)
    endif()
  endif()
  enable_language(CUDA)
  find_package(CUDAToolkit)
endmacro()

if(ALTMIN_CUDA STREQUAL "OFF")
  # nothing to look for
elseif(ALTMIN_SANITIZE OR ALTMIN_FUZZ)
  altmin_without_cuda("a build with sanitizers is asked for; the emulated device runs the backend under them")
else()
  include(CheckLanguage)
  check_language(CXX)
  if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX} AND EXISTS /usr/local/cuda/bin/nvcc)
    set(ENV{CUDACXX} /usr/local/cuda/bin/nvcc)
  endif()
  check_language(CUDA)
  if(NOT CMAKE_CXX_COMPILER)
    altmin_without_cuda("no C++ compiler was found")
  elseif(NOT CMAKE_CUDA_COMPILER)
    altmin_without_cuda("no CUDA compiler that works was found; install the CUDA toolkit or set CUDACXX")
  else()
    altmin_enable_cuda()
    if(NOT CUDAToolkit_FOUND OR CUDAToolkit_VERSION VERSION_LESS 12.4)
      altmin_without_cuda("toolkit ${CUDAToolkit_VERSION} is older than 12.4, which brought conditional graph nodes")
    else()
      set(ALTMIN_HAVE_CUDA ON)
      message(STATUS "CUDA backend: toolkit ${CUDAToolkit_VERSION} for ${CMAKE_CUDA_ARCHITECTURES}")
    endif()
  endif()
endif()

# What a program needs that holds the backend's objects: cudart as an archive, and what it stands on.
if(ALTMIN_HAVE_CUDA)
  add_library(altmin_cuda_runtime INTERFACE)
  target_link_libraries(altmin_cuda_runtime INTERFACE
    ${CUDAToolkit_LIBRARY_DIR}/libcudart_static.a stdc++ rt ${CMAKE_DL_LIBS})
endif()

# altmin_add_cuda(<target>): put the backend into an object library that is linked with others.
function(altmin_add_cuda target)
  if(NOT ALTMIN_HAVE_CUDA)
    return()
  endif()
  set(names backend_cuda basis columns lanes library map matrix norm product record reduce scalar solve sparse thin)
  list(TRANSFORM names REPLACE "(.+)" "${PROJECT_SOURCE_DIR}/src/kernels/cuda/\\1.cu" OUTPUT_VARIABLE sources)
  target_sources(${target} PRIVATE ${sources})
  target_compile_definitions(${target} PRIVATE
    ALTMIN_HAVE_CUDA ALTMIN_CUDA_LIBRARY_DIR="${CUDAToolkit_LIBRARY_DIR}")
  set_target_properties(${target} PROPERTIES
    CUDA_VISIBILITY_PRESET hidden CUDA_RUNTIME_LIBRARY Static)
  target_compile_options(${target} PRIVATE
    $<$<COMPILE_LANGUAGE:CUDA>:-std=c++20 -Xcompiler=-Wall,-Wextra,-Wshadow
      $<$<BOOL:${ALTMIN_WERROR}>:--Werror=all-warnings -Xcompiler=-Werror>>)
  target_link_libraries(${target} PUBLIC altmin_cuda_runtime)
endfunction()
