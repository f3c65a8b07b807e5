// The frame that every page of the reports shares. In: titles and bodies. Out: HTML.
#pragma once

#include <string>

#include "report/charts.hpp"
#include "report/style.hpp"

namespace swav::resnet {

/// Up to the opening of <main>; what the title says is escaped.
[[nodiscard]] inline std::string report_head(const std::string& title) {
  return "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">\n"
         "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
         "<meta name=\"color-scheme\" content=\"light dark\">\n<title>" +
         escape_html(title) + "</title>\n<style>" + report_style + "</style></head>\n<body><main>\n";
}

/// `wide`: over both columns.
[[nodiscard]] inline std::string report_section(const std::string& title, const std::string& note,
                                                const std::string& body, bool wide = false) {
  return std::string("<section") + (wide ? " class=\"wide\"" : "") + "><h2>" + escape_html(title) +
         "</h2><p class=\"note\">" + escape_html(note) + "</p>\n" + body + "</section>\n";
}

}  // namespace swav::resnet
