// The report's style sheet: light and dark by the reader's setting, one column on a phone, two on a screen.
#pragma once

namespace swav::resnet {

inline constexpr const char* report_style = R"css(
:root { --page: #f6f7f9; --card: #ffffff; --text: #1b2330; --quiet: #667085; --rule: #e3e7ee; --grid: #eaedf2;
  --a: #2f6fed; --b: #e07a1f; --c: #178a5b; --d: #9b3fb5; --e: #0c8fa6; --f: #c93a75; --g: #7d5c34; --h: #5b6472;
  --reference: #c0354a; --warn: #fff4e0; --warn-text: #7a4b00; }
@media (prefers-color-scheme: dark) { :root { --page: #0f141b; --card: #171e28; --text: #e6eaf0; --quiet: #93a0b4;
  --rule: #263041; --grid: #222c3a; --a: #6fa1ff; --b: #f2a65a; --c: #4cc38a; --d: #cf8be0; --e: #4fc4d8; --f: #f07fae; --g: #c9a574; --h: #a3adbd;
  --reference: #ff7a8a; --warn: #33270f;
  --warn-text: #ffd591; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); font: 15px/1.5 system-ui, -apple-system, "Segoe UI",
  Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 28px 20px 48px; }
h1 { font-size: 26px; line-height: 1.25; margin: 0 0 4px; letter-spacing: -.01em; }
h2 { font-size: 16px; margin: 0 0 2px; }
.lead, .note { color: var(--quiet); margin: 0; }
.note { font-size: 13px; margin-bottom: 10px; } .below { margin-bottom: 20px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin: 22px 0 16px; }
.tile, section { background: var(--card); border: 1px solid var(--rule); border-radius: 12px; }
.tile { padding: 12px 16px; }
.tile b { display: block; font-size: 23px; line-height: 1.35; white-space: nowrap; font-variant-numeric: tabular-nums; font-weight: 650; }
.tile span { color: var(--quiet); font-size: 13px; }
.columns { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 16px; }
section { padding: 18px 20px; min-width: 0; }
section.wide { grid-column: 1 / -1; }
@media (max-width: 820px) { .columns { grid-template-columns: minmax(0, 1fr); } }
.warning { background: var(--warn); color: var(--warn-text); border-radius: 10px; padding: 10px 14px; margin: 0 0 8px; }
.chart { width: 100%; height: auto; display: block; }
.chart text { font: 12px system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; fill: var(--quiet); }
.chart .reference-label { fill: var(--reference); font-weight: 600; }
.grid { stroke: var(--grid); stroke-width: 1; }
.reference { stroke: var(--reference); stroke-width: 1.5; stroke-dasharray: 6 4; }
.a { --own: var(--a); } .b { --own: var(--b); } .c { --own: var(--c); } .d { --own: var(--d); }
.e { --own: var(--e); } .f { --own: var(--f); } .g { --own: var(--g); } .h { --own: var(--h); }
.line { fill: none; stroke: var(--own); stroke-width: 2; stroke-linejoin: round; }
.band, .marker { fill: var(--own); } .band { opacity: .18; }
.bar { fill: var(--a); } .bar:hover { fill: var(--b); }
.legend { display: flex; flex-wrap: wrap; gap: 2px 18px; font-size: 13px; color: var(--quiet); }
.swatch { display: inline-block; width: 12px; height: 12px; border-radius: 3px; margin-right: 6px; background: var(--own); }
.pixels { image-rendering: pixelated; }
img { display: block; border-radius: 5px; }
.crops { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 470px), 1fr)); gap: 14px 24px; }
.row { display: flex; flex-wrap: wrap; gap: 8px; align-items: center; }
.row .original { margin-right: 10px; outline: 2px solid var(--a); outline-offset: 2px; }
.prototypes { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 480px), 1fr)); gap: 18px 24px; }
figure { margin: 0; min-width: 0; }
.nearest { display: flex; flex-wrap: wrap; gap: 3px; }
figcaption { font-size: 13px; margin-top: 5px; }
figcaption span { color: var(--quiet); }
.bars { display: grid; grid-template-columns: auto 1fr auto; gap: 10px 14px; align-items: center; margin-top: 14px; }
.bars .track { height: 18px; border-radius: 9px; background: var(--grid); overflow: hidden; }
.bars .track i { display: block; height: 100%; background: var(--a); }
.bars b { font-variant-numeric: tabular-nums; }
details { font-size: 13px; } summary { cursor: pointer; color: var(--quiet); }
table { border-collapse: collapse; margin-top: 8px; } td { padding: 2px 18px 2px 0; vertical-align: top; }
.compared td { white-space: nowrap; font-variant-numeric: tabular-nums; }
.compared code { white-space: normal; }
td:first-child, th { color: var(--quiet); }
th { text-align: left; font-weight: 400; padding: 2px 18px 2px 0; } code { font: 12px ui-monospace, "DejaVu Sans Mono", monospace; }
)css";

}  // namespace swav::resnet
