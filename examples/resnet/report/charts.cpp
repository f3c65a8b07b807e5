// SVG by string building: axes with round steps, lines, bars. In: numbers. Out: SVG.
#include "report/charts.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

namespace swav::resnet {
namespace {

// Widths in the units of text that is 12 high: half a page, and a whole one.
constexpr double half_page = 540, whole_page = 1080, bar_height = 230;
constexpr double left_margin = 52, right_margin = 14, top_margin = 14, bottom_margin = 38;

std::string coordinate(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", value);
  return text;
}

// 1, 2 or 5 times a power of ten, so that about `wanted` of them cover the range.
double round_step(double range, double wanted) {
  const double raw = range / wanted;
  const double power = std::pow(10, std::floor(std::log10(raw)));
  for (const double factor : {1.0, 2.0, 5.0})
    if (raw <= factor * power) return factor * power;
  return 10 * power;
}

struct Axis {
  double low = 0, high = 1;

  void include(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
};

Axis empty_axis() { return {std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()}; }

// What stands below the axis of x: nothing, round numbers, or the powers of ten whose logarithms x are.
enum class Ticks { none, numbers, powers };

class Canvas {
 public:
  Canvas(const std::string& title, double width, double height, Axis x, Axis y)
      : width_(width), height_(height), x_(x), y_(y) {
    svg_ = "<svg class=\"chart\" viewBox=\"0 0 " + coordinate(width) + " " + coordinate(height) +
           "\" role=\"img\" aria-label=\"" + escape_html(title) + "\">\n";
  }

  [[nodiscard]] double x(double value) const {
    return left_margin + (value - x_.low) / (x_.high - x_.low) * (width_ - left_margin - right_margin);
  }
  [[nodiscard]] double y(double value) const {
    return height_ - bottom_margin - (value - y_.low) / (y_.high - y_.low) * (height_ - top_margin - bottom_margin);
  }

  void add(const std::string& element) { svg_ += element + "\n"; }

  void text(double at_x, double at_y, const std::string& anchor, const std::string& content,
            const std::string& css_class = "tick") {
    add("<text class=\"" + css_class + "\" x=\"" + coordinate(at_x) + "\" y=\"" + coordinate(at_y) +
        "\" text-anchor=\"" + anchor + "\">" + escape_html(content) + "</text>");
  }

  void grid(const std::string& x_label, Ticks ticks) {
    const double y_step = round_step(y_.high - y_.low, 5);
    for (double v = std::ceil(y_.low / y_step - 1e-9) * y_step; v <= y_.high + 1e-9 * y_step; v += y_step) {
      horizontal(v, "grid");
      text(left_margin - 8, y(v) + 4, "end", short_number(std::abs(v) < 1e-9 * y_step ? 0 : v));
    }
    if (ticks == Ticks::powers)
      for (double v = std::ceil(x_.low - 1e-9); v <= x_.high + 1e-9; ++v)
        text(std::min(x(v), width_ - 24), height_ - bottom_margin + 17, "middle", short_number(std::pow(10, v)) + " %");
    if (ticks == Ticks::numbers) {
      const double x_step = round_step(x_.high - x_.low, 8);
      for (double v = std::ceil(x_.low / x_step - 1e-9) * x_step; v <= x_.high + 1e-9 * x_step; v += x_step)
        text(x(v), height_ - bottom_margin + 17, "middle", short_number(v));
    }
    text((left_margin + width_ - right_margin) / 2, height_ - 5, "middle", x_label, "axis-label");
  }

  void horizontal(double v, const std::string& css_class) {
    add("<line class=\"" + css_class + "\" x1=\"" + coordinate(left_margin) + "\" x2=\"" +
        coordinate(width_ - right_margin) + "\" y1=\"" + coordinate(y(v)) + "\" y2=\"" + coordinate(y(v)) + "\"/>");
  }

  void reference(const ReferenceLine& line) {
    horizontal(line.y, "reference");
    text(width_ - right_margin, y(line.y) - 5, "end", line.label, "reference-label");
  }

  [[nodiscard]] std::string finish() { return svg_ + "</svg>\n"; }

 private:
  double width_, height_;
  Axis x_, y_;
  std::string svg_;
};

struct Bucket {
  double x = 0, mean = 0, low = 0, high = 0;
};

std::vector<Bucket> buckets_of(const std::vector<Point>& points) {
  constexpr std::size_t most = 300;
  const std::size_t count = std::min(most, points.size());
  std::vector<Bucket> buckets;
  for (std::size_t b = 0; b < count; ++b) {
    const std::size_t first = b * points.size() / count, last = (b + 1) * points.size() / count;
    Bucket bucket{0, 0, points[first].y, points[first].y};
    for (std::size_t i = first; i < last; ++i) {
      bucket.x += points[i].x;
      bucket.mean += points[i].y;
      bucket.low = std::min(bucket.low, points[i].y);
      bucket.high = std::max(bucket.high, points[i].y);
    }
    bucket.x /= static_cast<double>(last - first);
    bucket.mean /= static_cast<double>(last - first);
    buckets.push_back(bucket);
  }
  return buckets;
}

void draw(Canvas& canvas, const Series& series) {
  const std::vector<Bucket> buckets = buckets_of(series.points);
  std::string line, band;
  for (const Bucket& b : buckets) {
    line += coordinate(canvas.x(b.x)) + "," + coordinate(canvas.y(b.mean)) + " ";
    band += coordinate(canvas.x(b.x)) + "," + coordinate(canvas.y(b.high)) + " ";
  }
  for (auto b = buckets.rbegin(); b != buckets.rend(); ++b)
    band += coordinate(canvas.x(b->x)) + "," + coordinate(canvas.y(b->low)) + " ";
  if (buckets.size() < series.points.size())
    canvas.add("<polygon class=\"band " + series.css_class + "\" points=\"" + band + "\"/>");
  canvas.add("<polyline class=\"line " + series.css_class + "\" points=\"" + line + "\"/>");
  if (!series.markers) return;
  for (const Point& p : series.points)
    canvas.add("<circle class=\"marker " + series.css_class + "\" cx=\"" + coordinate(canvas.x(p.x)) + "\" cy=\"" +
               coordinate(canvas.y(p.y)) + "\" r=\"4\"><title>" + escape_html(series.label) + " " + short_number(p.y) +
               "</title></circle>");
}

std::string legend(const std::vector<Series>& series) {
  if (series.size() < 2) return "";
  std::string html = "<div class=\"legend\">";
  for (const Series& s : series)
    html += "<span><i class=\"swatch " + s.css_class + "\"></i>" + escape_html(s.label) + "</span>";
  return html + "</div>\n";
}

}  // namespace

std::string escape_html(const std::string& text) {
  std::string escaped;
  for (const char letter : text) {
    if (letter == '&')
      escaped += "&amp;";
    else if (letter == '<')
      escaped += "&lt;";
    else if (letter == '>')
      escaped += "&gt;";
    else if (letter == '"')
      escaped += "&quot;";
    else
      escaped += letter;
  }
  return escaped;
}

std::string short_number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, std::abs(value) >= 1000 ? "%.0f" : "%.4g", value);
  return text;
}

std::string line_chart(const LineChart& chart) {
  Axis x = empty_axis(), y = empty_axis();
  for (const Series& series : chart.series)
    for (const Point& p : series.points) {
      x.include(p.x);
      y.include(p.y);
    }
  for (const ReferenceLine& line : chart.references) y.include(line.y);
  if (x.low > x.high) return "<p class=\"note\">nothing recorded</p>\n";
  if (chart.from_zero) y.include(0);
  if (x.low == x.high) x = {x.low - 1, x.high + 1};
  const double room = y.high > y.low ? 0.06 * (y.high - y.low) : 0.5 * std::max(1e-6, std::abs(y.high));
  y.high += room;
  if (!chart.from_zero) y.low -= room;

  Canvas canvas(chart.title, half_page, chart.height, x, y);
  canvas.grid(chart.x_label, chart.log_x ? Ticks::powers : Ticks::numbers);
  for (const Series& series : chart.series) draw(canvas, series);
  for (const ReferenceLine& line : chart.references) canvas.reference(line);
  return legend(chart.series) + canvas.finish();
}

std::string bar_chart(const BarChart& chart) {
  if (chart.bars.empty()) return "<p class=\"note\">nothing recorded</p>\n";
  const double count = static_cast<double>(chart.bars.size());
  Axis y{0, 0};
  for (const double bar : chart.bars) y.include(bar);
  for (const ReferenceLine& line : chart.references) y.include(line.y);
  y.high = y.high > 0 ? 1.06 * y.high : 1;

  Canvas canvas(chart.title, whole_page, bar_height, {0, count}, y);
  canvas.grid(chart.x_label, Ticks::none);
  const double width = std::max(0.5, (canvas.x(1) - canvas.x(0)) * 0.86);
  for (std::size_t i = 0; i < chart.bars.size(); ++i) {
    const double top = canvas.y(chart.bars[i]);
    canvas.add("<rect class=\"bar\" x=\"" + coordinate(canvas.x(static_cast<double>(i) + 0.07)) + "\" y=\"" +
               coordinate(top) + "\" width=\"" + coordinate(width) + "\" height=\"" +
               coordinate(std::max(0.0, canvas.y(0) - top)) + "\"><title>" +
               escape_html(i < chart.tooltips.size() ? chart.tooltips[i] : short_number(chart.bars[i])) +
               "</title></rect>");
  }
  for (const ReferenceLine& line : chart.references) canvas.reference(line);
  return canvas.finish();
}

}  // namespace swav::resnet
