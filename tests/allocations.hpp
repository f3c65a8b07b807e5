// Counts allocations. In: nothing. Out: how many there were. Counted are the global operator new, whoever calls it, and
// malloc and its kin where this executable's own objects call them: Eigen takes its memory there.
#pragma once

namespace swav::test {

/// How often this process has allocated so far, on all threads. Under clang's ThreadSanitizer, whose operator new
/// cannot be replaced, malloc's kin alone are counted.
[[nodiscard]] long allocations();

/// How much it has asked for in all of them, whatever it has given back since.
[[nodiscard]] long allocated_bytes();

/// The calling thread's part of it.
[[nodiscard]] long allocations_of_this_thread();

}  // namespace swav::test
