// Errors that public calls raise on bad input. In: what was found. Out: a typed exception whose message names the
// argument, the value found and the value wanted.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace swav {

/// Thrown by every public call that is given an argument it cannot work with (empty, non-finite, wrongly shaped, out of
/// range). Thrown before anything the caller owns is changed.
class InvalidInput : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};

/// Thrown in the processes of a group whose own arguments are sound, when a call that they make together fails by
/// another's: there InvalidInput says what was found.
class InvalidElsewhere : public InvalidInput {
 public:
  using InvalidInput::InvalidInput;
};

namespace detail {

template <class... Parts>
[[nodiscard]] std::string concatenate(const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  return text.str();
}

/// Throws InvalidInput made of `parts` unless `condition` holds. The parts are only put together on failure.
template <class... Parts>
void require(bool condition, const Parts&... parts) {
  if (!condition) throw InvalidInput(concatenate(parts...));
}

}  // namespace detail
}  // namespace swav
