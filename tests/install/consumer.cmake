# A project that uses an installed altmin, both ways.
cmake_minimum_required(VERSION 3.21)
project(consumer LANGUAGES C)
find_package(altmin 0.1 REQUIRED COMPONENTS static)
add_executable(example_shared example.c)
target_link_libraries(example_shared PRIVATE altmin::altmin)
add_executable(example_static example.c)
target_link_libraries(example_static PRIVATE altmin::altmin_static)
