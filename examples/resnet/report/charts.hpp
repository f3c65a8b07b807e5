// Charts as inline SVG. In: numbers. Out: an <svg> element that takes its colours from the page's style.
#pragma once

#include <string>
#include <vector>

namespace swav::resnet {

struct Point {
  double x = 0;
  double y = 0;
};

struct Series {
  std::string label;
  std::string css_class;      // "a" to "h": the page's colours
  std::vector<Point> points;  // ascending x
  bool markers = false;
};

struct ReferenceLine {
  double y = 0;
  std::string label;
};

struct LineChart {
  std::string title;  // for screen readers
  std::string x_label;
  std::vector<Series> series;
  std::vector<ReferenceLine> references = {};
  bool from_zero = false;
  bool log_x = false;  // x are logarithms to the base 10 of shares in %
  double height = 220;
};

/// Long series are drawn as the means of at most 300 buckets, with the range of each bucket behind.
[[nodiscard]] std::string line_chart(const LineChart& chart);

struct BarChart {
  std::string title;
  std::string x_label;
  std::vector<double> bars = {};
  std::vector<std::string> tooltips = {};
  std::vector<ReferenceLine> references = {};
};

/// As wide as the page.
[[nodiscard]] std::string bar_chart(const BarChart& chart);

/// `text` with what HTML would take for markup replaced.
[[nodiscard]] std::string escape_html(const std::string& text);

/// A number in as few digits as tell it, for axes and captions.
[[nodiscard]] std::string short_number(double value);

}  // namespace swav::resnet
