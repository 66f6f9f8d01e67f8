# Libraries altmin stands on. Each is looked up once, as an imported target, and a missing one says which Debian/Ubuntu
# package holds it; altmin_dependencies is all of them. Also installed: the static library's users need them too.

find_package(Threads REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS C)
find_package(ZLIB)
if(NOT ZLIB_FOUND)
  message(FATAL_ERROR "altmin needs zlib.h: install it with 'apt-get install zlib1g-dev'")
endif()

# altmin_find_library(<target> <header> <hint package> NAMES <names> [SUFFIXES <path suffixes>])
function(altmin_find_library target header package)
  if(TARGET ${target})
    return()
  endif()
  cmake_parse_arguments(arg "" "" "NAMES;SUFFIXES" ${ARGN})
  find_path(${target}_INCLUDE_DIR ${header} PATH_SUFFIXES ${arg_SUFFIXES})
  if(arg_NAMES)
    find_library(${target}_LIBRARY NAMES ${arg_NAMES} PATH_SUFFIXES ${arg_SUFFIXES})
  endif()
  if(NOT ${target}_INCLUDE_DIR OR (arg_NAMES AND NOT ${target}_LIBRARY))
    message(FATAL_ERROR "altmin needs ${header}: install it with 'apt-get install ${package}'")
  endif()
  add_library(${target} INTERFACE IMPORTED GLOBAL)
  target_include_directories(${target} SYSTEM INTERFACE ${${target}_INCLUDE_DIR})
  if(arg_NAMES)
    target_link_libraries(${target} INTERFACE ${${target}_LIBRARY})
  endif()
  mark_as_advanced(${target}_INCLUDE_DIR ${target}_LIBRARY)
endfunction()

# The OpenMP build of OpenBLAS: one thread pool for BLAS and for altmin's own loops. The pthread build would run a
# second pool beside OpenMP's and the two would fight for the cores.
altmin_find_library(altmin_openblas cblas.h libopenblas-openmp-dev NAMES openblas
                    SUFFIXES openblas-openmp ${CMAKE_LIBRARY_ARCHITECTURE}/openblas-openmp openblas)
altmin_find_library(altmin_cjson cjson/cJSON.h libcjson-dev NAMES cjson)
altmin_find_library(altmin_random123 Random123/philox.h librandom123-dev)
if(ALTMIN_TESTS)
  altmin_find_library(altmin_cmocka cmocka.h libcmocka-dev NAMES cmocka)
endif()

if(NOT TARGET altmin_dependencies)
  add_library(altmin_dependencies INTERFACE IMPORTED GLOBAL)
  target_link_libraries(altmin_dependencies INTERFACE
    altmin_openblas altmin_cjson altmin_random123 ZLIB::ZLIB OpenMP::OpenMP_C Threads::Threads m)
endif()
