// The linear assignment problem on the CPU. In: a gain for each pair. Out: the pairing of largest total gain.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "swav/core/matrix_view.hpp"

namespace swav {

/// For each row of `gains` (n x m) a column of its own, so that the sum of the chosen entries is as large as possible;
/// where there are fewer columns than rows, -1 for the rows that stay without one. Kuhn's Hungarian method by shortest
/// augmenting paths with potentials (Jonker and Volgenant, "A shortest augmenting path algorithm for dense and sparse
/// linear assignment problems", 1987). Throws InvalidInput if a gain is not finite. O(min(n, m)^2 max(n, m)) time,
/// O(n m) memory. No entry of `gains` is changed.
[[nodiscard]] inline std::vector<Index> assign_largest(MatrixView<const double> gains) {
  detail::check_view("gains", gains);
  for (Index r = 0; r < gains.rows; ++r)
    for (Index c = 0; c < gains.cols; ++c)
      detail::require(std::isfinite(gains(r, c)), "gains: ", gains(r, c), " found, finite values wanted");
  // The shorter side is assigned, one by one; costs are the gains' negatives. Line 0 and place 0 stand for none.
  const bool turned = gains.rows > gains.cols;
  const auto lines = static_cast<std::size_t>(turned ? gains.cols : gains.rows);
  const auto places = static_cast<std::size_t>(turned ? gains.rows : gains.cols);
  const auto cost = [&](std::size_t line, std::size_t place) {
    const auto l = static_cast<Index>(line) - 1, p = static_cast<Index>(place) - 1;
    return turned ? -gains(p, l) : -gains(l, p);
  };
  std::vector<double> line_potential(lines + 1), place_potential(places + 1), distance(places + 1);
  std::vector<std::size_t> owner(places + 1), before(places + 1);
  std::vector<char> reached(places + 1);
  for (std::size_t line = 1; line <= lines; ++line) {
    std::fill(distance.begin(), distance.end(), std::numeric_limits<double>::infinity());
    std::fill(reached.begin(), reached.end(), char{0});
    owner[0] = line;
    std::size_t at = 0;
    while (owner[at] != 0) {  // to the nearest place that nobody owns
      reached[at] = 1;
      const std::size_t from = owner[at];
      std::size_t next = 0;
      for (std::size_t place = 1; place <= places; ++place) {
        if (reached[place] != 0) continue;
        const double reduced = cost(from, place) - line_potential[from] - place_potential[place];
        if (reduced < distance[place]) {
          distance[place] = reduced;
          before[place] = at;
        }
        if (next == 0 || distance[place] < distance[next]) next = place;
      }
      const double step = distance[next];
      for (std::size_t place = 0; place <= places; ++place) {
        if (reached[place] != 0) {
          line_potential[owner[place]] += step;
          place_potential[place] -= step;
        } else {
          distance[place] -= step;
        }
      }
      at = next;
    }
    for (; at != 0; at = before[at]) owner[at] = owner[before[at]];
  }
  std::vector<Index> chosen(static_cast<std::size_t>(gains.rows), Index{-1});
  for (std::size_t place = 1; place <= places; ++place) {
    if (owner[place] == 0) continue;
    const std::size_t line = owner[place];
    chosen[(turned ? place : line) - 1] = static_cast<Index>((turned ? line : place) - 1);
  }
  return chosen;
}

}  // namespace swav
