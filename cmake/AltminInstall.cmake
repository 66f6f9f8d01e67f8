# cmake --install: command, libraries, header, find_package(altmin) and pkg-config files.
#   find_package(altmin)                     altmin::altmin, the shared library, which needs nothing else
#   find_package(altmin COMPONENTS static)   altmin::altmin_static too, whose dependencies are looked up on this machine

set(ALTMIN_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/altmin)

install(TARGETS altmin EXPORT altminTargets)
install(TARGETS altmin_static EXPORT altminStaticTargets)
install(TARGETS altmin_cli)
install(FILES ${PROJECT_SOURCE_DIR}/include/altmin/altmin.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/altmin)
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE ${PROJECT_SOURCE_DIR}/README.md DESTINATION ${CMAKE_INSTALL_DOCDIR})

install(EXPORT altminTargets NAMESPACE altmin:: DESTINATION ${ALTMIN_CMAKE_DIR})
install(EXPORT altminStaticTargets NAMESPACE altmin:: DESTINATION ${ALTMIN_CMAKE_DIR})
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/altminConfig.cmake.in
  ${PROJECT_BINARY_DIR}/altminConfig.cmake INSTALL_DESTINATION ${ALTMIN_CMAKE_DIR})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/altminConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/altminConfig.cmake ${PROJECT_BINARY_DIR}/altminConfigVersion.cmake
  ${CMAKE_CURRENT_LIST_DIR}/AltminDependencies.cmake DESTINATION ${ALTMIN_CMAKE_DIR})

# pkg-config. Paths are relative to the file's own place, so a moved or staged tree works too.
cmake_path(RELATIVE_PATH CMAKE_INSTALL_FULL_LIBDIR BASE_DIRECTORY ${CMAKE_INSTALL_PREFIX} OUTPUT_VARIABLE altmin_libdir)
cmake_path(RELATIVE_PATH CMAKE_INSTALL_FULL_INCLUDEDIR BASE_DIRECTORY ${CMAKE_INSTALL_PREFIX}
           OUTPUT_VARIABLE altmin_includedir)
cmake_path(RELATIVE_PATH CMAKE_INSTALL_PREFIX BASE_DIRECTORY ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig
           OUTPUT_VARIABLE altmin_prefix_from_pc)
set(altmin_pc_cuda "")
if(ALTMIN_HAVE_CUDA)
  set(altmin_pc_cuda " -L${CUDAToolkit_LIBRARY_DIR} -lcudart_static -lstdc++ -lrt -ldl")
endif()
configure_file(${CMAKE_CURRENT_LIST_DIR}/altmin.pc.in ${PROJECT_BINARY_DIR}/altmin.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/altmin.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
